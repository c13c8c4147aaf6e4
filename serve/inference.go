package serve

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/serve/internal/oip"
)

// The inputs and outputs of models in the Open Inference Protocol.
const (
	imageInput  = "image" // encoded pictures
	tensorInput = "input" // what the network gets

	logitsOutput        = "logits"
	probabilitiesOutput = "probabilities"
	embeddingOutput     = "embedding"

	boxesOutput   = "boxes"  // x1, y1, x2, y2 in pixels
	scoresOutput  = "scores" // the highest first
	labelsOutput  = "labels" // indices of classes
	classesOutput = "classes"
	pictureOutput = "picture" // the index of the picture in the request
	maskOutput    = "mask"
)

// port is an input or output of a model.
type port struct {
	name     string
	datatype oip.DataType
	shape    []int64 // -1 for an extent that requests choose
	optional bool
}

// ports returns the inputs and outputs of a model. The first extent of those of batched
// models is the batch.
func (in *instance) ports() (inputs, outputs []port) {
	shape, k := in.model.Input(), int64(len(in.model.Classes()))
	switch in.model.Task() {
	case models.Detection:
		return []port{{imageInput, oip.Bytes, []int64{-1}, false}}, []port{
			{boxesOutput, oip.Float32, []int64{-1, 4}, false}, {scoresOutput, oip.Float32, []int64{-1}, false},
			{labelsOutput, oip.Int64, []int64{-1}, false}, {classesOutput, oip.Bytes, []int64{-1}, false}, {pictureOutput, oip.Int64, []int64{-1}, false},
		}
	case models.Segmentation:
		return []port{{imageInput, oip.Bytes, []int64{1}, false}}, []port{{maskOutput, oip.Uint8, []int64{1, -1, -1}, false}}
	}
	inputs = []port{
		{imageInput, oip.Bytes, []int64{-1, 1}, true},
		{tensorInput, oip.Float32, []int64{-1, int64(shape[0]), int64(shape[1]), int64(shape[2])}, true},
	}
	if in.model.Task() == models.Classification {
		outputs = []port{{probabilitiesOutput, oip.Float32, []int64{-1, k}, false}, {logitsOutput, oip.Float32, []int64{-1, k}, false}}
	}
	return inputs, append(outputs, port{embeddingOutput, oip.Float32, []int64{-1, int64(in.features)}, false})
}

// infer answers a request of the Open Inference Protocol.
func (s *Server) infer(ctx context.Context, name, version string, req *oip.Request) (out *oip.Response, err error) {
	in, err := s.hold(name, version)
	if err != nil {
		return nil, err
	}
	defer in.drop()
	if micros, given, err := req.Params.Int("timeout"); err != nil {
		return nil, badRequest(err)
	} else if given && micros < 0 {
		return nil, errorf(http.StatusBadRequest, "the parameter timeout is %d: it must be microseconds, or 0 for none", micros)
	} else if given && micros > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(micros, math.MaxInt64/1000))*time.Microsecond)
		defer cancel()
	}
	priority, err := priorityOf(req.Params)
	if err != nil {
		return nil, badRequest(err)
	}
	inputs, outputs := in.ports()
	for _, o := range req.Outputs {
		if !slices.ContainsFunc(outputs, func(p port) bool { return p.name == o.Name }) {
			return nil, errorf(http.StatusBadRequest, "the model %s has no output %.200q; it has %s", in.name, o.Name, names(outputs))
		}
	}
	if len(req.Inputs) != 1 {
		return nil, errorf(http.StatusBadRequest, "there are %d inputs, must be one of %s", len(req.Inputs), names(inputs))
	}
	x := &req.Inputs[0]
	if !slices.ContainsFunc(inputs, func(p port) bool { return p.name == x.Name }) {
		return nil, errorf(http.StatusBadRequest, "the model %s has no input %.200q; it has %s", in.name, x.Name, names(inputs))
	}
	n, err := in.count(x)
	if err != nil {
		return nil, badRequest(err)
	}
	c, end, err := s.begin(ctx, in, n)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()
	c.priority = priority
	var tensors map[string]*oip.Tensor
	switch in.model.Task() {
	case models.Detection:
		tensors, err = c.inferObjects(ctx, pictures(x))
	case models.Segmentation:
		tensors, err = c.inferMask(ctx, pictures(x)[0])
	default:
		tensors, err = c.inferRows(ctx, x, n)
	}
	if err != nil {
		return nil, err
	}
	return in.respond(req, outputs, tensors)
}

// The levels of priority that requests of the protocol may have, 1 being the highest, and
// that of requests without one.
const (
	priorityLevels  = 3
	defaultPriority = 2
)

// priorityOf returns the level of the parameter priority. As in Triton, 0 and numbers above
// the lowest level stand for the default.
func priorityOf(p oip.Params) (int, error) {
	n, given, err := p.Int("priority")
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, fmt.Errorf("the parameter priority is %d, must be from 1, the highest, to %d", n, priorityLevels)
	case !given || n == 0 || n > priorityLevels:
		return defaultPriority, nil
	}
	return int(n), nil
}

func names(ports []port) string {
	var list []string
	for _, p := range ports {
		list = append(list, p.name)
	}
	return strings.Join(list, ", ")
}

// count returns the number of pictures in an input.
func (in *instance) count(x *oip.Tensor) (int, error) {
	if x.Name == imageInput {
		n := len(x.Elements)
		switch most := in.server.opt.MaxPictures; {
		case x.Type != oip.Bytes:
			return 0, fmt.Errorf("input %q is %s, must be BYTES: the file of a picture in each element", x.Name, x.Type)
		case n == 0:
			return 0, fmt.Errorf("input %q has no picture", x.Name)
		case len(x.Shape) > 2 || len(x.Shape) == 2 && x.Shape[1] != 1:
			return 0, fmt.Errorf("input %q has the shape %v, must be [n] or [n 1] for n pictures", x.Name, x.Shape)
		case in.batched():
			return n, in.fits(n)
		case n > most:
			return 0, errorf(http.StatusRequestEntityTooLarge, "input %q has %d pictures, more than the limit of %d: send fewer in each request", x.Name, n, most)
		case n > 1 && in.model.Task() == models.Segmentation:
			return 0, fmt.Errorf("input %q has %d pictures, must be one, because masks have the sizes of their pictures", x.Name, n)
		}
		return n, nil
	}
	shape, got := in.model.Input(), x.Shape
	want := fmt.Sprintf("[n %d %d %d]", shape[0], shape[1], shape[2])
	if len(got) == 3 {
		got = append([]int64{1}, got...)
	}
	if len(got) != 4 || got[0] < 1 || got[1] != int64(shape[0]) || got[2] != int64(shape[1]) || got[3] != int64(shape[2]) {
		return 0, fmt.Errorf("input %q has the shape %v, must be %s", x.Name, x.Shape, want)
	}
	switch x.Type {
	case oip.Float32, oip.Float16, oip.BFloat, oip.Float64:
		return int(got[0]), in.fits(int(got[0]))
	}
	return 0, fmt.Errorf("input %q is %s, must be FP32, FP16, BF16 or FP64; pictures go to the input %q", x.Name, x.Type, imageInput)
}

// fits returns an error for a batch that is larger than the max_batch_size in the
// model's configuration.
func (in *instance) fits(n int) error {
	if most := in.server.opt.maxBatchSize(); n > most {
		return fmt.Errorf("the batch has %d inputs, more than max_batch_size of the model %s, which is %d: send fewer in each request", n, in.name, most)
	}
	return nil
}

// pictures returns the pictures in an input of encoded ones.
func pictures(x *oip.Tensor) []picture {
	ps := make([]picture, len(x.Elements))
	for i, e := range x.Elements {
		ps[i] = picture{"picture " + strconv.Itoa(i), e}
	}
	return ps
}

// inferRows computes the outputs of a classifier or a backbone.
func (c *call) inferRows(ctx context.Context, x *oip.Tensor, n int) (map[string]*oip.Tensor, error) {
	var logits, features []float32
	if x.Name == imageInput {
		ps := pictures(x)
		zs, fs := make([][]float32, n), make([][]float32, n)
		err := each(n, func(i int) (err error) { zs[i], fs[i], err = c.numbers(ctx, ps[i]); return err })
		if err != nil {
			return nil, err
		}
		logits, features = slices.Concat(zs...), slices.Concat(fs...)
	} else {
		var rows []float32
		// Numbers take as long and as much memory as pictures, so they wait for the same
		// turns: two copies of 4 bytes each.
		release, err := c.s.decoders.turn(ctx, 8*int64(n)*int64(c.in.model.Input().Numel()), 0, func() (err error) {
			if rows, err = c.rows(x, n); err != nil {
				err = badRequest(err)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		release()
		if logits, features, err = c.forward(ctx, rows, n); err != nil {
			return nil, err
		}
	}
	defer c.since(stageOutput, time.Now())
	k, f := len(logits)/n, len(features)/n
	for i := range n {
		if err := c.in.model.CheckFinite("input "+strconv.Itoa(i), logits[i*k:(i+1)*k], features[i*f:(i+1)*f]); err != nil {
			return nil, err
		}
	}
	embedding := floats(features, n, f)
	if c.in.model.Task() == models.Features {
		return map[string]*oip.Tensor{embeddingOutput: embedding}, nil
	}
	probabilities := make([]float32, 0, len(logits))
	for i := range n {
		for _, p := range metrics.Probabilities(logits[i*k:(i+1)*k], c.in.model.MultiLabel()) {
			probabilities = append(probabilities, float32(p))
		}
	}
	return map[string]*oip.Tensor{
		logitsOutput:        floats(logits, n, k),
		probabilitiesOutput: floats(probabilities, n, k),
		embeddingOutput:     embedding,
	}, nil
}

// rows returns the network's inputs, [n H W C], of an input [n C H W].
func (c *call) rows(x *oip.Tensor, n int) ([]float32, error) {
	defer c.since(stageInput, time.Now())
	shape := c.in.model.Input()
	ch, hw := shape[0], shape[1]*shape[2]
	planes, err := x.Floats(0, n*ch*hw)
	if err != nil {
		return nil, err
	}
	for i, v := range planes {
		if v != v || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("input %q: element %d is %v, must be a finite number", x.Name, i, v)
		}
	}
	if ch == 1 {
		return planes, nil
	}
	rows := make([]float32, len(planes))
	for i := range n {
		from, to := planes[i*ch*hw:(i+1)*ch*hw], rows[i*ch*hw:(i+1)*ch*hw]
		for k := range ch {
			for p, v := range from[k*hw : (k+1)*hw] {
				to[p*ch+k] = v
			}
		}
	}
	return rows, nil
}

// inferObjects computes the outputs of a detector for pictures, one after the other.
func (c *call) inferObjects(ctx context.Context, ps []picture) (map[string]*oip.Tensor, error) {
	found := make([]*resnet.Detections, len(ps))
	if err := each(len(ps), func(i int) (err error) { found[i], err = c.detect(ctx, ps[i]); return err }); err != nil {
		return nil, err
	}
	var boxes, scores []float32
	var labels, of []int64
	var classes [][]byte
	for i, d := range found {
		for _, o := range d.Objects {
			boxes = append(boxes, o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2)
			scores, labels, of = append(scores, float32(o.Score)), append(labels, int64(o.Index)), append(of, int64(i))
			classes = append(classes, []byte(o.Class))
		}
	}
	n := len(scores)
	return map[string]*oip.Tensor{
		boxesOutput: floats(boxes, n, 4), scoresOutput: floats(scores, n), labelsOutput: ints(labels), pictureOutput: ints(of),
		classesOutput: {Type: oip.Bytes, Shape: []int64{int64(n)}, Elements: classes},
	}, nil
}

func (c *call) inferMask(ctx context.Context, p picture) (map[string]*oip.Tensor, error) {
	m, err := c.segment(ctx, p)
	if err != nil {
		return nil, err
	}
	return map[string]*oip.Tensor{maskOutput: {Type: oip.Uint8, Shape: []int64{1, int64(m.Mask.H), int64(m.Mask.W)}, Raw: m.Mask.Pix}}, nil
}

func floats(v []float32, shape ...int) *oip.Tensor {
	t := &oip.Tensor{}
	t.SetFloats(v)
	for _, d := range shape {
		t.Shape = append(t.Shape, int64(d))
	}
	return t
}

func ints(v []int64) *oip.Tensor {
	t := &oip.Tensor{Shape: []int64{int64(len(v))}}
	t.SetInts(v)
	return t
}

// respond makes the answer with the outputs that the request asks for, or all.
func (in *instance) respond(req *oip.Request, outputs []port, tensors map[string]*oip.Tensor) (*oip.Response, error) {
	out := &oip.Response{Model: in.name, Version: in.version, ID: req.ID}
	wanted := req.Outputs
	if len(wanted) == 0 {
		for _, p := range outputs {
			wanted = append(wanted, oip.Output{Name: p.name})
		}
	}
	for _, o := range wanted {
		t := *tensors[o.Name]
		t.Name = o.Name
		top, given, err := o.Params.Int("classification")
		if err != nil {
			return nil, badRequest(fmt.Errorf("output %q: %w", o.Name, err))
		}
		if given && top != 0 {
			if t, err = in.topClasses(t, top); err != nil {
				return nil, badRequest(err)
			}
		}
		binary, err := req.BinaryOutput(o)
		if err != nil {
			return nil, badRequest(err)
		}
		out.Outputs, out.Binary = append(out.Outputs, t), append(out.Binary, binary)
	}
	return out, nil
}

// topClasses returns the largest values of each row of an output as texts
// "value:index:class" (Triton's classification extension).
func (in *instance) topClasses(t oip.Tensor, top int64) (oip.Tensor, error) {
	classes := in.model.Classes()
	if t.Name != logitsOutput && t.Name != probabilitiesOutput {
		return t, fmt.Errorf("output %q: the parameter classification is for outputs with a value for each class: %s, %s", t.Name, probabilitiesOutput, logitsOutput)
	}
	if top < 0 {
		return t, fmt.Errorf("output %q: the parameter classification is %d, must not be negative", t.Name, top)
	}
	n, k := int(t.Shape[0]), len(classes)
	most := int(min(top, int64(k)))
	out := oip.Tensor{Name: t.Name, Type: oip.Bytes, Shape: []int64{int64(n), int64(most)}}
	for i := range n {
		v, err := t.Floats(i*k, k)
		if err != nil {
			return t, err
		}
		order := make([]int, k)
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case v[a] > v[b]:
				return -1
			case v[a] < v[b]:
				return 1
			}
			return 0
		})
		for _, j := range order[:most] {
			out.Elements = append(out.Elements, fmt.Appendf(nil, "%f:%d:%s", v[j], j, classes[j]))
		}
	}
	return out, nil
}
