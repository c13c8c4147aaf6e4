package onnx

import (
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Layer stands for a node of the file in summaries.
type Layer struct{ op string }

// Kind returns the operator.
func (l *Layer) Kind() string { return l.op }

// Forward implements [nn.Module] to have a place in its tree; a layer does not
// run without its model.
func (l *Layer) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	c.Failf("the layer %s runs only inside its model", l.op)
	return nil
}

// role is what an initializer is used for.
type role uint8

const (
	roleNone     role = iota // not used
	roleWeight               // trained
	roleScale                // trained, multiplies: starts at 1
	roleShift                // trained, of a normalization
	roleMean                 // a running mean, not trained
	roleVariance             // a running variance, not trained
	roleInteger              // quantized, read by DequantizeLinear alone
	roleConst                // part of the computation's form
)

// inputRole returns what an operator uses its input i for.
func inputRole(op string, i int) role {
	switch op {
	case "Conv", "ConvTranspose", "Gemm":
		if i > 0 {
			return roleWeight
		}
	case "MatMul", "Add", "PRelu":
		return roleWeight
	case "Mul":
		return roleScale
	case "DequantizeLinear":
		if i == 0 {
			return roleInteger
		}
	case "BatchNormalization", "InstanceNormalization", "LayerNormalization":
		if i < 5 {
			return [...]role{roleConst, roleScale, roleShift, roleMean, roleVariance}[i]
		}
	}
	return roleConst
}

// newParam makes an initializer a parameter, without a value. Its Init is for
// training from scratch.
func newParam(r role, shape tensor.Shape) *nn.Param {
	p := &nn.Param{Shape: shape.Clone(), NoDecay: len(shape) < 2}
	switch r {
	case roleWeight:
		if !p.NoDecay {
			p.Init = nn.TorchWeight()
		}
	case roleScale, roleVariance:
		p.Init = nn.Constant(1)
	}
	p.NoDecay = p.NoDecay || r == roleScale || r == roleShift
	p.Buffer = r == roleMean || r == roleVariance
	return p
}

// roles finds out for each name what it is used for. What is used in two ways
// that do not agree is a constant. A number alone, as the 6 in a hand-written
// hard swish, is none of a layer's weights.
func (m *Model) roles() map[string]role {
	g := m.proto.graph
	roles := map[string]role{}
	same := map[string]string{} // outputs of Identity
	small := map[string]bool{}
	for _, t := range g.initializers {
		n := int64(1)
		for _, d := range t.dims {
			n *= d
		}
		small[t.name] = n == 1
	}
	input := map[string]bool{}
	for _, v := range g.inputs {
		input[v.name] = true
	}
	for _, t := range g.initializers {
		delete(input, t.name)
	}
	var visit func(nodes []*nodeProto, inner bool)
	visit = func(nodes []*nodeProto, inner bool) {
		for _, n := range nodes {
			if n.op == "Identity" && len(n.in) == 1 && len(n.out) == 1 && !inner {
				same[n.out[0]] = n.in[0]
				continue
			}
			for i, name := range n.in {
				r := inputRole(n.op, i)
				if inner {
					r = roleConst
				}
				elementwise := n.op == "Add" || n.op == "Mul"
				if elementwise && (small[name] || anyOf(n.in, func(s string) bool { return input[s] })) {
					r = roleConst // as the mean and scale that prepare an image
				}
				for at, ok := name, true; ok; at, ok = same[at] {
					switch old := roles[at]; {
					case old == roleNone:
						roles[at] = r
					case old != r:
						roles[at] = roleConst
					}
					if same[at] == at {
						break
					}
				}
			}
			for _, a := range n.attrs {
				if a.g != nil {
					visit(a.g.nodes, true)
				}
			}
		}
	}
	visit(g.nodes, false)
	for _, v := range g.outputs {
		roles[v.name] = roleConst
	}
	return roles
}

func anyOf(names []string, f func(string) bool) bool {
	for _, n := range names {
		if f(n) {
			return true
		}
	}
	return false
}

// layers names the nodes that work on the input's elements, and not on shapes.
func (m *Model) layers() {
	dyn := map[string]bool{}
	for _, v := range m.inputs {
		dyn[v.name] = true
	}
	used := map[string]bool{"": true}
	next := map[string]int{} // the number that the next node of a path gets
	for i, n := range m.proto.graph.nodes {
		path := m.pathOf(n, i)
		for base := path; used[path]; {
			next[base]++
			path = base + "_" + strconv.Itoa(next[base])
		}
		used[path] = true
		m.paths[n] = path
		if n.op == "Shape" || n.op == "Size" || !anyOf(n.in, func(s string) bool { return dyn[s] }) {
			continue
		}
		for _, o := range n.out {
			dyn[o] = true
		}
		m.Layers[path] = &Layer{n.op}
	}
}

// pathOf names a node as PyTorch named its module: by its weight, or by the
// scope that PyTorch's exporter writes ("/layer1/layer1.0/relu/Relu"), else by
// the node's name.
func (m *Model) pathOf(n *nodeProto, i int) string {
	if len(n.in) > 1 && m.Params[n.in[1]] != nil {
		if p, ok := strings.CutSuffix(n.in[1], ".weight"); ok && p != "" {
			return p
		}
	}
	if n.name == "" {
		return n.op + "_" + strconv.Itoa(i)
	}
	if !strings.HasPrefix(n.name, "/") {
		return n.name
	}
	parts := strings.Split(n.name[1:], "/")
	if last := parts[len(parts)-1]; len(parts) > 1 && (last == n.op || strings.HasPrefix(last, n.op+"_")) {
		// A module with a name is the operator; a numbered one is a block that has it.
		module := parts[len(parts)-2]
		if _, err := strconv.Atoi(module[strings.LastIndexByte(module, '.')+1:]); err != nil {
			parts = parts[:len(parts)-1]
		}
	}
	path := ""
	for j, p := range parts {
		switch {
		case j > 0 && strings.HasPrefix(p, parts[j-1]+"."):
			path = strings.TrimSuffix(path, parts[j-1]) + p
		case path == "":
			path = p
		default:
			path += "." + p
		}
	}
	if path == "" {
		return n.name
	}
	return path
}

// head is the last layer: a matrix product whose result reaches the output.
type head struct {
	weight, bias string
	classes      int // the axis of the weight that counts classes
}

// findHead looks for the classifier: the only Gemm or MatMul, possibly with an
// Add behind it, whose result reaches the first output through element-wise
// operators alone.
func (m *Model) findHead() *head {
	g := m.proto.graph
	maker := map[string]*nodeProto{}
	for _, n := range g.nodes {
		for _, o := range n.out {
			maker[o] = n
		}
	}
	h := &head{}
	at := m.answers[0].value
	for range 8 {
		n := maker[at]
		if n == nil || len(n.in) == 0 {
			return nil
		}
		switch n.op {
		case "Softmax", "LogSoftmax", "Sigmoid", "Identity", "Flatten":
			at = n.in[0]
		case "Add":
			if len(n.in) != 2 || h.bias != "" {
				return nil
			}
			i := 0
			if m.Params[n.in[0]] == nil {
				i = 1
			}
			h.bias, at = n.in[i], n.in[1-i]
		case "MatMul", "Gemm":
			if len(n.in) < 2 {
				return nil
			}
			h.weight, h.classes = n.in[1], 1
			if n.op == "Gemm" {
				if len(n.in) == 3 {
					if h.bias != "" {
						return nil
					}
					h.bias = n.in[2]
				}
				for _, a := range n.attrs {
					if a.name == "transB" && a.i != 0 {
						h.classes = 0
					}
				}
			}
			w := m.Params[h.weight]
			if w == nil || len(w.Shape) != 2 {
				return nil
			}
			if b := m.Params[h.bias]; h.bias != "" && (b == nil || !b.Shape.Equal(tensor.Shape{w.Shape[h.classes]})) {
				return nil
			}
			return h
		default:
			return nil
		}
	}
	return nil
}

// Head returns the names of the last layer's weight and bias (which may be
// "") and the number of classes, or an error if the model does not end in a
// linear layer.
func (m *Model) Head() (weight, bias string, classes int, err error) {
	if m.head == nil {
		return "", "", 0, fmt.Errorf("onnx: the output %q does not come from a linear layer that nothing else uses", m.Answer())
	}
	return m.head.weight, m.head.bias, m.Params[m.head.weight].Shape[m.head.classes], nil
}

// SetClasses replaces the last layer by one for another number of classes, its
// weights drawn by seed as PyTorch does. It is how a model is fine-tuned to
// other data.
func (m *Model) SetClasses(n int, seed uint64) error {
	weight, bias, old, err := m.Head()
	if err != nil {
		return err
	}
	if n < 1 {
		return fmt.Errorf("onnx: %d classes", n)
	}
	if n == old {
		return nil
	}
	w := m.Params[weight]
	shape := w.Shape.Clone()
	shape[m.head.classes] = n
	if shape.Numel() > maxElements {
		return fmt.Errorf("onnx: %d classes are too many", n)
	}
	features := shape[1-m.head.classes]
	m.Params[weight] = newParam(roleWeight, shape)
	m.Params[weight].Value = tensor.New(shape...)
	nn.Uniform(1/math.Sqrt(float64(features)))(m.Params[weight].Value, philoxOf(seed, weight))
	if bias != "" {
		m.Params[bias] = newParam(roleWeight, tensor.Shape{n})
		m.Params[bias].Value = tensor.New(n)
	}
	for _, o := range m.proto.graph.outputs {
		if o.name == m.answers[0].value && o.known && len(o.dims) > 0 {
			o.dims[len(o.dims)-1] = int64(n)
		}
	}
	return nil
}

func philoxOf(seed uint64, name string) *philox.Rand {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	r := philox.New(seed, h.Sum64())
	return &r
}
