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
	"sync"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/parallel"
)

// Options says how to compile.
type Options struct {
	// Pool runs the plan's work; nil means one shared pool with a worker for
	// each processor. Results are the same bits at any number of workers.
	Pool *parallel.Pool
	// ChannelsLast names inputs of rank 4 whose tensors are fed with their
	// elements in N, H, W, C order, as the data loader delivers them. The
	// tensor's shape is still given as N, C, H, W.
	ChannelsLast []string
	// Fast lets convolutions and their gradients be computed in ways that need
	// fewer operations but round differently: Winograd's. Without it, each
	// output is the sum of its products.
	Fast bool
	// BF16 has convolutions and linear layers multiply bfloat16 numbers. Those
	// take no part in Fast.
	BF16 BF16
	// Tuning has the times by which Fast chooses; nil chooses by a model of the
	// machine.
	Tuning Tuning
}

// Port is an input or output of a plan.
type Port struct {
	Name string
	graph.Type
}

var sharedPool = sync.OnceValue(func() *parallel.Pool { return parallel.NewPool(0) })

// Compile turns g into a plan over vars, which must hold every variable of g.
// Errors name the operator and module path that cannot be compiled.
func Compile(g *graph.Graph, vars *Vars, opt Options) (*Plan, error) {
	if opt.Pool == nil {
		opt.Pool = sharedPool()
	}
	if err := opt.BF16.Check(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err := checkVariables(g, vars); err != nil {
		return nil, err
	}
	if err := loadUpdated(g, vars); err != nil {
		return nil, err
	}
	g, err := optimise(g, vars, opt.Fast)
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
	return c.plan, nil
}

// optimise runs the passes in the order in which they build on each other.
func optimise(g *graph.Graph, vars *Vars, fast bool) (*graph.Graph, error) {
	passes := []func(*graph.Graph) edit{
		func(g *graph.Graph) edit { return foldBatchNorm(g, knownConstants(g, vars)) },
		func(g *graph.Graph) edit { return fuseQuantised(g) },
		fuseBatchNormTrain,
		fuseStats,
		fuseBatchNormGrad,
		fuseGradSum,
		fuseEpilogue,
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
