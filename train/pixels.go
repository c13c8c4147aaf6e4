package train

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/segment"
	"github.com/resnet-go/resnet/tensor"
)

// defaultAux is the weight of the loss of auxiliary classifiers, torchvision's.
const defaultAux = 0.5

// segmentation is the task of a class for each pixel.
type segmentation struct{}

// pixels reports whether the step is of segmentation.
func (s *Step) pixels() bool {
	_, is := s.task.(segmentation)
	return is
}

func (segmentation) module(s *Step) nn.Module { return s.module }

func (segmentation) loss(s *Step, t *nn.Traced) (loss, logits *graph.Value, err error) {
	if s.teacher != nil {
		return nil, nil, errNoTeacher
	}
	if s.loss.bce() {
		return nil, nil, fmt.Errorf("the loss of pixels is cross-entropy, not %s", s.loss.Kind)
	}
	g, out := t.Graph, t.Output.Shape
	y, err := g.Input(inTarget, graph.Type{DType: tensor.Int64, Shape: tensor.Shape{out[0], out[2], out[3]}})
	if err != nil {
		return nil, nil, err
	}
	logits = rowsOf(g, t.Output)
	if loss, err = s.loss.Loss(g, t.Output, y); err != nil {
		return nil, nil, err
	}
	if w := s.loss.Dice; w > 0 {
		loss = weightedSum(g, loss, graph.DiceLoss(g, t.Output, y, 0), w)
	}
	for _, h := range headsOf(s.module) {
		if !h.Aux {
			continue
		}
		z, err := t.At(h.Path)
		if err != nil {
			return nil, nil, err
		}
		if z.Shape[2] != out[2] || z.Shape[3] != out[3] {
			z = g.Must1(graph.Resize{OH: out[2], OW: out[3], Bilinear: true}, z)
		}
		aux, err := s.loss.Loss(g, z, y)
		if err != nil {
			return nil, nil, err
		}
		loss = weightedSum(g, loss, aux, orDefault(s.loss.Aux, defaultAux))
	}
	return loss, logits, nil
}

// rowsOf returns logits [N classes H W] as [N*H*W classes].
func rowsOf(g *graph.Graph, z *graph.Value) *graph.Value {
	s := z.Shape
	return g.Must1(graph.Reshape{Shape: tensor.Shape{s[0] * s[2] * s[3], s[1]}}, g.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, z))
}

// weightedSum is a + w*b.
func weightedSum(g *graph.Graph, a, b *graph.Value, w float64) *graph.Value {
	return g.Must1(graph.Binary{Fn: graph.Add}, a, g.Must1(graph.Affine{Scale: float32(w)}, b))
}

func (segmentation) targets(s *Step, in StepInput) (infer.Tensors, error) {
	y, err := tensor.FromInt64(in.Batch.Labels, s.input[0], s.input[2], s.input[3])
	return infer.Tensors{inTarget: y}, err
}

func (segmentation) count(sums *tally, r StepResult, of batch, classes int) (hits int, share float64) {
	b := of.labels
	counted := 0
	for i, class := range b.Labels {
		if class < 0 {
			continue
		}
		counted++
		row := r.Logits[i*classes : (i+1)*classes]
		right := true
		for _, v := range row {
			if v > row[class] {
				right = false
				break
			}
		}
		if right {
			hits++
		}
	}
	sums.Samples += b.N
	sums.Top1 += hits
	sums.Pixels += counted
	if counted == 0 {
		return 0, 0
	}
	return hits, float64(hits) / float64(counted)
}

// pixelEvaluator evaluates a segmentation network.
type pixelEvaluator struct {
	module  nn.Module
	masks   data.MaskDataset
	cfg     data.LoaderConfig
	options infer.Options
	group   group // each rank evaluates some of the batches
	bad     int
}

func newPixelEvaluator(m nn.Module, masks data.MaskDataset, cfg data.LoaderConfig, opt infer.Options, g group) (evaluator, error) {
	if err := cfg.Preprocess.Valid(); err != nil {
		return nil, err
	}
	opt.Plans = segment.Plans
	return &pixelEvaluator{module: m, masks: masks, cfg: cfg, options: opt, group: g}, nil
}

func (e *pixelEvaluator) run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error) {
	r, err := runnerOf(e.module, vars, e.options)
	if err != nil {
		return Metrics{}, err
	}
	net, err := segment.New(r, e.cfg.Preprocess, len(e.masks.Classes()), e.options.Threads)
	if err != nil {
		return Metrics{}, err
	}
	share := func(own segment.Found) ([]segment.Found, error) {
		e.bad = own.Skipped
		return together(e.group, own, nil)
	}
	found, err := net.Evaluate(ctx, e.masks, segment.EvaluateOptions{
		Batch: e.cfg.BatchSize, SkipBad: e.cfg.SkipBad, Progress: e.group.progress(each), Part: e.group.part(), Gather: share,
	})
	if err != nil {
		return Metrics{}, err
	}
	return Metrics{Loss: found.Loss, MeanIoU: found.MeanIoU, PixelAccuracy: found.PixelAccuracy, Samples: found.Pictures}, nil
}

func (e *pixelEvaluator) prepare(context.Context) {}
func (e *pixelEvaluator) idle() int               { return e.masks.Len() }
func (e *pixelEvaluator) skipped() int            { return e.bad }
func (e *pixelEvaluator) close()                  {}
