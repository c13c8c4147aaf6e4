// Package onnx reads and writes networks in the ONNX format.
//
// [Load] reads a model of opset 7 or newer. The [Model] is a module of package
// nn: it can be traced, summarized, run and fine-tuned like the networks of
// package models. Its parameters are the file's initializers, under their names.
// Each trace reads the file's nodes again, with the shapes of that trace, so that
// a dynamic batch costs nothing: what the file computes from shapes is computed
// here and is constant to the graph (fold*.go), the rest becomes operators of
// package graph (op_*.go).
//
// [Save] writes any module as an ONNX model of opset 17.
package onnx

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// The opsets of the domain ai.onnx that are read. Operators changed little
// after the newest; an operator that a later one adds is refused by name.
const (
	MinOpset = 7
	MaxOpset = 28
)

// MaxFileSize is the largest file that is read: the format's own limit.
// Larger models keep their tensors in separate files.
const MaxFileSize = 1<<31 - 1

// Model is a network read from an ONNX file. It is an nn.Module: Forward adds
// the file's nodes to a trace.
type Model struct {
	// Params holds the initializers that the network's layers use, by name. Batch
	// norms' statistics, and tensors that are not weights of a layer, are buffers.
	Params map[string]*nn.Param `key:""`
	// Layers holds what the nodes are in summaries, by path.
	Layers map[string]*Layer `key:""`

	proto  *modelProto
	consts map[string]*static // initializers that are not parameters
	fixed  map[string]*static // inputs whose values are known
	// integers are large quantized weights that are still in the file.
	integers map[string]*integers
	paths    map[*nodeProto]string
	opset    int64
	inputs   []*valueProto // that are not initializers
	head     *head
	// answers are the outputs; the first is what Forward computes.
	answers []*answer
	texts   map[string][]string // initializers of texts
	unread  map[string]error    // initializers that no number can be made of, and why
	fit     *fit                // how pictures are fed; nil feeds the input as the file declares it
	// elements is the number of elements of all initializers.
	elements int
	// Of a network that a model file of ours describes by its graph: the input that
	// takes pictures, and their shape.
	main    *valueProto
	picture tensor.Shape
}

// Port is an input or output of a model as its file declares it.
type Port struct {
	Name  string
	DType string // ONNX's name, such as "float"
	// Shape has -1 where the extent is dynamic; it is nil if the file does not
	// declare it.
	Shape []int
}

// Load reads the model file at path. Tensors kept outside it must lie in its
// folder or below. An error names the file, and the node that cannot be used.
func Load(path string) (*Model, error) {
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", err)
	}
	defer f.Close()
	return Read(f, f.Size(), ReadOptions{Path: path})
}

// ReadOptions are the choices of [Read].
type ReadOptions struct {
	// Path is the file's path: errors name it, and tensors that are kept outside
	// the file are in its folder or below. If it is empty, all must be inside.
	Path string
	// Deferred leaves large weights that are inside the file there until they are
	// needed, see [tensor.Deferred]. It suits networks that are only run. The
	// reader must then stay open as long as such a weight exists, and if it has a
	// method Check() error, which reports that the file has changed since it was
	// opened, reading weights calls it.
	Deferred bool
	// SkipChecksums does not compare the checksums that [Save] writes, which otherwise
	// are an error that wraps [ErrChecksum] if they do not match.
	SkipChecksums bool
}

// Read reads a model of size bytes from r. An error names the file, if
// [ReadOptions].Path does, and the node that cannot be used.
func Read(r io.ReaderAt, size int64, opt ReadOptions) (*Model, error) {
	m, err := read(r, size, opt)
	if err != nil && opt.Path != "" {
		err = fmt.Errorf("%s: %w", opt.Path, err)
	}
	return m, err
}

func read(r io.ReaderAt, size int64, opt ReadOptions) (*Model, error) {
	if size > MaxFileSize {
		return nil, fmt.Errorf("the file is larger than %d bytes, which no ONNX file can be", MaxFileSize)
	}
	var data []byte
	ext := newExternal()
	ext.path, ext.skip = opt.Path, opt.SkipChecksums
	defer ext.close()
	if opt.Path != "" {
		ext.dir = filepath.Dir(opt.Path)
	}
	if opt.Deferred {
		// The bytes are given back when all but the large weights is decoded.
		var block *memory.Block
		data, block = memory.Bytes(int(size))
		defer block.Free()
		ext.data, ext.src = data, r
	} else {
		data = make([]byte, size)
	}
	if size > 0 {
		if n, err := r.ReadAt(data, 0); n < len(data) {
			return nil, fmt.Errorf("cannot read the file: %w", err)
		}
	}
	return decode(data, ext)
}

// Decode reads a model from memory, where all tensors must be inside.
func Decode(data []byte) (*Model, error) { return decode(data, newExternal()) }

func decode(data []byte, ext *external) (*Model, error) {
	proto, err := (&decoder{}).model(data)
	if err == nil && !ext.skip {
		ext.sums, err = proto.checkFile(data)
	}
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	proto.size = int64(len(data))
	m, err := fromProto(proto, ext)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}

func fromProto(p *modelProto, ext *external) (*Model, error) {
	switch {
	case p.graph == nil:
		return nil, fmt.Errorf("%w: it has no graph", errDamaged)
	case len(p.graph.nodes) == 0 || len(p.graph.outputs) == 0:
		return nil, fmt.Errorf("%w: its graph has %d nodes and %d outputs", errDamaged, len(p.graph.nodes), len(p.graph.outputs))
	case p.graph.sparse > 0:
		return nil, fmt.Errorf("sparse initializers are not supported: %d in the file", p.graph.sparse)
	}
	outputs := map[string]bool{}
	for _, o := range p.graph.outputs {
		if outputs[o.name] {
			return nil, fmt.Errorf("%w: two outputs are called %q", errDamaged, o.name)
		}
		outputs[o.name] = true
	}
	if err := p.graph.checkNames(); err != nil {
		return nil, err
	}
	if err := p.inline(); err != nil {
		return nil, err
	}
	m := &Model{
		Params: map[string]*nn.Param{}, Layers: map[string]*Layer{},
		proto: p, consts: map[string]*static{}, fixed: map[string]*static{}, integers: map[string]*integers{}, paths: map[*nodeProto]string{},
		texts: map[string][]string{}, unread: map[string]error{},
	}
	for _, o := range p.opsets {
		if o.domain == "" || o.domain == "ai.onnx" {
			m.opset = o.version
		}
	}
	if m.opset < MinOpset || m.opset > MaxOpset {
		return nil, fmt.Errorf("the file uses opset %d; opsets %d to %d are read (onnx.version_converter converts)", m.opset, MinOpset, MaxOpset)
	}
	for _, t := range p.graph.initializers {
		if len(t.strings) > 0 {
			m.texts[t.name] = t.strings
		}
	}
	m.answers = m.findAnswers()
	if err := m.refuse(); err != nil {
		return nil, err
	}
	if err := m.checkAttributes(p.graph.nodes); err != nil {
		return nil, err
	}
	if err := m.initializers(ext); err != nil {
		return nil, err
	}
	m.simplify()
	m.layers()
	m.head = m.findHead()
	return m, nil
}

// checkNames returns an error for a value that two nodes give, or a node and the file:
// readers of it could take either.
func (g *graphProto) checkNames() error {
	given := map[string]bool{}
	for _, v := range g.inputs {
		given[v.name] = true
	}
	for _, t := range g.initializers {
		given[t.name] = true
	}
	for _, n := range g.nodes {
		for _, name := range n.out {
			if name != "" && given[name] {
				return fmt.Errorf("%w: node %q (%s) gives the value %q, which is given before", errDamaged, n.name, n.op, name)
			}
			given[name] = true
		}
	}
	return nil
}

// initializers decodes the tensors and decides which are parameters.
func (m *Model) initializers(ext *external) error {
	g := m.proto.graph
	roles := m.roles()
	given := map[string]bool{}
	for _, t := range g.initializers {
		if t.name == "" || given[t.name] {
			return fmt.Errorf("%w: two initializers, or one without a name, are called %q", errDamaged, t.name)
		}
		given[t.name] = true
		role := roles[t.name]
		if ext.stateDict && t.location == 1 {
			shape, err := sized(t.dims)
			if err != nil {
				return fmt.Errorf("the parameter %q: %w", t.name, err)
			}
			m.elements += shape.Numel()
			m.Params[t.name] = newParam(role, shape)
			continue
		}
		if ext.stateDict {
			role = roleConst // all parameters are in the file around the graph
		}
		if value, err := ext.deferred(t, role); err != nil {
			return err
		} else if value != nil {
			m.elements += value.Numel()
			if role == roleInteger {
				m.integers[t.name] = &integers{value, t.elem}
			} else {
				m.Params[t.name] = newParam(role, value.Shape())
				m.Params[t.name].Value = value
			}
			continue
		}
		if t.elem.bytes() == 0 { // of texts, complex or packed numbers: perhaps nothing needs it
			m.unread[t.name] = fmt.Errorf("its elements are of type %v, which is not supported", t.elem)
			continue
		}
		s, err := ext.decode(t)
		if err != nil {
			return err
		}
		m.elements += s.shape.Numel()
		if role == roleConst || role == roleNone || role == roleInteger || !s.elem.isFloat() || len(s.f) < 1 {
			m.consts[t.name] = s
			continue
		}
		value, err := s.tensor()
		if err != nil {
			return err
		}
		m.Params[t.name] = newParam(role, value.Shape())
		m.Params[t.name].Value = value
	}
	g.initializers = nil // the bytes may go
	for _, v := range g.inputs {
		if !given[v.name] {
			m.inputs = append(m.inputs, v)
		}
	}
	return nil
}

// Inputs lists what the model takes.
func (m *Model) Inputs() []Port { return ports(m.inputs) }

// Outputs lists what the model gives.
func (m *Model) Outputs() []Port { return ports(m.proto.graph.outputs) }

func ports(vs []*valueProto) []Port {
	out := make([]Port, len(vs))
	for i, v := range vs {
		out[i] = Port{Name: v.name, DType: v.elem.String()}
		if v.other != "" {
			out[i].DType = v.other
		}
		if v.known {
			out[i].Shape = make([]int, len(v.dims))
			for a, d := range v.dims {
				out[i].Shape[a] = int(d)
			}
		}
	}
	return out
}

// Opset returns the version of the operators in the file.
func (m *Model) Opset() int { return int(m.opset) }

// Producer names the program that wrote the file.
func (m *Model) Producer() string { return strings.TrimSpace(m.proto.producer + " " + m.proto.version) }

// Metadata returns the texts that the file holds besides the graph.
func (m *Model) Metadata() map[string]string {
	out := map[string]string{}
	for _, e := range m.proto.metadata {
		if e.key != checksumKey {
			out[e.key] = e.value
		}
	}
	return out
}

// Tensors returns the values of the parameters by name, not copied. The names are
// state-dict keys if the file was exported with batch norms kept.
func (m *Model) Tensors() map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for name, p := range m.Params {
		out[name] = p.Value
	}
	return out
}

// Initializer returns a tensor of the file by its name, not copied, whatever it is
// used for; nil if there is none.
func (m *Model) Initializer(name string) *tensor.Tensor {
	if p := m.Params[name]; p != nil {
		return p.Value
	}
	if s := m.consts[name]; s != nil {
		t, err := s.tensor()
		if err == nil {
			return t
		}
	}
	return nil
}

// Input returns the type of a batch of n for the model's only input. Height
// and width, where the file leaves them open, become size; if size is 0, that
// is an error.
func (m *Model) Input(n, size int) (graph.Type, error) {
	v, err := m.onlyInput()
	if err != nil {
		return graph.Type{}, err
	}
	if !v.known || len(v.dims) == 0 {
		return graph.Type{}, fmt.Errorf("onnx: the file does not declare the shape of its input %q", v.name)
	}
	shape := tensor.Shape{n}
	for a, d := range v.dims[1:] {
		if d < 0 {
			if size < 1 || a == 0 {
				return graph.Type{}, fmt.Errorf("onnx: extent %d of the input %q is left open by the file: give a size", a+1, v.name)
			}
			d = int64(size)
		}
		if d > maxElements {
			return graph.Type{}, fmt.Errorf("onnx: the input %q has an extent of %d", v.name, d)
		}
		shape = append(shape, int(d))
	}
	return graph.F32(shape...), nil
}

// onlyInput returns the input that an image goes into.
func (m *Model) onlyInput() (*valueProto, error) {
	if m.main != nil {
		return m.main, nil
	}
	var open []*valueProto
	var names []string
	for _, v := range m.inputs {
		if m.fixed[v.name] == nil {
			open = append(open, v)
			names = append(names, v.name)
		}
	}
	if len(open) != 1 {
		return nil, fmt.Errorf("onnx: the model has %d inputs (%s), not one", len(open), strings.Join(names, ", "))
	}
	return open[0], nil
}

// Fix gives an input a constant value, for good: an integer input from which
// shapes are computed, or an option such as "training".
func (m *Model) Fix(input string, t *tensor.Tensor) error {
	for _, v := range m.inputs {
		if v.name != input {
			continue
		}
		elem := v.elem
		if elem.isFloat() != (t.DType() == tensor.Float32) || elem.bytes() == 0 {
			return fmt.Errorf("onnx: the input %q is %v, not %v", input, elem, t.DType())
		}
		s := &static{elem: elem, shape: t.Shape().Clone()}
		if elem.isFloat() {
			s.f = t.Float32s()
		} else {
			s.i = t.Int64s()
		}
		m.fixed[input] = s
		return nil
	}
	return fmt.Errorf("onnx: no input %q", input)
}

// Forward implements [nn.Module]: it computes [Model.Answer] from the only
// input. After [Model.FitPictures] it takes pictures [N C H W] and gives
// [N classes].
func (m *Model) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	in, err := m.onlyInput()
	if err != nil {
		c.Failf("%v", err)
	}
	if m.main != nil {
		return m.forwardOwn(c, x)
	}
	run := func(x *graph.Value) *graph.Value {
		im := &importer{m: m, g: c.Graph(), c: c, training: c.Training, param: c.Param, running: c.Running}
		out := im.run(map[string]*graph.Value{in.name: x}, []string{m.answers[0].value})
		return im.dynamic(out[0])
	}
	if m.fit == nil {
		return run(x)
	}
	return m.fit.forward(c.Graph(), x, run)
}

// forwardOwn is Forward of a network that a model file of ours describes: with its
// other inputs and outputs.
func (m *Model) forwardOwn(c *nn.Context, x *graph.Value) *graph.Value {
	in := map[string]*graph.Value{m.main.name: x}
	m.others(c, in)
	var wanted []string
	for _, a := range m.answers {
		wanted = append(wanted, a.output)
	}
	im := &importer{m: m, g: c.Graph(), c: c, training: c.Training, param: c.Param, running: c.Running}
	out := im.run(in, wanted)
	for i, a := range m.answers[1:] {
		c.Output(a.output, im.dynamic(out[i+1]))
	}
	return im.dynamic(out[0])
}

// Graph writes the model's inference as a new graph, with inputs of the given
// types and all outputs under their names. Its variables are Params.
func (m *Model) Graph(inputs map[string]graph.Type) (*graph.Graph, error) {
	g, outs, err := m.graph(inputs)
	if err != nil {
		return nil, err
	}
	for i, v := range outs {
		if v.dyn == nil {
			return nil, fmt.Errorf("onnx: the output %q is constant", m.proto.graph.outputs[i].name)
		}
		g.Output(m.proto.graph.outputs[i].name, v.dyn)
	}
	return g, nil
}

func (m *Model) graph(inputs map[string]graph.Type) (g *graph.Graph, outs []value, err error) {
	g = &graph.Graph{}
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
		in := map[string]*graph.Value{}
		for _, name := range slices.Sorted(maps.Keys(inputs)) {
			v, err := g.Input(name, inputs[name])
			if err != nil {
				panic(err)
			}
			in[name] = v
		}
		im := &importer{m: m, g: g, param: param, running: param}
		var wanted []string
		for _, o := range m.proto.graph.outputs {
			wanted = append(wanted, o.name)
		}
		outs = im.run(in, wanted)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	return g, outs, nil
}
