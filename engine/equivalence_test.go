package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/tensor"
)

// machine is a plan with its variables.
type machine struct {
	plan *engine.Plan
	vars *engine.Vars
}

func (m machine) Run(in map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	var feeds, out []*tensor.Tensor
	for _, p := range m.plan.Inputs() {
		t, ok := in[p.Name]
		if !ok {
			return nil, fmt.Errorf("the plan has an input %q that the graph has not", p.Name)
		}
		t, err := t.In(p.Layout)
		if err != nil {
			return nil, err
		}
		feeds = append(feeds, t)
	}
	for _, p := range m.plan.Outputs() {
		out = append(out, p.NewTensor())
	}
	return out, m.plan.Run(feeds, out)
}

func (m machine) Variable(name string) (*tensor.Tensor, error) { return m.vars.Get(name) }

// compiler compiles graphs for the shared tests; last feeds pictures as NHWC.
func compiler(workers int, last bool) enginetest.Compile {
	return compilerWith(engine.Options{}, workers, last)
}

func compilerWith(opt engine.Options, workers int, last bool) enginetest.Compile {
	return func(g *graph.Graph, vars map[string]*tensor.Tensor) (enginetest.Machine, error) {
		m := machine{vars: engine.NewVars()}
		for name, t := range vars {
			if err := m.vars.Set(name, t); err != nil {
				return nil, err
			}
		}
		opt := opt
		opt.Threads = workers
		for _, n := range g.Nodes {
			if in, ok := n.Op.(graph.Input); ok && last && len(in.Type.Shape) == 4 && in.Type.DType == tensor.Float32 {
				in.Layout = tensor.NHWC
				n.Op = in
			}
		}
		var err error
		m.plan, err = engine.Compile(g, m.vars, opt)
		return m, err
	}
}

func TestEngineEqualsReference(t *testing.T) { enginetest.Compare(t, compiler(2, false)) }

func TestFastEngineEqualsReference(t *testing.T) {
	enginetest.Compare(t, compilerWith(engine.Options{Fast: true}, 2, false))
	enginetest.CompareRandom(t, compilerWith(engine.Options{Fast: true}, 2, false), 2, 100)
}

func TestEngineEqualsReferenceOnRandomGraphs(t *testing.T) {
	enginetest.CompareRandom(t, compiler(2, false), 1, 500)
}

func TestWinnersAreForTheGradientOnly(t *testing.T) {
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(1, 1, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	out := g.Must(graph.MaxPool2d{Window: graph.Window{KernelH: 2, KernelW: 2, StrideH: 1, StrideW: 1}}, x)
	g.Output("y", g.Must1(graph.Affine{Scale: 2}, out[1]))
	_, err = engine.Compile(g, engine.NewVars(), engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "winners of a MaxPool2d") {
		t.Errorf("got %v", err)
	}
}

func TestChannelsLastInputs(t *testing.T) {
	enginetest.SameBits(t, compiler(2, false), compiler(2, true))
}

func TestSameBitsAtAnyWorkers(t *testing.T) {
	one := compiler(1, false)
	for _, workers := range []int{2, 8} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) { enginetest.SameBits(t, one, compiler(workers, false)) })
	}
}
