// Package infer runs modules on numbers. A [Runner] is a module with its values:
// it traces the module into a graph, compiles the graph for each shape of input
// when it first sees that shape, and runs the plan with tensors by name.
package infer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Options are how a [Runner] computes. The zero value is the usual one.
type Options struct {
	// Threads is the number of threads; 0 means one for each processor that Go uses.
	Threads int
	// Exact disables Winograd convolution: slower, each output the sum of its products.
	Exact bool
	// BF16 selects bfloat16 operands for convolutions and linear layers.
	BF16 engine.BF16
	// Tuning holds measured times by which algorithms are chosen; nil chooses by a
	// model of the machine.
	Tuning engine.Tuning
	// BatchInvariant makes each image's results the same bits in any batch, see
	// [engine.Options].
	BatchInvariant bool
	// Plans is the number of plans that a [Runner] keeps, for inputs of many shapes:
	// another one takes the place of the plan that was not used for the longest time.
	// 0 keeps all.
	Plans int
	// FileSize is the size in bytes of the file that determines the size of the input,
	// by which the memory for one picture is bounded; 0 is no bound but the machine's
	// memory.
	FileSize int64
	// Device computes; nil stands for the processor, by package engine's kernels. See
	// [engine.Options].
	Device *engine.Device
}

// engine returns the options of a plan.
func (o Options) engine() engine.Options {
	return engine.Options{Threads: o.Threads, Fast: !o.Exact, BF16: o.BF16, Tuning: o.Tuning, BatchInvariant: o.BatchInvariant, Device: o.Device}
}

// Output is the name under which the zero [Query] has what the network returns.
const Output = nn.MainOutput

// Query is what a caller wants to know about a network. The zero value is the
// network's output in inference, named [Output], and its other outputs by the names
// that it gives them (see [nn.Context.Output]).
type Query struct {
	// Name identifies Build among the queries of a [Runner]: two queries with the
	// same name must have a Build that adds the same operators. A Query with Build
	// must have a name.
	Name string
	// Training traces the training form: batch statistics and dropout.
	Training bool
	// Synchronized is that of [nn.TraceOptions].
	Synchronized *nn.Synchronized
	// Build names outputs of the traced network and may add operators and inputs
	// first, or set t.Graph to a graph rewritten from it. It may call graph.Must,
	// whose errors it returns. nil names the network's outputs.
	Build func(t *nn.Traced) error
}

// Input is the shape of a network's input, [N C H W], and the layout of the
// tensors that are fed to it.
type Input struct {
	Shape  tensor.Shape
	Layout tensor.Layout
}

// Tensors are inputs or outputs by name. The network's input is [nn.ImageInput];
// other inputs have the names by which it asks for them, see [nn.Context.Input].
type Tensors map[string]*tensor.Tensor

// Compile traces net, adds what q wants and compiles the graph over vars. It
// keeps nothing: a plan that trains, which no two callers can share, is compiled
// so. Errors are those of [Graph] and [engine.Compile].
func Compile(net nn.Module, vars *engine.Vars, in Input, q Query, opt Options) (*engine.Plan, error) {
	g, err := Graph(net, in, q)
	if err != nil {
		return nil, err
	}
	p, err := engine.Compile(g, vars, opt.engine())
	if err != nil || opt.FileSize == 0 {
		return p, err
	}
	one := p.Memory() / int64(max(1, in.Shape[0]))
	return p, budget.File(fmt.Sprintf("infer: the plan for a picture of %v", in.Shape[1:]), one, opt.FileSize)
}

// Graph traces net and adds what q wants: the graph that [Compile] compiles, for those
// that have it run elsewhere. Errors are those of [nn.Trace] and q.Build.
func Graph(net nn.Module, in Input, q Query) (*graph.Graph, error) {
	t, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(in.Shape...), Layout: in.Layout, Training: q.Training, Synchronized: q.Synchronized})
	if err != nil {
		return nil, err
	}
	build := q.Build
	if build == nil {
		build = func(t *nn.Traced) error {
			t.Graph.Output(Output, t.Output)
			for _, o := range t.Outputs {
				t.Graph.Output(o.Name, o.Value)
			}
			return nil
		}
	}
	var failed error
	if err := graph.Try(func() { failed = build(t) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	named := map[string]bool{}
	for _, o := range t.Graph.Outputs {
		if named[o.Name] {
			return nil, fmt.Errorf("infer: query %q names two outputs %q", q.Name, o.Name)
		}
		named[o.Name] = true
	}
	return t.Graph, nil
}

// Adopt makes variables of the values of net's parameters, by state-dict key,
// without copying them: they must not be changed any more, only replaced. values,
// if not nil, are taken instead of the parameters' own. A parameter without a
// value is an error that names it.
func Adopt(net nn.Module, values map[string]*tensor.Tensor) (*engine.Vars, error) {
	vars := engine.NewVars()
	for _, e := range nn.Params(net) {
		t := e.Param.Value
		if values != nil {
			t = values[e.Name]
		}
		if t == nil {
			return nil, fmt.Errorf("infer: parameter %q has no value; initialize or load the network first", e.Name)
		}
		if err := vars.Adopt(e.Name, t); err != nil {
			return nil, err
		}
	}
	return vars, nil
}

// Runner is a module with its values, ready to run. It keeps one plan for each
// query and shape of input, all of which share packed weights where the values
// are adopted. It is safe for concurrent use: calls of a shape that is compiled
// do not wait for another shape that is being compiled, and calls of the same new
// shape wait for one compilation.
type Runner struct {
	net  nn.Module
	vars *engine.Vars
	opt  Options

	mu    sync.Mutex
	plans map[key]*compilation
	uses  int64 // of plans so far
}

type key struct {
	query    string
	training bool
	shape    string
	layout   tensor.Layout
}

// compilation is a plan, or its making: plan and err may be read once done is
// closed.
type compilation struct {
	done chan struct{}
	plan *engine.Plan
	err  error
	used int64 // Runner.uses when it was asked for last
}

// New returns net ready to run with the values in vars, which must not be changed
// while the runner is in use; nil takes the values of its parameters, see
// [Adopt]. Nothing is compiled yet.
func New(net nn.Module, vars *engine.Vars, opt Options) (*Runner, error) {
	if err := opt.engine().Check(); err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	if opt.Plans < 0 {
		return nil, fmt.Errorf("infer: Plans is %d, must not be negative", opt.Plans)
	}
	if vars == nil {
		var err error
		if vars, err = Adopt(net, nil); err != nil {
			return nil, err
		}
	}
	return &Runner{net: net, vars: vars, opt: opt, plans: map[key]*compilation{}}, nil
}

// With returns a runner of another module, such as a part of r's, with the same
// values and options.
func (r *Runner) With(net nn.Module) *Runner {
	return &Runner{net: net, vars: r.vars, opt: r.opt, plans: map[key]*compilation{}}
}

// Vars returns the values that the runner runs with.
func (r *Runner) Vars() *engine.Vars { return r.vars }

// Run computes what q wants for the inputs, and returns new tensors, all in
// row-major order. The first call with a shape of input compiles a plan for it.
// ctx ends the waiting for another call's compilation; neither a compilation nor
// a run that has started is interrupted.
func (r *Runner) Run(ctx context.Context, q Query, in Tensors) (Tensors, error) {
	c, err := r.Bind(ctx, q, in)
	if err != nil {
		return nil, err
	}
	if err := c.Run(); err != nil {
		return nil, err
	}
	return c.Outputs(), nil
}

// Bind is [Runner.Run] without the run: it returns the plan with the inputs and
// with memory for the outputs, to be run any number of times without allocating.
func (r *Runner) Bind(ctx context.Context, q Query, in Tensors) (*Call, error) {
	x := in[nn.ImageInput]
	if x == nil {
		return nil, fmt.Errorf("infer: no tensor is given for the input %q", nn.ImageInput)
	}
	p, err := r.Plan(ctx, q, Input{x.Shape(), x.Layout()})
	if err != nil {
		return nil, err
	}
	return Bind(p, in)
}

var errAbandoned = errors.New("infer: the compilation ended in a panic")

// Plan returns the plan that answers q for a shape of input, compiled when it is
// first asked for. An error is not kept: the next call compiles again.
func (r *Runner) Plan(ctx context.Context, q Query, in Input) (*engine.Plan, error) {
	if q.Build != nil && q.Name == "" {
		return nil, errors.New("infer: Query.Name is empty, must name what Query.Build adds")
	}
	k := key{q.Name, q.Training, in.Shape.String(), in.Layout}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.mu.Lock()
		c, found := r.plans[k]
		if !found {
			r.makeRoom()
			c = &compilation{done: make(chan struct{}), err: errAbandoned}
			r.plans[k] = c
		}
		r.uses++
		c.used = r.uses
		r.mu.Unlock()
		if !found {
			r.compile(k, c, in, q)
			return c.plan, c.err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// A module that panics does so in the goroutine of every caller.
		if c.err != errAbandoned {
			return c.plan, c.err
		}
	}
}

// makeRoom removes the plan that was not used for the longest time if there are
// Options.Plans. One that is being compiled stays.
func (r *Runner) makeRoom() {
	if r.opt.Plans <= 0 || len(r.plans) < r.opt.Plans {
		return
	}
	var oldest key
	var of *compilation
	for k, c := range r.plans {
		select {
		case <-c.done:
			if of == nil || c.used < of.used {
				oldest, of = k, c
			}
		default:
		}
	}
	if of != nil {
		delete(r.plans, oldest)
	}
}

// compile makes the plan of c. It runs in the caller's goroutine, so that a panic
// of the module's Forward reaches the caller.
func (r *Runner) compile(k key, c *compilation, in Input, q Query) {
	defer func() {
		if c.err != nil {
			r.mu.Lock()
			if r.plans[k] == c {
				delete(r.plans, k)
			}
			r.mu.Unlock()
		}
		close(c.done)
	}()
	c.plan, c.err = Compile(r.net, r.vars, in, q, r.opt)
}

// Call is a plan with tensors for its inputs and outputs. Its methods must not be
// called by two goroutines at once.
type Call struct {
	plan    *engine.Plan
	in, out []*tensor.Tensor // in the order of the plan's ports
}

// Bind gives a plan its inputs by name and makes tensors for its outputs. A name
// that is no input of the plan is an error, as is an input that is missing or of
// another type, shape or layout.
func Bind(p *engine.Plan, in Tensors) (*Call, error) {
	c := &Call{plan: p}
	var names []string
	for _, port := range p.Inputs() {
		if in[port.Name] == nil {
			return nil, fmt.Errorf("infer: the network takes the input %q, %v, for which there is no tensor: networks of several inputs are run in Go, by resnet.Model.Run or Runner.Run", port.Name, port.Type)
		}
		c.in = append(c.in, in[port.Name])
		names = append(names, port.Name)
	}
	for name := range in {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("infer: the network has no input %q; it has %s", name, strings.Join(names, ", "))
		}
	}
	if err := p.Check(c.in, nil); err != nil {
		return nil, err
	}
	for _, port := range p.Outputs() {
		c.out = append(c.out, port.NewTensor())
	}
	return c, nil
}

// NewCall is [Bind] for tensors in the order of the plan's ports. Run refuses
// tensors that do not fit them.
func NewCall(p *engine.Plan, in, out []*tensor.Tensor) *Call { return &Call{p, in, out} }

// Run computes the outputs from the inputs. It allocates nothing in the steady
// state.
func (c *Call) Run() error { return c.plan.Run(c.in, c.out) }

// Profile is Run with the time of each step of the plan.
func (c *Call) Profile() ([]engine.StepTime, error) { return c.plan.Profile(c.in, c.out) }

// Plan returns the plan.
func (c *Call) Plan() *engine.Plan { return c.plan }

// Steps lists the steps of the plan.
func (c *Call) Steps() []engine.Step { return c.plan.Steps() }

// Out returns the outputs' tensors, in which Run leaves its results, in the order
// of the plan's ports.
func (c *Call) Out() []*tensor.Tensor { return c.out }

// Outputs returns the outputs' tensors by name.
func (c *Call) Outputs() Tensors {
	out := make(Tensors, len(c.out))
	for i, port := range c.plan.Outputs() {
		out[port.Name] = c.out[i]
	}
	return out
}
