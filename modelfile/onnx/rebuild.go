package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// This file and rebuild_detector.go recognize torchvision's detectors. Their graphs
// choose boxes by operators whose results vary in number (NonZero, NonMaxSuppression,
// If, Loop), which a plan of fixed shapes cannot have. But their layers stand in a
// known order, so that the network can be built anew with the file's weights.

// FindsObjects reports whether the graph is a detector's: whether [Model.Answer] needs
// a NonMaxSuppression, which chooses between boxes and cannot be traced: see
// [Model.Detector].
func (m *Model) FindsObjects() bool {
	found := false
	lives := live(m.proto.graph.nodes, []string{m.answers[0].value})
	for _, n := range m.proto.graph.nodes {
		if lives[n] {
			everyNode([]*nodeProto{n}, func(n *nodeProto) { found = found || n.op == "NonMaxSuppression" })
		}
	}
	return found
}

// everyNode calls f for each node, and for those of branches and loops after the node
// that has them.
func everyNode(nodes []*nodeProto, f func(*nodeProto)) {
	for _, n := range nodes {
		f(n)
		for _, a := range n.attrs {
			if a.g != nil {
				everyNode(a.g.nodes, f)
			}
		}
	}
}

// rebuild is what is known of a graph whose network is built anew.
type rebuild struct {
	m     *Model
	maker map[string]*nodeProto   // of nodes of branches, too
	users map[string][]*nodeProto // outside of branches; without those that ask for the shape alone
}

func newRebuild(m *Model) *rebuild {
	r := &rebuild{m: m, maker: map[string]*nodeProto{}, users: map[string][]*nodeProto{}}
	everyNode(m.proto.graph.nodes, func(n *nodeProto) {
		for _, o := range n.out {
			r.maker[o] = n
		}
	})
	for _, n := range m.proto.graph.nodes {
		if n.op == "Shape" {
			continue
		}
		for _, in := range n.in {
			r.users[in] = append(r.users[in], n)
		}
	}
	return r
}

// constant returns a value that the file holds; ok is false for one that is computed.
// Behind a Reshape, the shape is that before it, and behind a Cast the type.
func (r *rebuild) constant(name string) (s *static, ok bool) {
	for range 64 { // a chain of nodes, which could be a ring
		if p := r.m.Params[name]; p != nil {
			if err := p.Value.Load(); err != nil || p.Value.DType() != tensor.Float32 {
				return nil, false
			}
			return &static{elem: elemFloat, shape: p.Value.Shape(), f: p.Value.Float32s()}, true
		}
		if s := r.m.consts[name]; s != nil {
			return s, true
		}
		n := r.maker[name]
		switch {
		case n == nil:
			return nil, false
		case n.op == "Constant" && len(n.attrs) == 1 && n.attrs[0].t != nil:
			s, err := newExternal().convert(n.attrs[0].t)
			return s, err == nil
		case slices.Contains([]string{"Identity", "Reshape", "Unsqueeze", "Squeeze", "Cast"}, n.op) && len(n.in) > 0:
			name = n.in[0]
		default:
			return nil, false
		}
	}
	return nil, false
}

// number returns a constant that is a single number.
func (r *rebuild) number(name string) (float64, bool) {
	s, ok := r.constant(name)
	switch {
	case !ok || s.shape.Numel() != 1:
		return 0, false
	case s.elem.isFloat():
		return float64(s.f[0]), true
	}
	return float64(s.i[0]), true
}

// weighted is a layer with a weight, and the normalization that follows it.
type weighted struct {
	node   *nodeProto
	weight *static   // of a linear layer [out in]
	bias   []float32 // nil for none
	// y = scale*x + shift for each channel, nil for none; with groups, after
	// normalization by groups.
	scale, shift []float32
	groups       int
}

func (l *weighted) String() string {
	return fmt.Sprintf("%s %q %v", l.node.op, l.node.in[1], []int(l.weight.shape))
}

// out returns the number of output channels.
func (l *weighted) out() int {
	if l.node.op == "ConvTranspose" {
		return l.weight.shape[1]
	}
	return l.weight.shape[0]
}

// kernel returns the height of a convolution's kernel, 0 of a linear layer.
func (l *weighted) kernel() int {
	if len(l.weight.shape) == 4 {
		return l.weight.shape[2]
	}
	return 0
}

// is reports whether the layer is a convolution with a square kernel of that size.
func (l *weighted) is(kernel int) bool {
	return l.node.op == "Conv" && l.kernel() == kernel && l.weight.shape[3] == kernel
}

// attr returns the whole number of an attribute.
func (n *nodeProto) attr(name string, otherwise int64) int64 {
	for _, a := range n.attrs {
		if a.name == name {
			return a.i
		}
	}
	return otherwise
}

// layers lists the layers with weights in the order in which they are first used.
func (r *rebuild) layers() ([]*weighted, error) {
	seen := map[string]bool{}
	var all []*weighted
	for _, n := range r.m.proto.graph.nodes {
		switch n.op {
		case "Conv", "ConvTranspose", "Gemm", "MatMul":
		default:
			continue
		}
		if len(n.in) < 2 || seen[n.in[1]] || len(n.out) != 1 {
			continue
		}
		w, ok := r.constant(n.in[1])
		if !ok || len(w.f) == 0 || len(w.shape) < 2 {
			continue
		}
		seen[n.in[1]] = true
		l := &weighted{node: n, weight: w}
		if linear := n.op == "Gemm" || n.op == "MatMul"; linear != (len(w.shape) == 2) || !linear && len(w.shape) != 4 {
			return nil, fmt.Errorf("the weight of %s has the shape %v", l, w.shape)
		} else if linear && n.attr("transB", 0) == 0 {
			l.weight = w.transposed()
		}
		if len(n.in) > 2 && n.in[2] != "" {
			b, ok := r.constant(n.in[2])
			if !ok || len(b.f) != l.out() {
				return nil, fmt.Errorf("the bias of %s is not one number for each channel", l)
			}
			l.bias = b.f
		}
		if err := r.follow(l); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// transposed returns a matrix with rows and columns exchanged.
func (s *static) transposed() *static {
	rows, columns := s.shape[0], s.shape[1]
	t := newStatic(s.elem, tensor.Shape{columns, rows})
	for i := range rows {
		for j := range columns {
			t.f[j*rows+i] = s.f[i*columns+j]
		}
	}
	return t
}

// follow collects what normalizes the output of a layer: constants for each channel
// that it is multiplied with and that are added, or operators that do that.
func (r *rebuild) follow(l *weighted) error {
	y := l.node.out[0]
	for range 16 { // a chain of nodes, which could be a ring
		users := r.users[y]
		if len(users) != 1 || len(users[0].out) != 1 {
			return nil
		}
		n := users[0]
		switch n.op {
		case "Mul", "Add":
			other := n.input(0)
			if other == y && len(n.in) > 1 {
				other = n.in[1]
			}
			c, ok := r.perChannel(l, other)
			if !ok {
				return nil
			}
			if n.op == "Mul" {
				l.affine(c, nil)
			} else {
				l.affine(nil, c)
			}
		case "BatchNormalization":
			if err := r.batchNorm(l, n); err != nil {
				return err
			}
		case "Reshape": // normalization by groups as PyTorch's exporter writes it
			next := r.users[n.out[0]]
			if len(next) != 1 || next[0].op != "InstanceNormalization" || len(next[0].in) < 2 {
				return nil
			}
			ones, ok := r.constant(next[0].in[1])
			back := r.users[next[0].out[0]]
			if !ok || len(back) != 1 || back[0].op != "Reshape" || l.scale != nil || l.shift != nil {
				return nil
			}
			l.groups = len(ones.f)
			n = back[0]
		case "GroupNormalization", "InstanceNormalization":
			if l.scale != nil || l.shift != nil {
				return nil
			}
			l.groups = l.out()
			if n.op == "GroupNormalization" {
				l.groups = int(n.attr("num_groups", 0))
			}
			scale, ok1 := r.perChannel(l, n.input(1))
			shift, ok2 := r.perChannel(l, n.input(2))
			if !ok1 || !ok2 {
				return fmt.Errorf("the normalization by groups after %s has no number for each channel", l)
			}
			l.affine(scale, nil)
			l.affine(nil, shift)
		default:
			return nil
		}
		y = n.out[0]
	}
	return nil
}

// input returns the name of input i, "" if it is left out.
func (n *nodeProto) input(i int) string {
	if i < len(n.in) {
		return n.in[i]
	}
	return ""
}

func (r *rebuild) perChannel(l *weighted, name string) ([]float32, bool) {
	c, ok := r.constant(name)
	return c.orNothing(), ok && len(c.f) == l.out()
}

func (s *static) orNothing() []float32 {
	if s == nil {
		return nil
	}
	return s.f
}

func (r *rebuild) batchNorm(l *weighted, n *nodeProto) error {
	var p [4][]float32 // gamma, beta, mean, variance
	for i := range p {
		var ok bool
		if p[i], ok = r.perChannel(l, n.input(1+i)); !ok {
			return fmt.Errorf("the batch norm after %s has no number for each channel", l)
		}
	}
	eps := 1e-5
	for _, a := range n.attrs {
		if a.name == "epsilon" {
			eps = float64(a.f)
		}
	}
	scale, shift := make([]float32, len(p[0])), make([]float32, len(p[0]))
	for i := range scale {
		s := float64(p[0][i]) / math.Sqrt(float64(p[3][i])+eps)
		scale[i], shift[i] = float32(s), float32(float64(p[1][i])-float64(p[2][i])*s)
	}
	l.affine(scale, nil)
	l.affine(nil, shift)
	return nil
}

// affine multiplies the output with scale or adds shift.
func (l *weighted) affine(scale, shift []float32) {
	one := func(v []float32, with float32) []float32 {
		if v == nil {
			v = slices.Repeat([]float32{with}, l.out())
		}
		return slices.Clone(v)
	}
	l.scale, l.shift = one(l.scale, 1), one(l.shift, 0)
	for i := range l.scale {
		if scale != nil {
			l.scale[i] *= scale[i]
			l.shift[i] *= scale[i]
		}
		if shift != nil {
			l.shift[i] += shift[i]
		}
	}
}
