package onnx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// exportOpset is the version of the operators that are written, irVersion the
// version of the file format that came with it.
const (
	exportOpset = 17
	irVersion   = 8
)

// SaveOptions are the choices of [Save].
type SaveOptions struct {
	// Input is the shape of one image, [C H W].
	Input tensor.Shape
	// Batch is the batch size of the file; 0 leaves it open, as the dynamic
	// axis "batch".
	Batch int
	// FreeSize leaves height and width open, as the dynamic axes "height" and "width";
	// Input then has the size for which the network is meant. It suits networks for
	// segmentation; one that works for a single size only is an error.
	FreeSize bool
	// KeepBatchNorm writes batch norms as operators, so that training can continue
	// from the file and its tensors are the state dict. Otherwise they are folded
	// into the convolutions and linear layers before them where possible.
	KeepBatchNorm bool
	// InputName and OutputName name the file's input and output; "input" and
	// "output" if empty. Other inputs and outputs of the network have the names that
	// it gives them.
	InputName, OutputName string
	// Metadata are texts kept in the file: classes, preprocessing.
	Metadata map[string]string
	// External puts the tensors into a separate file in the same folder, with
	// ".data" added to the name. Models above 2 GB need it.
	External bool

	// shapes writes parameters without their values, which need not exist.
	shapes bool
}

// Save writes m, whose parameters must have values, as an ONNX model: the same
// bytes for the same model. Initializers have the parameters' state-dict keys.
// Operators that ONNX lacks are an error that names the module.
//
// A detector of package models becomes a model of one picture [3 H W] of any size,
// values from 0 to 1 of red, green and blue, as torchvision's detectors are exported:
// it normalizes and resizes the picture itself, and its outputs are boxes [n 4] (x1,
// y1, x2, y2 in pixels of the picture), labels [n], int64, scores [n] and, of Mask
// R-CNNs, masks [n 1 H W], probabilities of each pixel; the highest score comes
// first. Of opt, Input, Batch, FreeSize and OutputName then have no effect.
func Save(path string, m nn.Module, opt SaveOptions) error {
	p, err := export(m, opt)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	var outside map[string]string
	if opt.External {
		side := filepath.Base(path) + ".data"
		var data *chunks
		data, outside = p.detach(side)
		err := atomicfile.Write(filepath.Join(filepath.Dir(path), side), func(w io.Writer) error { return data.write(w) })
		if err != nil {
			return err
		}
	}
	b, err := p.sealed(outside)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if b.size > MaxFileSize {
		return fmt.Errorf("cannot write %s: the model has %d bytes, and an ONNX file at most %d: keep the tensors outside (SaveOptions.External)", path, b.size, MaxFileSize)
	}
	return atomicfile.Write(path, b.write)
}

// Write writes m to w as [Save] does to a file; opt.External is an error.
func Write(w io.Writer, m nn.Module, opt SaveOptions) error {
	if opt.External {
		return errors.New("onnx: tensors outside the model need a file: use Save")
	}
	p, err := export(m, opt)
	if err != nil {
		return err
	}
	b, err := p.sealed(nil)
	if err != nil {
		return err
	}
	return b.write(w)
}

// exporter writes the nodes of a graph as nodes of a file.
type exporter struct {
	opt   SaveOptions
	out   *graphProto
	names map[*graph.Value]string
	taken map[string]bool
	// Comparing two traces with different batches shows which extents are the
	// batch's. other has each value's counterpart; nil if the batch is fixed.
	other  map[*graph.Value]*graph.Value
	values map[string]*tensor.Tensor // of the parameters
	sized  []*graph.Value            // those already written that have a height and width, see resize
	detect *detectorExport           // nil unless the network is a detector
	used   map[*graph.Value]int
	folded map[*graph.Node]*fold // batch norms, and the layers they are folded into
}

func export(m nn.Module, opt SaveOptions) (*modelProto, error) {
	net, detector := m.(*models.Model)
	detector = detector && net.Detector != nil
	if detector {
		opt.Batch, opt.FreeSize, opt.Input = 1, true, tensor.Shape{net.Config.InChannels, 0, 0}
	}
	if len(opt.Input) != 3 {
		return nil, fmt.Errorf("onnx: SaveOptions.Input is %v, want [C H W]", opt.Input)
	}
	if opt.Batch < 0 {
		return nil, fmt.Errorf("onnx: a batch of %d", opt.Batch)
	}
	if opt.InputName == "" {
		opt.InputName = "input"
	}
	if opt.OutputName == "" {
		opt.OutputName = "output"
	}
	x := &exporter{
		opt: opt, out: &graphProto{name: "resnet"}, names: map[*graph.Value]string{}, values: map[string]*tensor.Tensor{},
		taken: map[string]bool{opt.InputName: true, opt.OutputName: true}, used: map[*graph.Value]int{}, folded: map[*graph.Node]*fold{},
	}
	for _, e := range nn.Params(m) {
		if e.Param.Value != nil {
			x.values[e.Name] = e.Param.Value
		}
		x.taken[e.Name] = true
	}
	t, err := x.traces(m)
	if err != nil {
		return nil, err
	}
	if detector {
		err = x.detector(t, net)
	} else {
		err = x.graph(t)
	}
	if err != nil {
		return nil, err
	}
	p := &modelProto{irVersion: irVersion, producer: "resnet", graph: x.out, opsets: []opsetProto{{"", exportOpset}}}
	for _, k := range slices.Sorted(maps.Keys(opt.Metadata)) {
		p.metadata = append(p.metadata, entryProto{k, opt.Metadata[k]})
	}
	return p, nil
}

// sizesOfTraces are the heights and widths by which a second trace shows what follows
// the size of the input. They are multiples of 32, as some networks need it, and far
// enough apart that no layer has the same size in both.
var sizesOfTraces = [2][2]int{{256, 320}, {320, 448}}

// traces traces m, and compares it with a second trace if the batch or the size of
// the input is left open.
func (x *exporter) traces(m nn.Module) (*nn.Traced, error) {
	var shapes [2]tensor.Shape
	for i := range shapes {
		batch := x.opt.Batch
		if batch == 0 {
			batch = 2 + i
		}
		shapes[i] = append(tensor.Shape{batch}, x.opt.Input...)
		if x.opt.FreeSize {
			shapes[i][2], shapes[i][3] = sizesOfTraces[i][0], sizesOfTraces[i][1]
		}
	}
	t, err := trace(m, shapes[0])
	if err != nil || shapes[0].Equal(shapes[1]) {
		return t, err
	}
	o, err := trace(m, shapes[1])
	if err != nil {
		return nil, err
	}
	return t, x.match(t.Graph, o.Graph)
}

func trace(m nn.Module, shape tensor.Shape) (*nn.Traced, error) {
	t, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(shape...)})
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return t, nil
}

// equal compares the elements of two tensors, wherever they are.
func equal(a, b *tensor.Tensor) (bool, error) {
	if a == b {
		return true, nil
	}
	if a.DType() != b.DType() || !a.Shape().Equal(b.Shape()) {
		return false, nil
	}
	if a.DType() == tensor.Int64 {
		return slices.Equal(a.Int64s(), b.Int64s()), nil
	}
	for _, t := range []*tensor.Tensor{a, b} {
		if err := t.Load(); err != nil {
			return false, err
		}
	}
	return slices.EqualFunc(a.Float32s(), b.Float32s(), func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }), nil
}

// match pairs the values of two traces that differ in the batch and the size alone.
func (x *exporter) match(a, b *graph.Graph) error {
	x.other = map[*graph.Value]*graph.Value{}
	what := "batch size: choose one (SaveOptions.Batch)"
	if x.opt.FreeSize {
		what = "batch size or the size of the picture: choose them (SaveOptions.Batch, SaveOptions.FreeSize)"
	}
	differ := func(n *graph.Node) error { return fmt.Errorf("onnx: %v depends on the %s", n, what) }
	if len(a.Nodes) != len(b.Nodes) {
		return fmt.Errorf("onnx: the model has other operators for another %s", what)
	}
	for i, n := range a.Nodes {
		o := b.Nodes[i]
		if len(n.Out) != len(o.Out) || reflect.TypeOf(n.Op) != reflect.TypeOf(o.Op) {
			return differ(n)
		}
		switch op := n.Op.(type) {
		case graph.Input, graph.Reshape, graph.BroadcastTo, graph.Conv2dInputGrad, graph.HostOp:
		case graph.Slice: // of other extents, to the end of both
			q := o.Op.(graph.Slice)
			if op != q && !(x.opt.FreeSize && op.Axis == q.Axis && op.Start == q.Start && op.Step == q.Step && toEnd(n) && toEnd(o)) {
				return differ(n)
			}
		case graph.Resize: // to a size; one by scales must have the same
			if q := o.Op.(graph.Resize); !x.opt.FreeSize && op != q || op.Bilinear != q.Bilinear || op.ScaleH != q.ScaleH || op.ScaleW != q.ScaleW {
				return differ(n)
			}
		case graph.Const:
			same, err := equal(op.Tensor, o.Op.(graph.Const).Tensor)
			if err != nil {
				return fmt.Errorf("onnx: %v: %w", n, err)
			}
			if !same {
				return differ(n)
			}
		default:
			if !reflect.DeepEqual(n.Op, o.Op) {
				return differ(n)
			}
		}
		for j := range n.Out {
			x.other[n.Out[j]] = o.Out[j]
		}
	}
	return nil
}

// toEnd reports whether a slice takes as many elements as there are.
func toEnd(n *graph.Node) bool {
	op := n.Op.(graph.Slice)
	return op.Start+op.Count*op.Step >= n.In[0].Shape[op.Axis]
}

// dims returns v's shape with -1 for the extents that follow the batch or the size of
// the input.
func (x *exporter) dims(v *graph.Value) []int64 {
	out := make([]int64, len(v.Shape))
	for i, d := range v.Shape {
		out[i] = int64(d)
		if o := x.other[v]; o != nil && o.Shape[i] != d {
			out[i] = -1
		}
	}
	return out
}

// live returns the nodes that the values need, in order, and counts their uses.
func (x *exporter) live(g *graph.Graph, outputs ...*graph.Value) []*graph.Node {
	live := map[*graph.Node]bool{}
	var mark func(v *graph.Value)
	mark = func(v *graph.Value) {
		x.used[v]++
		if live[v.Node] {
			return
		}
		live[v.Node] = true
		for _, in := range v.Node.In {
			mark(in)
		}
	}
	for _, v := range outputs {
		mark(v)
	}
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(n *graph.Node) bool { return !live[n] })
}

// nodes writes operators.
func (x *exporter) nodes(nodes []*graph.Node) error {
	if !x.opt.KeepBatchNorm {
		for _, n := range nodes {
			x.findFold(n)
		}
	}
	for _, n := range nodes {
		if err := x.node(n); err != nil {
			return fmt.Errorf("onnx: %v: %w", n, err)
		}
		for _, v := range n.Out {
			if len(v.Shape) == 4 && x.names[v] != "" {
				x.sized = append(x.sized, v)
			}
		}
	}
	return nil
}

func (x *exporter) graph(t *nn.Traced) error {
	inputs := append([]nn.Named{{Name: x.opt.InputName, Value: t.Input}}, t.Inputs...)
	outputs := append([]nn.Named{{Name: x.opt.OutputName, Value: t.Output}}, t.Outputs...)
	values := make([]*graph.Value, len(outputs))
	for i, o := range outputs {
		values[i] = o.Value
	}
	nodes := x.live(t.Graph, values...)
	if x.used[t.Input] == 0 {
		return errors.New("onnx: the model's output does not depend on its input")
	}
	if err := x.reserve(inputs[1:], outputs[1:]); err != nil {
		return err
	}
	for _, in := range inputs {
		x.out.inputs = append(x.out.inputs, x.valueInfo(in.Name, in.Value))
		x.names[in.Value] = in.Name
	}
	if err := x.nodes(nodes); err != nil {
		return err
	}
	for _, o := range outputs {
		x.output(o.Name, o.Value)
	}
	return nil
}

// reserve takes the names of the other inputs and outputs.
func (x *exporter) reserve(inputs, outputs []nn.Named) error {
	for _, n := range slices.Concat(inputs, outputs) {
		if x.taken[n.Name] {
			return fmt.Errorf("onnx: two things are called %q, of the inputs, outputs and parameters: give the input or output another name", n.Name)
		}
		x.taken[n.Name] = true
	}
	return nil
}

// output makes a value an output of the file, under whose name the value goes from
// then on, unless it has one already that must stay.
func (x *exporter) output(name string, v *graph.Value) {
	x.out.outputs = append(x.out.outputs, x.valueInfo(name, v))
	last := x.names[v]
	named := func(p *valueProto) bool { return p.name == last }
	if slices.ContainsFunc(x.out.inputs, named) || slices.ContainsFunc(x.out.outputs, named) || x.isInitializer(last) {
		x.emit(&nodeProto{name: x.unique("/" + name + "/Identity"), op: "Identity", in: []string{last}, out: []string{name}})
		return
	}
	for _, n := range x.out.nodes {
		for _, names := range [][]string{n.in, n.out} {
			for i, s := range names {
				if s == last {
					names[i] = name
				}
			}
		}
	}
	x.names[v] = name
}

func (x *exporter) isInitializer(name string) bool {
	return slices.ContainsFunc(x.out.initializers, func(t *tensorProto) bool { return t.name == name })
}

func (x *exporter) valueInfo(name string, v *graph.Value) *valueProto {
	out := &valueProto{name: name, elem: elemFloat, known: true, dims: x.dims(v)}
	if v.DType == tensor.Int64 {
		out.elem = elemInt64
	}
	for a, d := range out.dims {
		s := ""
		if d < 0 {
			s = "batch"
			if a >= 2 && x.opt.FreeSize {
				s = [...]string{"height", "width"}[a%2]
			}
		}
		out.names = append(out.names, s)
	}
	return out
}

// unique returns name, or name with a number, and takes it.
func (x *exporter) unique(name string) string {
	s := name
	for k := 1; x.taken[s]; k++ {
		s = fmt.Sprintf("%s_%d", name, k)
	}
	x.taken[s] = true
	return s
}

func (x *exporter) emit(n *nodeProto) { x.out.nodes = append(x.out.nodes, n) }

// add appends a node of one output, named after the module, and returns the
// output's name.
func (x *exporter) add(n *graph.Node, op string, in []string, attrs ...*attrProto) string {
	name := "/" + op
	if n.Path != "" {
		name = "/" + n.Path + "/" + op
	}
	name = x.unique(name)
	x.emit(&nodeProto{name: name, op: op, in: in, out: []string{name}, attrs: attrs})
	return name
}

// init adds an initializer.
func (x *exporter) init(name string, dims []int64, floats []float32, ints []int64) string {
	t := &tensorProto{name: name, dims: dims, elem: elemFloat, hasRaw: true}
	if ints != nil {
		t.elem = elemInt64
		t.raw = rawInts(ints)
	} else {
		t.raw = rawFloats(floats)
	}
	x.out.initializers = append(x.out.initializers, t)
	return name
}

func (x *exporter) number(n *graph.Node, v float32) string {
	return x.init(x.unique(constName(n, "value")), nil, []float32{v}, nil)
}

func (x *exporter) integers(n *graph.Node, what string, v []int64) string {
	return x.init(x.unique(constName(n, what)), []int64{int64(len(v))}, nil, v)
}

func constName(n *graph.Node, what string) string {
	if n.Path == "" {
		return "/" + n.Op.Name() + "/" + what
	}
	return "/" + n.Path + "/" + n.Op.Name() + "/" + what
}

func shape64(s tensor.Shape) []int64 {
	out := make([]int64, len(s))
	for i, d := range s {
		out[i] = int64(d)
	}
	return out
}
