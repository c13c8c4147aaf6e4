// Package engine compiles a graph into a plan and runs it.
//
// Compile rewrites the graph by a few passes (fold.go, fuse.go), lowers each
// operator to steps over flat buffers (lower*.go), and lays the buffers into
// one arena (memory.go). A plan (plan.go) runs its steps one after another,
// each cut into tasks for a worker pool. How work is cut depends on shapes
// only, so results are the same bits at any number of workers.
package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/tensor"
)

// Options are the choices of [Compile]. The zero value is the usual one.
type Options struct {
	// Threads is the number of threads that run the plan's work; 0 means one for
	// each processor that Go uses. Plans with the same number share their threads.
	// Results are the same bits at any number, unless Tuning is given.
	Threads int
	// Fast enables Winograd's algorithm for convolutions and their gradients. It
	// needs fewer operations and rounds differently. Without it, each output is the
	// sum of its products.
	Fast bool
	// BF16 selects bfloat16 operands for convolutions and linear layers.
	BF16 BF16
	// Tuning holds measured times by which Fast chooses algorithms; nil chooses by
	// a model of the machine.
	Tuning Tuning
	// BatchInvariant makes the results of each image of a batch, in inference, the same
	// bits as if it were computed alone: algorithms are chosen for one image. Otherwise
	// they are chosen for the whole batch, which may be faster and may round otherwise.
	BatchInvariant bool
	// Device computes the plan; nil stands for this package's kernels. Threads, Fast and
	// Tuning then do not apply, and BF16 means bfloat16 operands and float32 sums in
	// whatever way the device has.
	Device *Device
}

// Check returns an error for choices that this machine cannot follow.
func (o Options) Check() error {
	if o.Threads < 0 {
		return fmt.Errorf("option Threads is %d, must not be negative", o.Threads)
	}
	if o.Device == nil {
		return o.BF16.Check()
	}
	if o.BF16 == BF16Emulated {
		return fmt.Errorf("bf16=emulate computes in plain Go, not on %s: leave out the device, or give bf16", o.Device)
	}
	return nil
}

// Port is an input or output of a plan.
type Port struct {
	Name string
	graph.Type
	Layout tensor.Layout // of the tensor; NCHW for outputs
}

// NewTensor makes a tensor that fits the port, filled with zeros.
func (p Port) NewTensor() *tensor.Tensor {
	if p.DType == tensor.Int64 {
		return tensor.NewInt64(p.Shape...)
	}
	return tensor.New(p.Shape...)
}

// Compile turns g into a plan over vars, which must hold every variable of g.
// Errors name the operator and module path that cannot be compiled.
func Compile(g *graph.Graph, vars *Vars, opt Options) (*Plan, error) {
	if err := opt.Check(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err := checkVariables(g, vars); err != nil {
		return nil, err
	}
	if err := CheckSizes(g); err != nil {
		return nil, err
	}
	if opt.Device != nil {
		return compileOn(opt.Device, g, vars, opt)
	}
	if err := vars.belongTo(nil, len(g.Updates) > 0); err != nil {
		return nil, err
	}
	if err := loadUpdated(g, vars); err != nil {
		return nil, err
	}
	return compileHere(g, vars, opt, true)
}

// compileHere makes a plan of this package's kernels. Constants are computed if fold is
// set.
func compileHere(g *graph.Graph, vars *Vars, opt Options, fold bool) (*Plan, error) {
	g, err := optimize(g, vars, opt, fold)
	if err != nil {
		return nil, err
	}
	c := newCompiler(g, vars, opt)
	defer c.reading.release()
	if err := c.lower(); err != nil {
		return nil, err
	}
	c.plan.dropUnread()
	c.plan.arena = planMemory(c.plan.bufs, c.plan.steps)
	if err := budget.Machine("engine: the plan", c.plan.Memory()); err != nil {
		return nil, err
	}
	return c.plan, nil
}

// CheckSizes returns an error for a graph or a value that alone is larger than the
// machine's memory, before any work is done for it.
func CheckSizes(g *graph.Graph) error {
	if err := budget.Machine(fmt.Sprintf("engine: a graph of %d operators", len(g.Nodes)), budget.Operator*int64(len(g.Nodes))); err != nil {
		return err
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if err := budget.Machine(fmt.Sprintf("engine: %s: an output %v", n, v.Type), 4*int64(v.Shape.Numel())); err != nil {
				return err
			}
		}
	}
	return nil
}

// optimize runs the passes in the order in which they build on each other.
func optimize(g *graph.Graph, vars *Vars, opt Options, fold bool) (*graph.Graph, error) {
	passes := []func(*graph.Graph) edit{
		func(g *graph.Graph) edit { return foldBatchNorm(g, knownConstants(g, vars)) },
		func(g *graph.Graph) edit { return fuseQuantized(g, vars) },
		func(g *graph.Graph) edit {
			if !fold {
				return edit{}
			}
			return foldValues(g, vars, opt)
		},
		fuseBatchNormTrain,
		fuseStats,
		fuseBatchNormGrad,
		fuseGradSum,
		fuseEpilogue,
		func(g *graph.Graph) edit { return fuseProductBias(g, knownConstants(g, vars)) },
		fuseBroadcast,
		fuseConvPool,
	}
	var err error
	for _, pass := range passes {
		if g, err = apply(g, pass(g)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func checkVariables(g *graph.Graph, vars *Vars) error {
	for _, u := range g.Updates {
		if v := u.Variable; v.DType != tensor.Float32 {
			return fmt.Errorf("engine: variable %q is %s: only float32 variables can be updated by a graph", v.Node.Op.(graph.Variable).Label, v.Type)
		}
	}
	for _, n := range g.Nodes {
		op, ok := n.Op.(graph.Variable)
		if !ok {
			continue
		}
		x, ok := vars.m[op.Label]
		if !ok {
			return fmt.Errorf("engine: no value for variable %q", op.Label)
		}
		if x.DType != op.Type.DType || !x.Shape.Equal(op.Type.Shape) {
			return fmt.Errorf("engine: variable %q is %s, the model wants %s", op.Label, x.Type, op.Type)
		}
	}
	return nil
}
