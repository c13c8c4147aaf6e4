package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// filled returns a variable of g whose elements in vars are at(0), at(1), and so on.
func filled(t *testing.T, g *graph.Graph, vars *Vars, name string, at func(i int) float32, shape ...int) *graph.Value {
	t.Helper()
	x := tensor.New(shape...)
	for i := range x.Float32s() {
		x.Float32s()[i] = at(i)
	}
	if err := vars.Set(name, x); err != nil {
		t.Fatal(err)
	}
	v, err := g.Variable(name, graph.F32(shape...))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// block builds relu(bn2(conv2(relu(bn1(conv1(x))))) + x), a basic block.
func block(t *testing.T, train bool) (*graph.Graph, *Vars, *graph.Value, []*graph.Value) {
	t.Helper()
	g, vars := &graph.Graph{}, NewVars()
	var params []*graph.Value
	variable := func(name string, fill float32, shape ...int) *graph.Value {
		return filled(t, g, vars, name, func(i int) float32 { return fill + float32(i%7)*0.01 }, shape...)
	}
	x, err := g.Input("x", graph.F32(2, 8, 6, 6))
	if err != nil {
		t.Fatal(err)
	}
	conv := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
	layer := func(name string, h *graph.Value) *graph.Value {
		w := variable(name+".w", 0.02, 8, 8, 3, 3)
		gamma, beta := variable(name+".gamma", 1, 8), variable(name+".beta", 0, 8)
		mean, variance := variable(name+".mean", 0.1, 8), variable(name+".var", 1, 8)
		params = append(params, w, gamma, beta)
		h = g.Must1(conv, h, w)
		if !train {
			return g.Must1(graph.BatchNorm{Eps: 1e-5}, h, gamma, beta, mean, variance)
		}
		out := g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, h, gamma, beta, mean, variance)
		if err := g.Assign(mean, out[3]); err != nil {
			t.Fatal(err)
		}
		if err := g.Assign(variance, out[4]); err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	h := g.Must1(graph.Unary{Fn: graph.Relu}, layer("1", x))
	h = layer("2", h)
	y := g.Must1(graph.Unary{Fn: graph.Relu}, g.Must1(graph.Binary{Fn: graph.Add}, h, x))
	g.Output("y", y)
	return g, vars, y, params
}

func names(g *graph.Graph) string {
	var out []string
	for _, n := range g.Nodes {
		switch n.Op.(type) {
		case graph.Input, graph.Variable, graph.Const, scaledWeight:
		default:
			out = append(out, n.Op.Name())
		}
	}
	return strings.Join(out, " ")
}

func TestInferenceBlockBecomesTwoConvolutions(t *testing.T) {
	g, vars, _, _ := block(t, false)
	g, err := optimize(g, vars, Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(g), "Conv2d+ Conv2d+"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTrainingBlockIsFused(t *testing.T) {
	g, vars, y, params := block(t, true)
	loss := g.Must1(graph.Reduce{Fn: graph.Mean}, y)
	x := g.Nodes[0].Out[0]
	grads, err := g.Gradients(loss, append([]*graph.Value{x}, params...))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range grads {
		g.Output("d", d)
	}
	g, err = optimize(g, vars, Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	got := names(g)
	for op, want := range map[string]int{
		"BatchNormTrain+": 2, "BatchNormGrad+": 2, "Conv2dInputGrad+": 1,
		"ReluGrad": 0, " Relu ": 0, " Add": 0, "Conv2d+": 2,
	} {
		if n := strings.Count(" "+got+" ", op); n != want {
			t.Errorf("%d of %s, want %d, in: %s", n, op, want, got)
		}
	}
}

func TestFoldingKeepsAConvolutionThatIsReadTwice(t *testing.T) {
	g, vars, _, _ := block(t, false)
	for _, n := range g.Nodes {
		if _, ok := n.Op.(graph.Conv2d); ok {
			g.Output("conv", n.Out[0])
			break
		}
	}
	g, err := optimize(g, vars, Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(g), "Conv2d BatchNorm Relu Conv2d+"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What depends on weights alone is computed once, and is the same bits as in each run: a
// table that a small network makes, read by an index. An input, a weight that is updated
// and a value too large to keep are not constants.
func TestConstantsAreComputedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		updated bool
		rows    int
		want    string
	}{
		"folded":  {false, 6, "Add"},
		"updated": {true, 6, "Linear Relu Gather Add Affine"},
		"large":   {false, maxFolded, "Linear Relu Gather Add"},
	} {
		g, vars := &graph.Graph{}, NewVars()
		variable := func(name string, shape ...int) *graph.Value {
			return filled(t, g, vars, name, func(i int) float32 { return float32(i%13)*0.25 - 1 }, shape...)
		}
		x, err := g.Input("x", graph.F32(4, 3))
		if err != nil {
			t.Fatal(err)
		}
		at, err := tensor.FromInt64([]int64{5, 0, 0, 2}, 4)
		if err != nil {
			t.Fatal(err)
		}
		w := variable("w", 3, 5)
		table := g.Must1(graph.Unary{Fn: graph.Relu}, g.Must1(graph.Linear{}, variable("coordinates", c.rows, 5), w))
		bias := g.Must1(graph.Gather{Axis: 0}, table, g.Const(at))
		g.Output("y", g.Must1(graph.Binary{Fn: graph.Add}, x, bias))
		if c.updated {
			if err := g.Assign(w, g.Must1(graph.Affine{Scale: 0.5}, w)); err != nil {
				t.Fatal(err)
			}
		}
		var got [2][]float32
		for i, fold := range []bool{false, true} {
			p, err := compileHere(g, vars, Options{Threads: 1}, fold)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			in, out := tensor.New(4, 3), tensor.New(4, 3)
			for k := range in.Float32s() {
				in.Float32s()[k] = float32(k)
			}
			if c.updated && i == 1 {
				break // a run changes w
			}
			if err := p.Run([]*tensor.Tensor{in}, []*tensor.Tensor{out}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got[i] = out.Float32s()
		}
		if !c.updated && !slices.Equal(got[0], got[1]) {
			t.Errorf("%s: %v, without folding %v", name, got[1], got[0])
		}
		o, err := optimize(g, vars, Options{}, true)
		if err != nil {
			t.Fatal(err)
		}
		if have := names(o); have != c.want {
			t.Errorf("%s: the graph has %s, want %s", name, have, c.want)
		}
	}
}

// A stretched operand is read as it is where the operator stretches it itself.
func TestStretchedOperands(t *testing.T) {
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(2, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	row, err := g.Input("row", graph.F32(2, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	wide := g.Must1(graph.BroadcastTo{Shape: tensor.Shape{2, 3, 4}}, row)
	g.Output("quotient", g.Must1(graph.Binary{Fn: graph.Div}, x, wide))
	g.Output("sum", g.Must1(graph.Binary{Fn: graph.Add}, wide, x))
	g.Output("both", g.Must1(graph.Binary{Fn: graph.Mul}, wide, wide))
	o, err := optimize(g, NewVars(), Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range o.Nodes {
		if b, ok := n.Op.(graph.Binary); ok && b.Fn != graph.Mul && n.In[0].Shape.Numel()+n.In[1].Shape.Numel() != 24+6 {
			t.Errorf("%s reads %v and %v", n, n.In[0].Shape, n.In[1].Shape)
		}
	}
}
