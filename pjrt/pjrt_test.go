package pjrt

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
)

// client opens the plugin that PJRT_PLUGIN names, such as the CPU plugin in the Python
// package lammps-jax-pjrt-cpu.
func client(t *testing.T) *Client {
	t.Helper()
	path := os.Getenv("PJRT_PLUGIN")
	if path == "" {
		t.Skip("PJRT_PLUGIN does not name a plugin")
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestOperators compares every operator, and compositions of them, with the reference
// interpreter.
func TestOperators(t *testing.T) {
	c := client(t)
	unsupported, seen := map[string]int{}, map[string]bool{}
	run := 0
	for _, test := range enginetest.Cases() {
		// XLA compiles a graph in about a second: one case of each set of operators.
		if key := operators(test.Graph); seen[key] && os.Getenv("RESNET_NIGHTLY") == "" {
			continue
		} else {
			seen[key] = true
		}
		if _, err := stablehlo.Write(test.Graph, stablehlo.Options{}); err != nil {
			node := (*stablehlo.Unsupported)(nil)
			if !errors.As(err, &node) {
				t.Errorf("%s: %v", test.Name, err)
				continue
			}
			unsupported[node.Node.Op.Name()]++
			continue
		}
		run++
		t.Run(test.Name, func(t *testing.T) {
			test.Tol = max(test.Tol, 1e-4)
			for _, err := range test.Check(func(g *graph.Graph, vars map[string]*tensor.Tensor) (enginetest.Machine, error) {
				return c.NewSession(g, vars)
			}) {
				t.Error(err)
			}
		})
	}
	t.Logf("%d cases, not supported: %v", run, unsupported)
}

// operators names the operators of a graph, each with its attributes that are not sizes.
func operators(g *graph.Graph) string {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Op.Name())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// logits compares the logits of a network on the device with our engine's.
func logits(t *testing.T, c *Client, name string) {
	net, err := models.New(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(net) { // with batch norm's statistics, which are 0 and 1 at first
		if kind, err := namefill.KindOf(e.Name, len(e.Param.Shape)); err == nil {
			namefill.Fill(e.Name, e.Param.Value, kind)
		}
	}
	vars, err := infer.Adopt(net, nil)
	if err != nil {
		t.Fatal(err)
	}
	shape := append(tensor.Shape{2}, net.Input()...)
	x := tensor.New(shape...)
	rng := philox.New(3, 0)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(rng.Norm())
	}
	plan, err := infer.Compile(net, vars, infer.Input{Shape: shape}, infer.Query{}, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := tensor.New(plan.Outputs()[0].Shape...)
	if err := plan.Run([]*tensor.Tensor{x}, []*tensor.Tensor{want}); err != nil {
		t.Fatal(err)
	}
	g, err := infer.Graph(net, infer.Input{Shape: shape}, infer.Query{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession(g, values(t, vars))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Run(map[string]*tensor.Tensor{nn.ImageInput: x})
	if err != nil {
		t.Fatal(err)
	}
	d := difference(got[0], want)
	t.Logf("%s: logits differ by %.2g of the largest", name, d)
	if !(d < 1e-4) {
		t.Errorf("%s: logits differ by %g of the largest", name, d)
	}
}

func values(t *testing.T, vars *engine.Vars) map[string]*tensor.Tensor {
	t.Helper()
	all := map[string]*tensor.Tensor{}
	for _, name := range vars.Names() {
		v, err := vars.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = v
	}
	return all
}

// difference is the largest difference as a share of the largest number.
func difference(a, b *tensor.Tensor) float64 {
	largest, off := 1e-30, 0.0
	for i, x := range a.Float32s() {
		y := b.Float32s()[i]
		if x != x || y != y {
			return math.Inf(1)
		}
		largest = max(largest, math.Abs(float64(y)))
		off = max(off, math.Abs(float64(x-y)))
	}
	return off / largest
}

func TestLogits(t *testing.T) {
	c := client(t)
	for _, name := range []string{"resnet20-cifar", "resnet18", "resnet50"} {
		t.Run(name, func(t *testing.T) { logits(t, c, name) })
	}
}

func variable(t *testing.T, get func(name string) (*tensor.Tensor, error), name string) *tensor.Tensor {
	t.Helper()
	v, err := get(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestTraining compares the losses of three steps of training, and all variables and
// momenta after the first, with our engine's.
func TestTraining(t *testing.T) {
	c := client(t)
	const batch = 8
	net, err := models.New("resnet20-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	opt := train.StepOptions{Input: append(tensor.Shape{batch}, net.Input()...), Loss: train.CrossEntropy{LabelSmoothing: 0.1}, Optimizer: train.SGD{Momentum: 0.9, WeightDecay: 1e-4}, Compute: infer.Options{Exact: true}}
	step, err := train.NewStep(net, opt)
	if err != nil {
		t.Fatal(err)
	}
	g, vars, err := train.StepGraph(net, opt)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession(g, values(t, vars))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng := philox.New(5, 0)
	lr := tensor.New()
	for i := range 3 {
		b := &data.Batch{N: batch, Real: batch, H: 32, W: 32, C: 3, X: make([]float32, opt.Input.Numel())}
		for k := range b.X {
			b.X[k] = float32(rng.Norm())
		}
		for range batch {
			b.Labels = append(b.Labels, int64(rng.IntN(10)))
		}
		want, err := step.Run(train.StepInput{Batch: b, LR: 0.05, EMADecay: 1, Update: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		x, err := tensor.FromNHWC(b.X, batch, 3, 32, 32)
		if err != nil {
			t.Fatal(err)
		}
		labels, err := tensor.FromInt64(b.Labels, batch)
		if err != nil {
			t.Fatal(err)
		}
		lr.Float32s()[0] = 0.05
		out, err := s.Run(map[string]*tensor.Tensor{nn.ImageInput: x, "target": labels, "lr": lr})
		if err != nil {
			t.Fatal(err)
		}
		loss := float64(out[0].Float32s()[0])
		t.Logf("step %d: loss %.7f, ours %.7f", i+1, loss, want.Loss)
		if math.Abs(loss-want.Loss) > 1e-4*want.Loss {
			t.Errorf("step %d: loss %.7f, ours %.7f", i+1, loss, want.Loss)
		}
		if i > 0 {
			continue // signs of ReLUs differ, which training amplifies
		}
		worst := 0.0
		for _, a := range s.program.Arguments {
			if a.Variable {
				d := difference(variable(t, s.Variable, a.Name), variable(t, step.Vars().Get, a.Name))
				if worst = max(worst, d); !(d < 1e-4) {
					t.Errorf("after the first step, %s differs by %.2g of its largest number", a.Name, d)
				}
			}
		}
		t.Logf("after the first step, the variables differ by at most %.2g of their largest numbers", worst)
	}
}
