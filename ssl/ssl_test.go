package ssl

import (
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// small is a network as that of testdata/gen/methods.py.
func small(t *testing.T, method string) *Network {
	t.Helper()
	b, err := models.New("resnet8-cifar", models.Classes(0), models.InputSize(12))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Method: Method(method)}
	if c.Method != Rotation {
		c.Hidden, c.Dim = 24, 20
	}
	if c.Method == SimSiam || c.Method == BYOL {
		c.Predictor = 12
	}
	n, err := New(b, c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// filled returns the network's values as the golden's script makes them.
func filled(t *testing.T, n *Network) *engine.Vars {
	t.Helper()
	set := func(p *nn.Param, name string) {
		p.Value = tensor.NewInt64()
		if p.DType != tensor.Float32 {
			return
		}
		p.Value = tensor.New(p.Shape...)
		kind, err := namefill.KindOf(name, len(p.Shape))
		if err != nil {
			t.Fatal(err)
		}
		namefill.Fill(name, p.Value, kind)
	}
	for _, e := range nn.Params(n) {
		set(e.Param, e.Name)
	}
	for _, mod := range nn.Modules(n) {
		if b, ok := mod.(*nn.BatchNorm); ok && b.Weight.Frozen && n.Target == nil {
			nn.Constant(1)(b.Weight.Value, nil)
			nn.Constant(0)(b.Bias.Value, nil)
		}
	}
	if n.Target != nil {
		for _, pair := range [][2]nn.Module{{n.Target, n.Model}, {n.TargetProj, n.Projector}} {
			online := nn.Params(pair[1])
			for i, e := range nn.Params(pair[0]) {
				e.Param.Value = online[i].Param.Value.Clone()
			}
		}
	}
	vars := engine.NewVars()
	for _, e := range nn.Params(n) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	return vars
}

// step is a compiled step: the loss, the gradients by name and, with rate, an update by
// plain SGD.
type step struct {
	t     *testing.T
	plan  *engine.Plan
	input *tensor.Tensor
}

func compile(t *testing.T, n *Network, vars *engine.Vars, input *tensor.Tensor, rate float32) *step {
	t.Helper()
	q := infer.Query{Training: true, Build: func(tr *nn.Traced) error {
		g := tr.Graph
		g.Output("loss", tr.Output)
		for _, o := range tr.Outputs {
			g.Output(o.Name, o.Value)
		}
		var ps []*graph.Value
		for _, v := range tr.Trainable() {
			ps = append(ps, v.Value)
		}
		grads, err := g.Gradients(tr.Output, ps)
		if err != nil {
			return err
		}
		for i, v := range tr.Trainable() {
			g.Output("d "+v.Name, grads[i])
			if rate == 0 {
				continue
			}
			if err := g.Assign(v.Value, g.Must1(graph.Binary{Fn: graph.Sub}, v.Value, g.Must1(graph.Affine{Scale: rate}, grads[i]))); err != nil {
				return err
			}
		}
		return nil
	}}
	plan, err := infer.Compile(n, vars, infer.Input{Shape: input.Shape()}, q, infer.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &step{t, plan, input}
}

func (s *step) run(momentum float32) map[string]*tensor.Tensor {
	s.t.Helper()
	var in, out []*tensor.Tensor
	for _, p := range s.plan.Inputs() {
		if p.Name == nn.ImageInput {
			in = append(in, s.input)
			continue
		}
		m := tensor.New()
		m.Float32s()[0] = momentum
		in = append(in, m)
	}
	byName := map[string]*tensor.Tensor{}
	for _, p := range s.plan.Outputs() {
		x := tensor.New(p.Shape...)
		byName[p.Name], out = x, append(out, x)
	}
	if err := s.plan.Run(in, out); err != nil {
		s.t.Fatal(err)
	}
	return byName
}

// TestMethodsAsPyTorch: losses, gradients, three steps and BYOL's target are those of
// PyTorch (testdata/gen/methods.py).
func TestMethodsAsPyTorch(t *testing.T) {
	for _, method := range Methods() {
		t.Run(method, func(t *testing.T) {
			want, meta := golden.Load(t, "testdata/"+method+".safetensors")
			var params, after []string
			meta.Decode(t, "params", &params)
			meta.Decode(t, "after", &after)
			n := small(t, method)
			vars := filled(t, n)
			x := tensor.New(n.Pretext().Rows()*16, 3, 12, 12)
			namefill.Fill("input", x, namefill.Input)
			s := compile(t, n, vars, x, 0.05)

			for i, tau := range []float32{0.5, 0.9, 0.8} { // the first has no effect
				if i == 2 { // a plan reads what it does not update when it is compiled
					s = compile(t, n, vars, x, 0)
				}
				r := s.run(tau)
				if got, w := float64(r["loss"].Float32s()[0]), float64(want["losses"].Float32s()[i]); !(math.Abs(got-w) <= 1e-4*max(1, math.Abs(w))) {
					t.Errorf("step %d: loss %v, want %v", i, got, w)
				}
				if i > 0 {
					continue
				}
				if w := want["spread"].Float32s()[0]; w != 0 && math.Abs(float64(r[SpreadOutput].Float32s()[0]-w)) > 1e-4 {
					t.Errorf("spread %v, want %v", r[SpreadOutput].Float32s()[0], w)
				}
				digests(t, "gradient", params, func(name string) *tensor.Tensor { return r["d "+name] }, want["grad.digest"], 1e-3)
			}
			digests(t, "after", after, func(name string) *tensor.Tensor {
				v, err := vars.Get(name)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}, want["after"], 1e-3)
		})
	}
}

// digests compares norm, sum and first elements of each tensor with a row of want.
func digests(t *testing.T, what string, names []string, get func(string) *tensor.Tensor, want *tensor.Tensor, tol float64) {
	t.Helper()
	largest := 0.0
	for i := range names {
		largest = max(largest, float64(want.Float32s()[i*10]))
	}
	for i, name := range names {
		row := want.Float32s()[i*10 : i*10+10]
		v := get(name)
		if v == nil {
			t.Errorf("%s %s is missing", what, name)
			continue
		}
		x := v.Float32s()
		var sum, squares float64
		for _, v := range x {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		// A gradient that is zero but for rounding is compared with the largest.
		norm := max(float64(row[0]), 1e-4*largest)
		got := []float64{math.Sqrt(squares), sum / math.Sqrt(float64(len(x)))}
		ref := []float64{float64(row[0]), float64(row[1]) / math.Sqrt(float64(len(x)))}
		for j := range min(8, len(x)) {
			got, ref = append(got, float64(x[j])), append(ref, float64(row[2+j]))
		}
		for j := range got {
			if !(math.Abs(got[j]-ref[j]) <= tol*norm) {
				t.Errorf("%s %s: figure %d is %g, want %g (norm %g)", what, name, j, got[j], ref[j], norm)
				break
			}
		}
	}
}

// TestStart: the target begins as the online network, whose values stay; the same seed
// gives the same values.
func TestStart(t *testing.T) {
	n, again := small(t, "byol"), small(t, "byol")
	if err := n.Start(1); err == nil || !strings.Contains(err.Error(), "initialize or load") {
		t.Fatalf("Start of a backbone without values: %v", err)
	}
	for _, m := range []*Network{n, again} {
		if err := nn.Init(m.Model, 7); err != nil {
			t.Fatal(err)
		}
		conv := m.Model.Conv1.(*nn.Conv2d).Weight.Value
		if err := m.Start(1); err != nil {
			t.Fatal(err)
		}
		if m.Model.Conv1.(*nn.Conv2d).Weight.Value != conv {
			t.Fatal("Start changed the backbone")
		}
	}
	other := nn.Params(again)
	for i, e := range nn.Params(n) {
		if e.Param.DType == tensor.Float32 && !equal(e.Param.Value, other[i].Param.Value) {
			t.Errorf("%s differs with the same seed", e.Name)
		}
	}
	for _, w := range n.targets() {
		if !equal(w.target.Value, w.online.Value) || w.target.Trainable() || !w.online.Trainable() {
			t.Fatal("the target does not follow the online network")
		}
	}
	if len(n.targets()) == 0 {
		t.Fatal("byol has no target")
	}
}

func equal(a, b *tensor.Tensor) bool {
	for i, x := range a.Float32s() {
		if x != b.Float32s()[i] {
			return false
		}
	}
	return a.Shape().Equal(b.Shape())
}

// TestKeys: the backbone keeps its own keys, all others are state of the training.
func TestKeys(t *testing.T) {
	for _, method := range Methods() {
		n := small(t, method)
		own := map[string]bool{}
		for _, e := range nn.Params(n.Model) {
			own[e.Name] = true
		}
		for _, e := range nn.Params(n) {
			if own[e.Name] == strings.HasPrefix(e.Name, "pretext.") {
				t.Errorf("%s: key %s", method, e.Name)
			}
		}
	}
}

// TestGauge: spread and dimensions of projections that spread evenly, on a line, and not
// at all.
func TestGauge(t *testing.T) {
	for _, c := range []struct {
		name               string
		z                  func(row, col int) float32
		spread, dimensions float64
	}{
		{"axes", func(r, c int) float32 {
			if r/2 == c {
				return float32(3 * (1 - 2*(r%2)))
			}
			return 0
		}, math.Sqrt(2.0/15) * math.Sqrt(8), 8}, // each column: two elements ±1 of 16
		{"line", func(r, c int) float32 { return float32(2 - 4*(r%2)) }, math.Sqrt(16.0 / 15), 1},
		{"equal", func(_, c int) float32 { return float32(c + 1) }, 0, 0},
		{"zero", func(_, c int) float32 { return 0 }, 0, 0},
	} {
		z := tensor.New(16, 8)
		for i := range z.Float32s() {
			z.Float32s()[i] = c.z(i/8, i%8)
		}
		spread, dimensions := gaugeOf(t, z)
		// Equal rows differ by rounding alone, in any number of directions.
		if math.Abs(spread-c.spread) > 1e-5 || c.dimensions > 0 && math.Abs(dimensions-c.dimensions) > 1e-4 || !(dimensions >= 0 && dimensions < 16) {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, spread, dimensions, c.spread, c.dimensions)
		}
	}
}

type gauged struct{ nn.Stateless }

func (*gauged) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	gauge(c, x)
	return x
}

func gaugeOf(t *testing.T, z *tensor.Tensor) (spread, dimensions float64) {
	t.Helper()
	q := infer.Query{Name: "gauge", Build: func(tr *nn.Traced) error {
		for _, o := range tr.Outputs {
			tr.Graph.Output(o.Name, o.Value)
		}
		return nil
	}}
	plan, err := infer.Compile(&gauged{}, engine.NewVars(), infer.Input{Shape: z.Shape()}, q, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := []*tensor.Tensor{tensor.New(), tensor.New()}
	if err := plan.Run([]*tensor.Tensor{z}, out); err != nil {
		t.Fatal(err)
	}
	return float64(out[0].Float32s()[0]), float64(out[1].Float32s()[0])
}

// TestMomentum: 0.99 at first, 1 at the end, never falling.
func TestMomentum(t *testing.T) {
	c := Config{Method: BYOL}
	last := 0.0
	for i := range 101 {
		m := c.MomentumAt(i, 100)
		if m < last || m > 1 {
			t.Fatalf("update %d: %v after %v", i, m, last)
		}
		last = m
	}
	if first := c.MomentumAt(1, 100); math.Abs(first-0.99) > 1e-9 || last < 0.9999 {
		t.Errorf("from %v to %v", first, last)
	}
}

// TestBadConfigs: an error names the field.
func TestBadConfigs(t *testing.T) {
	for want, c := range map[string]Config{
		"method is empty":             {},
		`did you mean "simsiam"`:      {Method: "simsiem"},
		"temperature is 0.1, but":     {Method: BYOL, Temperature: 0.1},
		"dim is 1, must be":           {Method: SimCLR, Dim: 1},
		"hidden is -3, must be":       {Method: SimCLR, Hidden: -3},
		"momentum is NaN, must be":    {Method: BYOL, Momentum: math.NaN()},
		"momentum is 2, must be":      {Method: BYOL, Momentum: 2},
		"no_stop_gradient is set":     {Method: BYOL, NoStopGradient: true},
		"layers is 2, but the method": {Method: Rotation, Layers: 2},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
	full, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(full, Config{Method: SimSiam}); err == nil || !strings.Contains(err.Error(), "0 classes") {
		t.Errorf("a classifier as the backbone: %v", err)
	}
	if _, err := nn.Trace(small(t, "simsiam"), nn.TraceOptions{Input: graph.F32(5, 3, 12, 12), Training: true}); err == nil || !strings.Contains(err.Error(), "2 rows") {
		t.Errorf("an odd number of rows: %v", err)
	}
}
