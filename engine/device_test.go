package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// slowDevice is an accelerator that computes by the reference interpreter and counts
// what it is given.
type slowDevice struct {
	uploads, alive int
	fails          error
}

type slowBuffer struct {
	of *slowDevice
	t  *tensor.Tensor
}

func (d *slowDevice) String() string { return "slow:0" }

func (d *slowDevice) buffer(t *tensor.Tensor) *slowBuffer {
	d.alive++
	return &slowBuffer{d, t.Clone()}
}

func (d *slowDevice) Upload(t *tensor.Tensor) (engine.Buffer, error) {
	d.uploads++
	return d.buffer(t), nil
}

func (b *slowBuffer) Close() error {
	if b.t == nil {
		return errors.New("closed twice")
	}
	b.t = nil
	b.of.alive--
	return nil
}

func (b *slowBuffer) Download(t *tensor.Tensor) error {
	if t.DType() == tensor.Int64 {
		copy(t.Int64s(), b.t.Int64s())
	} else {
		copy(t.Float32s(), b.t.Float32s())
	}
	return nil
}

type slowProgram struct {
	d                  *slowDevice
	g                  *graph.Graph
	arguments, results []engine.ProgramValue
}

func (d *slowDevice) Compile(g *graph.Graph, _ engine.Options) (engine.Program, error) {
	p := &slowProgram{d: d, g: g}
	for _, n := range g.Nodes {
		switch op := n.Op.(type) {
		case graph.Input:
			p.arguments = append(p.arguments, engine.ProgramValue{Name: op.Label})
		case graph.Variable:
			p.arguments = append(p.arguments, engine.ProgramValue{Name: op.Label, Variable: true})
		}
	}
	for _, o := range g.Outputs {
		p.results = append(p.results, engine.ProgramValue{Name: o.Name})
	}
	for _, u := range g.Updates {
		p.results = append(p.results, engine.ProgramValue{Name: u.Variable.Node.Op.(graph.Variable).Label, Variable: true})
	}
	return p, d.fails
}

func (p *slowProgram) Arguments() []engine.ProgramValue { return p.arguments }
func (p *slowProgram) Results() []engine.ProgramValue   { return p.results }

func (p *slowProgram) Run(arguments []engine.Buffer) ([]engine.Buffer, error) {
	in, vars := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
	for i, a := range p.arguments {
		t := arguments[i].(*slowBuffer).t // in the layout that the graph gives the input
		if a.Variable {
			vars[a.Name] = t
		} else {
			in[a.Name] = t
		}
	}
	values, err := ref.Run(p.g, vars, in)
	if err != nil {
		return nil, err
	}
	var out []engine.Buffer
	for _, o := range p.g.Outputs {
		out = append(out, p.d.buffer(values.Value(o.Value)))
	}
	for _, u := range p.g.Updates {
		out = append(out, p.d.buffer(values.Value(u.New)))
	}
	return out, nil
}

type deviceMachine struct {
	plan *engine.Plan
	vars *engine.Vars
}

func (m *deviceMachine) Variable(name string) (*tensor.Tensor, error) { return m.vars.Get(name) }

func (m *deviceMachine) Run(in map[string]*tensor.Tensor) (out []*tensor.Tensor, err error) {
	var inputs []*tensor.Tensor
	for _, p := range m.plan.Inputs() {
		t, err := in[p.Name].In(p.Layout)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, t)
	}
	for _, p := range m.plan.Outputs() {
		out = append(out, p.NewTensor())
	}
	return out, m.plan.Run(inputs, out)
}

// TestDevice runs all cases, with their updates of variables, on an accelerator, whose
// buffers must all be closed but those of variables.
func TestDevice(t *testing.T) {
	enginetest.Compare(t, func(g *graph.Graph, values map[string]*tensor.Tensor) (enginetest.Machine, error) {
		vars := engine.NewVars()
		for name, v := range values {
			if err := vars.Set(name, v); err != nil {
				return nil, err
			}
		}
		d := &slowDevice{}
		p, err := engine.Compile(g, vars, engine.Options{Device: engine.NewDevice(d)})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if d.alive > len(values) {
				t.Errorf("%d buffers of %d variables are open", d.alive, len(values))
			}
		})
		return &deviceMachine{p, vars}, nil
	})
}

// added is a graph whose variable v grows by the input x [2 3 1 1] in each run, and has
// the new value as the output y.
func added(t *testing.T) (*graph.Graph, *engine.Vars) {
	t.Helper()
	var g graph.Graph
	x, err := g.InputAs("x", graph.F32(2, 3, 1, 1), tensor.NHWC)
	if err != nil {
		t.Fatal(err)
	}
	v, err := g.Variable("v", graph.F32(2, 3, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	y := g.Must1(graph.Binary{Fn: graph.Add}, v, x)
	g.Output("y", y)
	if err := g.Assign(v, y); err != nil {
		t.Fatal(err)
	}
	vars := engine.NewVars()
	if err := vars.Set("v", tensor.New(2, 3, 1, 1)); err != nil {
		t.Fatal(err)
	}
	return &g, vars
}

// TestDeviceKeepsVariables checks what is copied when.
func TestDeviceKeepsVariables(t *testing.T) {
	g, vars := added(t)
	slow := &slowDevice{}
	d := engine.NewDevice(slow)
	plan, err := engine.Compile(g, vars, engine.Options{Device: d})
	if err != nil {
		t.Fatal(err)
	}
	x, y := tensor.NewNHWC(2, 3, 1, 1), tensor.New(2, 3, 1, 1)
	copy(x.Float32s(), []float32{1, 2, 3, 4, 5, 6})
	run := func(uploads int, want float32) {
		t.Helper()
		before := slow.uploads
		if err := plan.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
			t.Fatal(err)
		}
		if got := slow.uploads - before; got != uploads || y.Float32s()[5] != want {
			t.Errorf("%d copies to the device, want %d; the sum is %g, want %g", got, uploads, y.Float32s()[5], want)
		}
	}
	run(2, 6) // x and v
	run(1, 12)
	if err := d.Stage(x); err != nil {
		t.Fatal(err)
	}
	run(0, 18)
	run(1, 24) // what was sent ahead is used once
	if err := d.Keep(x); err != nil {
		t.Fatal(err)
	}
	run(0, 30)
	run(0, 36)
	if v, err := vars.Get("v"); err != nil || !slices.Equal(v.Float32s(), y.Float32s()) {
		t.Errorf("the variable is %v, %v", v, err)
	}
	if err := vars.FreeDevice(); err != nil {
		t.Error(err)
	}
	run(0, 42) // the value there is the only one
	if err := vars.Set("v", tensor.New(2, 3, 1, 1)); err != nil {
		t.Fatal(err)
	}
	run(1, 6)
	if slow.alive != 2 { // v and the x that was kept
		t.Errorf("%d buffers are open", slow.alive)
	}
	for range 20 { // never used: the oldest are dropped
		if err := d.Stage(tensor.New(1)); err != nil {
			t.Fatal(err)
		}
	}
	if slow.alive > 10 {
		t.Errorf("%d buffers are open", slow.alive)
	}
}

// TestDeviceRefuses checks the errors of what a device cannot do.
func TestDeviceRefuses(t *testing.T) {
	slow := &slowDevice{}
	d := engine.NewDevice(slow)
	for want, opt := range map[string]engine.Options{
		"BatchInvariant": {Device: d, BatchInvariant: true},
		"bf16=emulate":   {Device: d, BF16: engine.BF16Emulated},
	} {
		g, vars := added(t)
		if _, err := engine.Compile(g, vars, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, places := range [][2]*engine.Device{{d, nil}, {nil, d}, {d, engine.NewDevice(&slowDevice{})}} {
		g, vars := added(t)
		if _, err := engine.Compile(g, vars, engine.Options{Device: places[0]}); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Compile(g, vars, engine.Options{Device: places[1]}); err == nil || !strings.Contains(err.Error(), "one device") {
			t.Errorf("two plans of different places update one variable: %v", err)
		}
	}
	g, vars := added(t)
	slow.fails = fmt.Errorf("no kernel for %s", "Add")
	if _, err := engine.Compile(g, vars, engine.Options{Device: d}); err == nil || !strings.Contains(err.Error(), "slow:0: no kernel for Add") {
		t.Error(err)
	}
}
