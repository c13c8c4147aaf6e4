package onnx

import "math"

// simplify rewrites the file's nodes before they are read: GELU written out in
// small operators becomes Gelu, for which there is a kernel.
func (m *Model) simplify() {
	s := &simplifier{m: m, maker: map[string]*nodeProto{}, users: map[string][]*nodeProto{}}
	g := m.proto.graph
	var use func(nodes []*nodeProto)
	use = func(nodes []*nodeProto) {
		for _, n := range nodes {
			for _, name := range n.in {
				s.users[name] = append(s.users[name], n)
			}
			for _, a := range n.attrs {
				if a.g == nil {
					continue
				}
				use(a.g.nodes)
				for _, o := range a.g.outputs {
					s.users[o.name] = append(s.users[o.name], n)
				}
			}
		}
	}
	use(g.nodes)
	for _, n := range g.nodes {
		for _, o := range n.out {
			s.maker[o] = n
		}
	}
	for _, o := range g.outputs {
		s.users[o.name] = append(s.users[o.name], nil)
	}
	dead := map[*nodeProto]bool{}
	for _, n := range g.nodes {
		if n.op == "Erf" && len(n.in) == 1 {
			for _, d := range s.gelu(n) {
				dead[d] = true
			}
		}
	}
	kept := g.nodes[:0]
	for _, n := range g.nodes {
		if !dead[n] {
			kept = append(kept, n)
		}
	}
	g.nodes = kept
}

type simplifier struct {
	m     *Model
	maker map[string]*nodeProto
	users map[string][]*nodeProto // nil for an output of the graph
}

// number returns the value of a constant that is one number.
func (s *simplifier) number(name string) (float64, bool) {
	c := s.m.consts[name]
	if n := s.maker[name]; n != nil && n.op == "Constant" && len(n.attrs) == 1 {
		switch a := n.attrs[0]; {
		case a.t != nil:
			c, _ = newExternal().convert(a.t)
		case a.name == "value_float":
			return float64(a.f), true
		}
	}
	if c == nil || len(c.f) != 1 {
		return 0, false
	}
	return float64(c.f[0]), true
}

// split returns the operand of a two-operand node that is not a constant and
// the one that is.
func (s *simplifier) split(n *nodeProto) (x string, c float64, ok bool) {
	if n == nil || len(n.in) != 2 || len(n.out) != 1 {
		return "", 0, false
	}
	if c, ok := s.number(n.in[1]); ok {
		return n.in[0], c, true
	}
	if c, ok := s.number(n.in[0]); ok && n.op != "Div" {
		return n.in[1], c, true
	}
	return "", 0, false
}

// only returns the node that alone uses the output of n.
func (s *simplifier) only(n *nodeProto) *nodeProto {
	if n == nil || len(n.out) != 1 || len(s.users[n.out[0]]) != 1 {
		return nil
	}
	return s.users[n.out[0]][0]
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-5 }

// gelu recognizes x * (1 + erf(x/√2)) * 1/2 around its Erf, in the orders in which
// PyTorch and other programs write it. The last node becomes Gelu; the others are
// returned, to be left out.
func (s *simplifier) gelu(erf *nodeProto) []*nodeProto {
	scale := s.maker[erf.in[0]]
	x, c, ok := s.split(scale)
	if !ok || s.only(scale) != erf || !(scale.op == "Div" && near(c, math.Sqrt2) || scale.op == "Mul" && near(c, math.Sqrt2/2)) {
		return nil
	}
	plus := s.only(erf)
	if _, c, ok := s.split(plus); !ok || plus.op != "Add" || c != 1 {
		return nil
	}
	mul := s.only(plus)
	if mul == nil || mul.op != "Mul" || len(mul.in) != 2 || len(mul.out) != 1 {
		return nil
	}
	other := mul.in[0]
	if other == plus.out[0] {
		other = mul.in[1]
	}
	last, dead := mul, []*nodeProto{scale, erf, plus}
	switch halved := s.maker[other]; {
	case other == x: // (x * (1 + erf)) * 1/2
		last = s.only(mul)
		if _, c, ok := s.split(last); !ok || last.op != "Mul" || c != 0.5 {
			return nil
		}
		dead = append(dead, mul)
	default: // (x * 1/2) * (1 + erf)
		y, c, ok := s.split(halved)
		if !ok || halved.op != "Mul" || c != 0.5 || y != x || s.only(halved) != mul {
			return nil
		}
		dead = append(dead, halved)
	}
	last.op, last.in, last.attrs = "Gelu", []string{x}, nil
	return dead
}
