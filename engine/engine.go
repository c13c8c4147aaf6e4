// Package engine compiles a graph into a plan and runs it.
package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/engine/ref"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/tensor"
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
}

// Port is an input or output of a plan.
type Port struct {
	Name string
	graph.Type
}

// Plan is a compiled graph. A plan that updates no variables may be run by any
// number of goroutines at once; one that does, by one at a time.
type Plan struct {
	g       *graph.Graph
	vars    *Vars
	opt     Options
	inputs  []Port
	outputs []Port
}

// Compile turns g into a plan over vars, which must hold every variable of g.
func Compile(g *graph.Graph, vars *Vars, opt Options) (*Plan, error) {
	p := &Plan{g: g, vars: vars, opt: opt}
	for _, n := range g.Nodes {
		switch op := n.Op.(type) {
		case graph.Input:
			p.inputs = append(p.inputs, Port{op.Label, op.Type})
		case graph.Variable:
			t, ok := vars.m[op.Label]
			if !ok {
				return nil, fmt.Errorf("engine: no value for variable %q", op.Label)
			}
			if !t.Shape().Equal(op.Type.Shape) {
				return nil, fmt.Errorf("engine: variable %q is %v, the model wants %v", op.Label, t, op.Type)
			}
		}
	}
	for _, o := range g.Outputs {
		p.outputs = append(p.outputs, Port{o.Name, o.Value.Type})
	}
	return p, nil
}

// Inputs lists what Run takes, in order.
func (p *Plan) Inputs() []Port { return p.inputs }

// Outputs lists what Run gives, in order.
func (p *Plan) Outputs() []Port { return p.outputs }

// Run computes the plan once. in follows [Plan.Inputs]; out follows
// [Plan.Outputs] and is written into, a nil entry being skipped.
func (p *Plan) Run(in, out []*tensor.Tensor) error {
	feeds := map[string]*tensor.Tensor{}
	for i, port := range p.inputs {
		feeds[port.Name] = in[i]
	}
	r, err := ref.Run(p.g, p.vars.m, feeds)
	if err != nil {
		return err
	}
	for i, o := range p.g.Outputs {
		if out[i] != nil {
			copy(out[i].Float32s(), r.Value(o.Value).Float32s())
		}
	}
	for _, u := range p.g.Updates {
		copy(p.vars.m[u.Variable.Node.Op.(graph.Variable).Label].Float32s(), r.Value(u.New).Float32s())
	}
	return nil
}
