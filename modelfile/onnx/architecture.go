package onnx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// description is the description of a network in our model files, instead of the one
// of package models: its graph for inference, as an ONNX model whose weights are the
// file's tensors.
type description struct {
	Version int   `json:"version"` // of this form, see graphVersion
	Input   []int `json:"input"`   // of one picture, [C H W]
	// Buffers and NoDecay are the keys of tensors that are not trained, and of those
	// that weight decay leaves out, which ONNX does not tell.
	Buffers []string `json:"buffers,omitempty"`
	NoDecay []string `json:"no_decay,omitempty"`
	ONNX    []byte   `json:"onnx"` // a ModelProto
}

type architecture struct {
	Graph *description `json:"graph"`
}

const (
	graphVersion = 1
	// maxGraph bounds the graph of a model file. That of a ResNet-152 has 100 kB.
	maxGraph = 16 << 20
	// stateDict is the place of the weights of such a graph: the file around it.
	stateDict = "state-dict"
)

// IsArchitecture reports whether a model file's description of its network is a
// graph, of which [FromArchitecture] makes a network.
func IsArchitecture(b json.RawMessage) bool {
	var a struct {
		Graph json.RawMessage `json:"graph"`
	}
	return json.Unmarshal(b, &a) == nil && len(a.Graph) > 0
}

// Architecture describes a network of any kind for our model files: its graph for
// inference on pictures [C H W], without the values of its parameters, which the file
// has by their state-dict keys. Dropout and stochastic depth are not in such a
// graph. It returns an error if the network has an operator that ONNX lacks, or if it
// takes only one batch size.
func Architecture(m nn.Module, input tensor.Shape) (json.RawMessage, error) {
	p, err := export(m, SaveOptions{Input: input, KeepBatchNorm: true, shapes: true})
	if err != nil {
		return nil, err
	}
	d := description{Version: graphVersion, Input: input}
	used := map[string]bool{}
	keys := map[string]*nn.Param{}
	for _, e := range nn.Params(m) {
		keys[e.Name] = e.Param
	}
	for _, t := range p.graph.initializers {
		param := keys[t.name]
		if param == nil {
			continue // a constant of the graph
		}
		used[t.name] = true
		t.raw, t.hasRaw, t.location, t.external = nil, false, 1, []entryProto{{"location", stateDict}}
		if param.Buffer {
			d.Buffers = append(d.Buffers, t.name)
		}
		if param.NoDecay {
			d.NoDecay = append(d.NoDecay, t.name)
		}
	}
	slices.Sort(d.Buffers)
	slices.Sort(d.NoDecay)
	e := p.encode()
	if e.size > maxGraph {
		return nil, fmt.Errorf("onnx: the graph has %d bytes besides its parameters, more than the limit of %d: make large constants parameters or buffers", e.size, maxGraph)
	}
	var b bytes.Buffer
	if err := e.write(&b); err != nil {
		return nil, err
	}
	d.ONNX = b.Bytes()
	return json.Marshal(architecture{&d})
}

// FromArchitecture makes the network that a model file describes by its graph,
// without values: [nn.Load] gives it the file's.
func FromArchitecture(b json.RawMessage) (*Model, error) {
	fail := func(err error) (*Model, error) {
		return nil, fmt.Errorf("onnx: the description of the network: %w", err)
	}
	var a architecture
	if len(b) > 2*maxGraph {
		return fail(fmt.Errorf("it has %d bytes, more than the limit of %d", len(b), 2*maxGraph))
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return fail(err)
	}
	switch d := a.Graph; {
	case d == nil:
		return fail(errors.New("it has no graph"))
	case d.Version != graphVersion:
		return fail(fmt.Errorf("its graph is of version %d, this program reads version %d", d.Version, graphVersion))
	case len(d.Input) != 3:
		return fail(fmt.Errorf("its input is %v, want [C H W]", d.Input))
	}
	proto, err := (&decoder{}).model(a.Graph.ONNX)
	if err != nil {
		return fail(err)
	}
	ext := newExternal()
	ext.stateDict = true
	m, err := fromProto(proto, ext)
	if err == nil {
		err = m.own(a.Graph)
	}
	if err != nil {
		return fail(err)
	}
	return m, nil
}

// own sets what the description has besides the graph.
func (m *Model) own(d *description) error {
	for _, v := range m.inputs {
		if !v.known || len(v.dims) == 0 || slices.ContainsFunc(v.dims[1:], func(n int64) bool { return n < 1 || n > maxElements }) || v.elem != elemFloat && v.elem != elemInt64 {
			return fmt.Errorf("its input %q does not declare its shape and type", v.name)
		}
	}
	if len(m.inputs) == 0 || !slices.Equal(m.inputs[0].dims[1:], shape64(d.Input)) || m.inputs[0].elem != elemFloat {
		return fmt.Errorf("its first input is not pictures of %v", d.Input)
	}
	for _, p := range m.Params {
		p.Buffer, p.NoDecay = false, false
	}
	for _, list := range []struct {
		keys []string
		set  func(p *nn.Param)
	}{{d.Buffers, func(p *nn.Param) { p.Buffer = true }}, {d.NoDecay, func(p *nn.Param) { p.NoDecay = true }}} {
		for _, key := range list.keys {
			p := m.Params[key]
			if p == nil {
				return fmt.Errorf("it has no parameter %q", key)
			}
			list.set(p)
		}
	}
	m.main, m.picture = m.inputs[0], d.Input
	// The outputs are what they are, in the file's order.
	m.answers = nil
	for _, o := range m.proto.graph.outputs {
		m.answers = append(m.answers, &answer{output: o.name, value: o.name})
	}
	m.head = m.findHead()
	return m.refuse()
}

// Picture returns the shape [C H W] of the pictures of a network that
// [FromArchitecture] made; nil of another.
func (m *Model) Picture() tensor.Shape { return m.picture }

// others asks for the other inputs of a network of ours, by name.
func (m *Model) others(c *nn.Context, in map[string]*graph.Value) {
	for _, v := range m.inputs {
		if v == m.main {
			continue
		}
		t := graph.Type{DType: tensor.Float32}
		if v.elem == elemInt64 {
			t.DType = tensor.Int64
		}
		for _, d := range v.dims[1:] {
			t.Shape = append(t.Shape, int(d))
		}
		x := c.Input(v.name, t)
		if t.DType == tensor.Int64 {
			x = c.Op1(graph.ToFloat{}, x) // as which the importer has whole numbers
		}
		in[v.name] = x
	}
}

// LastLayer returns the path of the fully connected layer that gives the scores of the
// classes, of a network that [FromArchitecture] made: its parameters' keys without
// ".weight" and ".bias". It is "" if the graph has no such layer.
func (m *Model) LastLayer() string {
	if m.head == nil {
		return ""
	}
	path, ok := strings.CutSuffix(m.head.weight, ".weight")
	if !ok || m.Params[m.head.weight] == nil || m.head.bias != "" && m.head.bias != path+".bias" {
		return ""
	}
	return path
}

// Statistics returns the parameters that hold means and variances of batch norms.
func (m *Model) Statistics() []*nn.Param {
	var all []*nn.Param
	for _, n := range m.proto.graph.nodes {
		if n.op != "BatchNormalization" || len(n.in) < 5 {
			continue
		}
		for _, name := range n.in[3:5] {
			if p := m.Params[name]; p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}
