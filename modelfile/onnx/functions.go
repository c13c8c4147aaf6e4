package onnx

import (
	"fmt"
	"slices"
)

// What the functions of a file become is bounded by inlineBase + inlineTimes * the
// parts of the file, counted in names and nodes.
const inlineBase, inlineTimes = 1 << 14, 16

// functionKey names a function that nodes call.
type functionKey struct{ domain, name, overload string }

// inliner replaces calls of the file's functions by their bodies.
type inliner struct {
	functions map[functionKey]*functionProto
	made      int // names and nodes so far
	limit     int
	calls     int
}

// inline replaces each node that calls one of the file's functions by the nodes of
// its body, under names that nothing else has. What is left has no functions.
func (m *modelProto) inline() error {
	if len(m.functions) == 0 {
		return nil
	}
	in := &inliner{functions: map[functionKey]*functionProto{}, limit: inlineBase + inlineTimes*m.messages}
	for _, f := range m.functions {
		k := functionKey{f.domain, f.name, f.overload}
		if in.functions[k] != nil {
			return fmt.Errorf("%w: the file defines the function %s twice", errDamaged, f.name)
		}
		in.functions[k] = f
	}
	nodes, err := in.nodes(m.graph.nodes, 0)
	m.graph.nodes = nodes
	return err
}

func (in *inliner) nodes(nodes []*nodeProto, depth int) ([]*nodeProto, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("functions call one another more than %d deep", maxDepth)
	}
	out := make([]*nodeProto, 0, len(nodes))
	for _, n := range nodes {
		for _, a := range n.attrs {
			if a.g != nil {
				var err error
				if a.g.nodes, err = in.nodes(a.g.nodes, depth+1); err != nil {
					return nil, err
				}
			}
		}
		f := in.functions[functionKey{n.domain, n.op, n.overload}]
		if f == nil {
			out = append(out, n)
			continue
		}
		if in.made += weight(f.nodes); in.made > in.limit {
			return nil, fmt.Errorf("the file's functions become more than %d times the file", inlineTimes)
		}
		body, err := in.call(n, f)
		if err != nil {
			return nil, fmt.Errorf("node %q calls the function %s: %w", n.name, f.name, err)
		}
		if body, err = in.nodes(body, depth+1); err != nil {
			return nil, err
		}
		out = append(out, body...)
	}
	return out, nil
}

// weight counts the nodes and names of a body.
func weight(nodes []*nodeProto) int {
	w := 0
	for _, n := range nodes {
		w += 1 + len(n.in) + len(n.out) + len(n.attrs)
		for _, a := range n.attrs {
			if a.g != nil {
				w += weight(a.g.nodes) + len(a.g.initializers) + len(a.g.outputs)
			}
		}
	}
	return w
}

// call returns the nodes of a function's body for one call of it.
func (in *inliner) call(n *nodeProto, f *functionProto) ([]*nodeProto, error) {
	if len(n.in) > len(f.in) || len(n.out) > len(f.out) {
		return nil, fmt.Errorf("it has %d inputs and %d outputs, the function %d and %d", len(n.in), len(n.out), len(f.in), len(f.out))
	}
	in.calls++
	prefix := fmt.Sprintf("%s.%s.%d/", f.domain, f.name, in.calls)
	names := map[string]string{"": ""}
	for i, name := range f.in {
		names[name] = ""
		if i < len(n.in) {
			names[name] = n.in[i]
		}
	}
	for i, name := range f.out {
		if i < len(n.out) && n.out[i] != "" {
			names[name] = n.out[i]
		}
	}
	attrs := map[string]*attrProto{}
	for _, a := range f.defaults {
		attrs[a.name] = a
	}
	for _, a := range n.attrs {
		attrs[a.name] = a
	}
	c := &expansion{names: names, prefix: prefix, attrs: attrs, path: n.name}
	for _, o := range f.opsets {
		if isONNX(o.domain) {
			c.version = o.version
		}
	}
	return c.nodes(f.nodes), nil
}

// expansion copies the body of a function for one call.
type expansion struct {
	names   map[string]string // of the call's inputs and outputs
	prefix  string            // of all other names
	attrs   map[string]*attrProto
	path    string
	version int64
}

func (c *expansion) rename(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		to, ok := c.names[n]
		if !ok {
			to = c.prefix + n
		}
		out[i] = to
	}
	return out
}

func (c *expansion) nodes(nodes []*nodeProto) []*nodeProto {
	out := make([]*nodeProto, len(nodes))
	for i, n := range nodes {
		copied := *n
		copied.in, copied.out = c.rename(n.in), c.rename(n.out)
		copied.version = c.version
		if c.path != "" {
			copied.name = c.path + "/" + n.name
		}
		copied.attrs = nil
		for _, a := range n.attrs {
			if a = c.attr(a); a != nil {
				copied.attrs = append(copied.attrs, a)
			}
		}
		out[i] = &copied
	}
	return out
}

// attr returns an attribute of a node of the body: what the call gives it, or nil
// if the call gives nothing.
func (c *expansion) attr(a *attrProto) *attrProto {
	if a.ref != "" {
		given := c.attrs[a.ref]
		if given == nil {
			return nil
		}
		copied := *given
		copied.name = a.name
		return &copied
	}
	if a.g == nil {
		return a
	}
	copied, g := *a, *a.g
	g.nodes = c.nodes(g.nodes)
	g.initializers = slices.Clone(g.initializers)
	for i, t := range g.initializers {
		renamed := *t
		renamed.name = c.rename([]string{t.name})[0]
		g.initializers[i] = &renamed
	}
	g.outputs = slices.Clone(g.outputs)
	for i, o := range g.outputs {
		renamed := *o
		renamed.name = c.rename([]string{o.name})[0]
		g.outputs[i] = &renamed
	}
	copied.g = &g
	return &copied
}
