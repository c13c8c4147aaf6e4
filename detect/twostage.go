package detect

import (
	"context"
	"strconv"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// twoStage runs an R-CNN.
type twoStage struct {
	net     *models.RCNN
	classes int
	most    int // detections in a picture
	runner  *infer.Runner
	masks   []maskStage // by rising capacity; empty without masks
}

// maskStage computes the masks of up to a number of objects.
type maskStage struct {
	capacity int
	runner   *infer.Runner
}

func newTwoStage(r *infer.Runner, net *models.RCNN, cfg models.Config) *twoStage {
	t := &twoStage{net: net, classes: cfg.Classes, most: cfg.Detection.Detections, runner: r}
	if net.RoIHeads.MaskPredictor == nil {
		return t
	}
	for n := 8; ; n *= 4 {
		n = min(n, t.most)
		t.masks = append(t.masks, maskStage{n, r.With(net.MaskStage(n))})
		if n == t.most {
			return t
		}
	}
}

// Outputs of the query.
const (
	objectsOutput = "objects"
	levelOutput   = "level." // a level of the pyramid [N h w channels], its number follows
)

// query asks for the objects and, for masks, the levels of the pyramid.
func (t *twoStage) query() infer.Query {
	return infer.Query{Name: "detect", Build: func(tr *nn.Traced) error {
		tr.Graph.Output(objectsOutput, tr.Output)
		if len(t.masks) == 0 {
			return nil
		}
		for i, l := range t.net.Levels(tr) {
			tr.Graph.Output(levelOutput+strconv.Itoa(i), tr.Graph.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, l))
		}
		return nil
	}}
}

func (t *twoStage) find(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, error) {
	in := t.inputs(x, h, w)
	out, err := t.runner.Run(ctx, t.query(), in)
	if err != nil {
		return nil, err
	}
	return t.objects(ctx, in[models.SizesInput], out)
}

// inputs are those of the network for an input of which the upper left h by w pixels are
// the picture.
func (t *twoStage) inputs(x *tensor.Tensor, h, w int) infer.Tensors {
	sizes := tensor.New(1, 2)
	sizes.Float32s()[0], sizes.Float32s()[1] = float32(h), float32(w)
	return infer.Tensors{nn.ImageInput: x, models.SizesInput: sizes}
}

// objects reads the outputs of the query, and computes the masks.
func (t *twoStage) objects(ctx context.Context, sizes *tensor.Tensor, out infer.Tensors) ([]found, error) {
	var all []found
	rows := out[objectsOutput].Float32s()
	for i := 0; i < len(rows) && rows[i+5] >= 0; i += 6 {
		all = append(all, found{Object: Object{
			Box:   boxes.Box{X1: rows[i], Y1: rows[i+1], X2: rows[i+2], Y2: rows[i+3]},
			Score: rows[i+4], Class: int(rows[i+5]),
		}})
	}
	if len(t.masks) == 0 || len(all) == 0 {
		return all, nil
	}
	return all, t.addMasks(ctx, all, sizes, out)
}

// addMasks computes the masks of objects from the pyramid's levels in out.
func (t *twoStage) addMasks(ctx context.Context, all []found, sizes *tensor.Tensor, out infer.Tensors) error {
	stage := t.masks[0]
	for _, s := range t.masks {
		if stage = s; s.capacity >= len(all) {
			break
		}
	}
	rows := tensor.New(stage.capacity, 5)
	for i := range stage.capacity {
		row := rows.Float32s()[5*i : 5*i+5]
		if row[0] = -1; i < len(all) {
			b := all[i].Box
			copy(row, []float32{0, b.X1, b.Y1, b.X2, b.Y2})
		}
	}
	in := infer.Tensors{models.SizesInput: sizes, models.BoxesInput: rows}
	for i := 0; ; i++ {
		l := out[levelOutput+strconv.Itoa(i)]
		if l == nil {
			break
		}
		s := l.Shape()
		x, err := tensor.FromNHWC(l.Float32s(), s[0], s[3], s[1], s[2])
		if err != nil {
			return err
		}
		if name := models.LevelInput + strconv.Itoa(i); i > 0 {
			in[name] = x
		} else {
			in[nn.ImageInput] = x
		}
	}
	y, err := stage.runner.Run(ctx, infer.Query{}, in)
	if err != nil {
		return err
	}
	logits := y[infer.Output].Float32s()
	const size = models.MaskSize * models.MaskSize
	for i := range all {
		all[i].mask = make([]float32, size)
		for k, z := range logits[(i*t.classes+all[i].Class)*size:][:size] {
			all[i].mask[k] = sigmoid(z)
		}
	}
	return nil
}
