package nn

import (
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Context is the graph under construction and the place in the model, for use by
// Forward. Its methods add operators. A mistake in shapes stops the trace, and
// [Trace] returns it as an error that names the module.
type Context struct {
	// Training is set when the training form is traced: batch statistics,
	// dropout.
	Training bool

	synchronized *Synchronized

	tree    *tree
	traced  *Traced
	path    string
	prefix  string // of variables' names
	vars    map[*Param]*graph.Value
	running map[*Param]*graph.Value // running statistics changed so far
	updates []*Param                // the keys of running, in order of first use
	counted map[*Param]bool
	draws   map[string]int // number of random operators so far, by path
}

// Call runs m on x as a part of the model, as calling a module does in PyTorch:
// operators and errors within carry m's path, and [Traced.At] reads its output.
// It is the only way to run a module. Operators of a Forward that is called
// directly would carry the path of the module around it.
func (c *Context) Call(m Module, x *graph.Value) *graph.Value {
	return c.CallFunc(m, x, func() *graph.Value { return m.Forward(c, x) })
}

// CallFunc is [Context.Call] with forward instead of m.Forward, for modules that
// need more than one input. The call is recorded with the input x.
func (c *Context) CallFunc(m Module, x *graph.Value, forward func() *graph.Value) *graph.Value {
	if isNil(m) {
		c.Failf("a nil module is called")
	}
	return c.at(c.pathOf(m), m, x, forward)
}

// child is Call for a container, which knows the key of a module without an
// identity.
func (c *Context) child(key string, m Module, x *graph.Value) *graph.Value {
	if isNil(m) {
		c.Failf("module %s is nil", key)
	}
	path := join(c.path, key)
	if _, ok := identify(m); ok {
		path = c.pathOf(m)
	}
	return c.at(path, m, x, func() *graph.Value { return m.Forward(c, x) })
}

func (c *Context) at(path string, m Module, x *graph.Value, forward func() *graph.Value) *graph.Value {
	defer c.setPath(c.setPath(path))
	y := forward()
	if y != nil {
		c.traced.Calls = append(c.traced.Calls, Call{Path: path, Module: m, In: x, Out: y})
	}
	return y
}

// pathOf returns the path of a module that the current module calls; the
// current path for a module that is no part of the model.
func (c *Context) pathOf(m Module) string {
	if id, ok := identify(m); ok {
		if path, ok := c.tree.paths[id]; ok {
			return path
		}
		return c.path
	}
	var paths []string
	for _, n := range c.tree.placed[c.path] {
		if mayBe(n.module, m) {
			paths = append(paths, n.path)
		}
	}
	switch {
	case len(paths) == 0 || isEmpty(m):
		return c.path
	case len(paths) > 1:
		c.Failf("%T has no address, so that %s cannot be told from %s: "+
			"use pointers and embed nn.Stateless in a type without fields", m, paths[0], paths[1])
	}
	return paths[0]
}

// setPath sets the path of the current module and returns the one before.
func (c *Context) setPath(path string) (before string) {
	before = c.path
	c.path = path
	c.traced.Graph.SetPath(path)
	return before
}

// Path returns the path of the current module, such as "layer3.2.conv1".
func (c *Context) Path() string { return c.path }

// Graph returns the graph under construction.
func (c *Context) Graph() *graph.Graph { return c.traced.Graph }

// Failf stops the trace with an error at the current module.
func (c *Context) Failf(format string, args ...any) {
	panic(&graph.Error{Path: c.path, Op: c.kind(), Err: fmt.Errorf(format, args...)})
}

// kind returns the kind of the current module, for messages without an operator.
func (c *Context) kind() string {
	for _, n := range c.tree.modules {
		if n.path == c.path {
			return Kind(n.module)
		}
	}
	return "model"
}

// Param returns the value of p, a variable whose name is p's key, after
// [TraceOptions].Prefix, or what [Context.SetRunning] has made of it in this forward
// pass. p must be
// reachable from the traced model by exported fields.
func (c *Context) Param(p *Param) *graph.Value {
	if v, ok := c.running[p]; ok {
		return v
	}
	return c.variable(p)
}

// variable is the variable of p.
func (c *Context) variable(p *Param) *graph.Value {
	if v, ok := c.vars[p]; ok {
		return v
	}
	if p == nil {
		c.Failf("a nil parameter is used")
	}
	name, ok := c.tree.names[p]
	if !ok {
		c.Failf("a parameter %v is used that no exported field of the model holds", p.typ())
	}
	v, err := c.Graph().OwnedVariable(c.prefix+name, p.typ(), p)
	if err != nil {
		panic(err)
	}
	c.vars[p] = v
	return v
}

// Running returns the value of a running statistic at this point of the forward
// pass, after the updates by [Context.SetRunning] so far: a module that is called
// twice updates its statistics twice.
func (c *Context) Running(p *Param) *graph.Value { return c.Param(p) }

// SetRunning assigns v to p at the end of each run of the graph: to a buffer, or to a
// frozen parameter that follows another, such as one of a moving average. From here on,
// [Context.Param] and [Context.Running] return v.
func (c *Context) SetRunning(p *Param, v *graph.Value) {
	c.variable(p)
	if _, ok := c.running[p]; !ok {
		c.updates = append(c.updates, p)
	}
	c.running[p] = v
}

// count adds p to the counters of training steps.
func (c *Context) count(p *Param) {
	if p == nil || c.counted[p] {
		return
	}
	c.counted[p] = true
	c.traced.Counters = append(c.traced.Counters, c.prefix+c.tree.names[p])
}

// Op adds an operator that has no method here.
func (c *Context) Op(op graph.Op, in ...*graph.Value) []*graph.Value {
	return c.Graph().Must(op, in...)
}

// Op1 is [Context.Op] for operators of one output.
func (c *Context) Op1(op graph.Op, in ...*graph.Value) *graph.Value {
	return c.Graph().Must1(op, in...)
}

// Dropout sets elements of x to 0 with probability p during training and
// scales the others by 1/(1-p); see [graph.Dropout].
func (c *Context) Dropout(x *graph.Value, p float32) *graph.Value { return c.drop(x, p, false) }

// DropPath drops whole samples of x with probability p during training, as
// stochastic depth does to a residual branch (Huang et al. 2016).
func (c *Context) DropPath(x *graph.Value, p float32) *graph.Value { return c.drop(x, p, true) }

func (c *Context) drop(x *graph.Value, p float32, perSample bool) *graph.Value {
	if !(p >= 0 && p < 1) {
		c.Failf("the probability %g is not in [0, 1)", p)
	}
	if !c.Training || p == 0 {
		return x
	}
	if c.traced.RNG == nil {
		rng, err := c.Graph().Input(RNGInput, graph.Type{DType: tensor.Int64, Shape: tensor.Shape{2}})
		if err != nil {
			panic(err)
		}
		c.traced.RNG = rng
	}
	// The key is a hash of the path, so that a change elsewhere in the model does
	// not change this mask.
	h := fnv.New32a()
	h.Write([]byte(c.prefix + c.path + "#" + strconv.Itoa(c.draws[c.path]))) // never fails
	c.draws[c.path]++
	return c.Op1(graph.Dropout{P: p, Key: h.Sum32(), PerSample: perSample}, x, c.traced.RNG)
}
