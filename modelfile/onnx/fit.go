package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// layout is how the input of a file holds a picture.
type layout uint8

const (
	layoutNCHW layout = iota
	layoutNHWC        // as programs of TensorFlow's family write
	layoutNHW         // of one channel that has no axis
	layoutCHW         // of one picture, without an axis for the batch
	layoutHWC
	layoutFlat // [N C*H*W]
)

// fit is how pictures are fed to a file, see [Model.FitPictures].
type fit struct {
	layout layout
	// batch is the number of pictures that the graph takes, if that is fixed; else 0.
	batch   int
	classes int
	maps    bool // the answer is maps of classes [N classes H W]
}

// PictureOptions are what the caller of [Model.FitPictures] knows about its
// pictures. 0 is unknown.
type PictureOptions struct {
	Channels, Height, Width int
	// Chosen keeps to the present answer; otherwise an output that does not give the
	// scores of classes gives way to another.
	Chosen bool
}

// Pictures describes how a model takes pictures.
type Pictures struct {
	Input   tensor.Shape // of one picture, [C H W]
	Free    bool         // the file leaves height and width open
	Classes int
	// Maps is set if the answer has scores for each pixel, [N classes H W], as of
	// segmentation, and no output has scores for whole pictures.
	Maps bool
	// Whole is set if the input is of whole numbers, 0 to 255, as which pictures go
	// in without any normalization.
	Whole bool
	// Batch is the number of pictures that the graph computes at once, if it allows no
	// other; else 0. [Model.Forward] takes any number, and repeats the graph for more.
	Batch int
	// Notes are for people: what was assumed.
	Notes []string
}

// sizes are the heights and widths that are tried where the file leaves them open,
// the caller has none, and the network does not take the first.
var sizes = []int{224, 32, 28, 64, 96, 112, 128, 160, 192, 240, 256, 288, 299, 300, 320, 331, 336, 380, 384, 448, 480, 512}

// trial is one way in which pictures may be fed.
type trial struct {
	layout  layout
	c, h, w int
}

// shape returns the input of a batch of n in the file's layout.
func (t trial) shape(n int) tensor.Shape {
	switch t.layout {
	case layoutNHWC:
		return tensor.Shape{n, t.h, t.w, t.c}
	case layoutNHW:
		return tensor.Shape{n, t.h, t.w}
	case layoutCHW:
		return tensor.Shape{t.c, t.h, t.w}
	case layoutHWC:
		return tensor.Shape{t.h, t.w, t.c}
	case layoutFlat:
		return tensor.Shape{n, t.c * t.h * t.w}
	}
	return tensor.Shape{n, t.c, t.h, t.w}
}

// maxTrials bounds how often a graph is written until it fits: as often as makes
// trialNodes nodes, and at least leastTrials times.
const maxTrials, leastTrials, trialNodes = 64, 4, 1 << 17

// FitPictures finds out how the model takes pictures and how it answers: the layout
// of its input (channels first or last), the channels, height and width where the
// file leaves them open, which output has the scores of the classes (see
// [Model.Answers]), and whether the batch is fixed. Where the file does not say, it
// tries what is usual and takes the first that the graph can be computed with. From
// then on, [Model.Forward] takes [N C H W] and gives [N classes], or [N classes H W]
// if no output has scores for whole pictures.
func (m *Model) FitPictures(opt PictureOptions) (*Pictures, error) {
	p, err := m.fitPictures(opt, false)
	if errors.Is(err, errShape) {
		if maps, failed := m.fitPictures(opt, true); failed == nil {
			return maps, nil
		}
	}
	return p, err
}

// fitPictures is FitPictures for answers that are scores of pictures, or maps.
func (m *Model) fitPictures(opt PictureOptions, maps bool) (*Pictures, error) {
	var notes []string
	if len(m.inputs) > 1 {
		notes = m.fixSwitches()
	}
	in, err := m.onlyInput()
	if err != nil {
		return nil, err
	}
	if in.other != "" {
		return nil, fmt.Errorf("onnx: the input %q is %s, not a tensor", in.name, in.other)
	}
	trials, err := in.trials(opt)
	if err != nil {
		return nil, err
	}
	limit := min(maxTrials, max(leastTrials, trialNodes/len(m.proto.graph.nodes)))
	var first error
	written := 1
	if in.known && len(in.dims) > 1 && in.dims[0] > 0 {
		written = int(min(in.dims[0], 1<<20))
	}
	all := m.answers
	defer func() {
		if m.fit == nil {
			m.answers = all
		}
	}()
	for k, a := range all {
		if k > 0 && opt.Chosen {
			break
		}
		m.answers = append([]*answer{a}, slices.Delete(slices.Clone(all), k, k+1)...)
		if err := m.refuse(); err != nil {
			first = cmpError(first, err)
			continue
		}
		for _, t := range trials {
			if limit--; limit < 0 {
				return nil, first
			}
			classes, err := m.try(in, t, written, maps)
			if err != nil {
				first = cmpError(first, err)
				continue
			}
			m.fit = &fit{layout: t.layout, classes: classes, maps: maps}
			m.fit.batch = m.batchOf(in, t, written)
			p := &Pictures{Input: tensor.Shape{t.c, t.h, t.w}, Classes: classes, Maps: maps, Whole: in.elem != 0 && !in.elem.isFloat(), Batch: m.fit.batch,
				Free: !in.known || len(in.dims) >= 3 && slices.Contains(in.dims[1:], -1), Notes: notes}
			if t.layout == layoutFlat && t.c > 1 {
				p.Notes = append(p.Notes, fmt.Sprintf("the input is a row of %d numbers: they are taken as %d channels one after another, of %d x %d pixels", t.c*t.h*t.w, t.c, t.h, t.w))
			}
			m.head = m.findHead()
			return p, nil
		}
	}
	return nil, first
}

// cmpError keeps the first error: it is of what most likely was meant.
func cmpError(first, err error) error {
	if first == nil {
		return err
	}
	return first
}

// fixSwitches gives inputs that are one truth value, such as training or
// keras_learning_phase, the value false.
func (m *Model) fixSwitches() (notes []string) {
	for _, v := range m.inputs {
		one := v.known
		for _, d := range v.dims {
			one = one && d == 1
		}
		if v.elem == elemBool && one && m.fixed[v.name] == nil {
			shape := make(tensor.Shape, len(v.dims))
			for i := range shape {
				shape[i] = 1
			}
			m.fixed[v.name] = newStatic(elemBool, shape)
			notes = append(notes, fmt.Sprintf("the input %q is taken as false", v.name))
		}
	}
	return notes
}

// trials lists the ways in which pictures may be fed to an input, the most likely
// first.
func (v *valueProto) trials(opt PictureOptions) ([]trial, error) {
	channels := []int{3, 1}
	if opt.Channels > 0 {
		channels = slices.Compact(append([]int{opt.Channels}, channels...))
	}
	type axes struct {
		layout  layout
		c, h, w int64
	}
	var forms []axes
	d := v.dims
	picture := func(c int64) bool { return c == 1 || c == 3 || c < 0 }
	switch {
	case !v.known:
		forms = []axes{{layoutNCHW, -1, -1, -1}, {layoutNHWC, -1, -1, -1}}
	case len(d) == 4:
		first, last := axes{layoutNCHW, d[1], d[2], d[3]}, axes{layoutNHWC, d[3], d[1], d[2]}
		switch {
		case d[1] > 0 && picture(d[1]) && d[3] < 0: // not pictures of one or three rows
			forms = []axes{first}
		case d[3] > 0 && picture(d[3]) && d[1] < 0:
			forms = []axes{last}
		case d[3] > 0 && picture(d[3]) && !picture(d[1]):
			forms = []axes{last, first}
		default:
			forms = []axes{first, last}
		}
	case len(d) == 3 && (d[0] == 3 || d[0] == 1 && d[2] != 3):
		forms = []axes{{layoutCHW, d[0], d[1], d[2]}, {layoutNHW, 1, d[1], d[2]}}
	case len(d) == 3 && d[0] > 0 && (d[2] == 3 || d[2] == 1):
		forms = []axes{{layoutHWC, d[2], d[0], d[1]}}
	case len(d) == 3:
		forms = []axes{{layoutNHW, 1, d[1], d[2]}}
	case len(d) == 2 && d[1] > 0:
		for _, p := range [][3]int{{opt.Channels, opt.Height, opt.Width}, {1, 28, 28}, {3, 32, 32}} {
			if int64(p[0])*int64(p[1])*int64(p[2]) == d[1] {
				return []trial{{layoutFlat, p[0], p[1], p[2]}}, nil
			}
		}
	}
	var out []trial
	for _, f := range forms {
		if !picture(f.c) {
			continue
		}
		cs := channels
		if f.c > 0 {
			cs = []int{int(f.c)}
		}
		for _, size := range openSizes(f.h, f.w, opt) {
			for _, c := range cs {
				if max(size[0], size[1]) > maxExtent {
					return nil, fmt.Errorf("onnx: the input %q is of %d x %d pixels, more than the limit of %d on a side", v.name, size[0], size[1], maxExtent)
				}
				out = append(out, trial{f.layout, c, size[0], size[1]})
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("onnx: the input %q is %v, must be pictures as [N C H W] or [N H W C] with 1 or 3 channels", v.name, v.dims)
	}
	return out, nil
}

// maxExtent is the largest height or width of pictures.
const maxExtent = 1 << 14

// openSizes lists heights and widths where one or both are open.
func openSizes(h, w int64, opt PictureOptions) [][2]int {
	if h > 0 && w > 0 {
		return [][2]int{{int(min(h, 1<<30)), int(min(w, 1<<30))}}
	}
	var out [][2]int
	add := func(a, b int) {
		if h > 0 {
			a = int(min(h, 1<<30))
		}
		if w > 0 {
			b = int(min(w, 1<<30))
		}
		if s := [2]int{a, b}; a > 0 && b > 0 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	add(opt.Height, opt.Width)
	if h > 0 || w > 0 {
		add(int(max(h, w)), int(max(h, w)))
	}
	for _, s := range sizes {
		add(s, s)
	}
	return out
}

// errShape is wrapped by the error of a trial whose output has another shape than
// the scores of classes.
var errShape = errors.New("it must be [N classes]")

// try writes the graph for a batch of n and returns the number of classes.
func (m *Model) try(in *valueProto, t trial, n int, maps bool) (classes int, err error) {
	out, err := m.trace(in, t, n)
	if err != nil {
		return 0, err
	}
	s := out.Shape
	rows := n
	if t.layout == layoutCHW || t.layout == layoutHWC {
		rows = 1
	}
	switch {
	case maps && len(s) == 4 && s[0] == rows && t.layout == layoutNHWC:
		return s[3], nil
	case maps && len(s) == 4 && s[0] == rows:
		return s[1], nil
	case maps:
	case len(s) > 1 && s[0] == rows && s[1:].Numel() == slices.Max(s[1:]):
		return s[1:].Numel(), nil
	case len(s) > 0 && rows == 1 && s.Numel() == slices.Max(s): // without an axis for the batch
		return s.Numel(), nil
	}
	return 0, fmt.Errorf("onnx: the output %q is %v for %d pictures of %d x %d pixels: %w", m.Answer(), s, rows, t.h, t.w, errShape)
}

// trace writes the answer for a batch of n, as inference.
func (m *Model) trace(in *valueProto, t trial, n int) (out *graph.Value, err error) {
	g := &graph.Graph{}
	var x *graph.Value
	names := map[*nn.Param]string{}
	for name, p := range m.Params {
		names[p] = name
	}
	param := func(p *nn.Param) *graph.Value {
		v, err := g.Variable(names[p], graph.Type{DType: p.DType, Shape: p.Shape})
		if err != nil {
			panic(err)
		}
		return v
	}
	err = graph.Try(func() {
		if x, err = g.Input(in.name, graph.F32(t.shape(n)...)); err != nil {
			panic(err)
		}
		im := &importer{m: m, g: g, param: param, running: param}
		outs := im.run(map[string]*graph.Value{in.name: x}, []string{m.answers[0].value})
		if outs[0].dyn == nil {
			panic(&graph.Error{Op: "ONNX output " + m.Answer(), Err: errors.New("it does not depend on the picture")})
		}
		out = outs[0].dyn
	})
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return out, nil
}

// batchOf returns the number of pictures that the graph takes, or 0 if it takes any
// number: it must then be possible to write it for two, and, if the file declares
// the number, no operator may mix pictures.
func (m *Model) batchOf(in *valueProto, t trial, written int) int {
	if t.layout == layoutCHW || t.layout == layoutHWC {
		return 1
	}
	n := written + 1
	out, err := m.trace(in, t, n)
	if err != nil || len(out.Shape) == 0 || out.Shape[0] != n || !m.fit.maps && out.Shape.Numel() != n*m.fit.classes {
		return written
	}
	// Where the file declares the number of pictures, only what certainly keeps them
	// separate may have another; where it leaves it open, only what certainly mixes
	// them, as scales found from all of them, may not.
	mixed, reduced := mixes(out, n)
	if reduced || mixed && in.known && in.dims[0] > 0 {
		return written
	}
	return 0
}

// forward feeds pictures [N C H W] to the file's graph, which run writes, and
// returns the scores [N classes].
func (f *fit) forward(g *graph.Graph, x *graph.Value, run func(*graph.Value) *graph.Value) *graph.Value {
	n := x.Shape[0]
	if f.batch == 0 || n == f.batch {
		return f.part(g, x, run)
	}
	// The graph is repeated for each part; what is missing in the last is repeated
	// from its first picture.
	var parts []*graph.Value
	for at := 0; at < n; at += f.batch {
		count := min(f.batch, n-at)
		part := g.Must1(graph.Slice{Axis: 0, Start: at, Count: count, Step: 1}, x)
		if count < f.batch {
			in := []*graph.Value{part}
			for range f.batch - count {
				in = append(in, g.Must1(graph.Slice{Axis: 0, Start: at, Count: 1, Step: 1}, x))
			}
			part = g.Must1(graph.Concat{Axis: 0}, in...)
		}
		y := f.part(g, part, run)
		if count < f.batch {
			y = g.Must1(graph.Slice{Axis: 0, Start: 0, Count: count, Step: 1}, y)
		}
		parts = append(parts, y)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return g.Must1(graph.Concat{Axis: 0}, parts...)
}

// part feeds one batch.
func (f *fit) part(g *graph.Graph, x *graph.Value, run func(*graph.Value) *graph.Value) *graph.Value {
	s := x.Shape
	reshape := func(x *graph.Value, shape ...int) *graph.Value {
		if x.Shape.Equal(shape) {
			return x
		}
		return g.Must1(graph.Reshape{Shape: shape}, x)
	}
	switch f.layout {
	case layoutNHWC:
		x = g.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, x)
	case layoutNHW:
		x = reshape(x, s[0], s[2], s[3])
	case layoutCHW:
		x = reshape(x, s[1], s[2], s[3])
	case layoutHWC:
		x = reshape(g.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, x), s[2], s[3], s[1])
	case layoutFlat:
		x = reshape(x, s[0], s[1]*s[2]*s[3])
	}
	y := run(x)
	if f.maps {
		if f.layout == layoutNHWC {
			y = g.Must1(graph.Permute{Perm: []int{0, 3, 1, 2}}, y)
		}
		return y
	}
	if y.Shape.Numel()%s[0] != 0 {
		panic(&graph.Error{Op: "ONNX output", Err: fmt.Errorf("it is %v for %d pictures", y.Shape, s[0])})
	}
	classes := y.Shape.Numel() / s[0]
	if op, ok := y.Node.Op.(graph.Unary); ok { // so that the end of the network is seen
		return g.Must1(op, reshape(y.Node.In[0], s[0], classes))
	}
	return reshape(y, s[0], classes)
}
