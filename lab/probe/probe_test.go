package probe

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

func network(t *testing.T, name string) *Net {
	t.Helper()
	m, err := models.New(name, models.Classes(3), models.InputSize(8))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 5); err != nil {
		t.Fatal(err)
	}
	return &Net{Module: m, State: StateOf(m), Batch: 7}
}

func pictures(n int) *Pictures {
	r := rand.New(rand.NewPCG(3, 4))
	p := &Pictures{Shape: tensor.Shape{3, 8, 8}}
	for i := range n {
		for range 3 * 8 * 8 {
			p.X = append(p.X, float32(r.NormFloat64()))
		}
		p.Labels = append(p.Labels, int64(i%3))
	}
	return p
}

// TestLayers checks what is known without computing it.
func TestLayers(t *testing.T) {
	n, p := network(t, "resnet8-cifar"), pictures(9)
	layers, err := n.Layers(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 8 || layers[0].Path != "conv1" || layers[7].Path != "fc" {
		t.Fatalf("layers %+v", layers)
	}
	for _, l := range layers {
		w := n.State[l.Path+".weight"]
		norm := 0.0
		for _, v := range w.Float32s() {
			norm += float64(v) * float64(v)
		}
		if math.Abs(l.Weight-math.Sqrt(norm)) > 1e-5*l.Weight {
			t.Errorf("%s: weight %g, want %g", l.Path, l.Weight, math.Sqrt(norm))
		}
		// The output of a batch norm with its first weights has a deviation of 1
		// in training.
		if l.Path != "fc" && math.Abs(l.Response-1) > 1e-3 {
			t.Errorf("%s: response %g, want 1", l.Path, l.Response)
		}
		if !(l.Gradient > 0) || !(l.Signal > 0) {
			t.Errorf("%s: gradient %g, signal %g", l.Path, l.Gradient, l.Signal)
		}
	}
	// A batch norm makes the loss independent of the scale of the weights
	// before it: the gradient of twice the weights is half as large.
	twice := *n
	twice.State = State{}
	for name, v := range n.State {
		twice.State[name] = v
	}
	w := n.State["layer1.0.conv1.weight"].Clone()
	for i := range w.Float32s() {
		w.Float32s()[i] *= 2
	}
	twice.State["layer1.0.conv1.weight"] = w
	half, err := twice.Layers(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := layers[1].Gradient, half[1].Gradient; math.Abs(a-2*b) > 0.02*a {
		t.Errorf("the gradient is %g, and %g at twice the weights", a, b)
	}
	if _, err := network(t, "resnet8-cifar+block-dropout").Layers(t.Context(), p); err == nil || !strings.Contains(err.Error(), "dropout") {
		t.Errorf("with dropout: %v", err)
	}
}

// TestDelete: without a block whose branch is zero, a residual network is the
// same; without a plain one it is not.
func TestDelete(t *testing.T) {
	n, p := network(t, "resnet14-cifar"), pictures(20)
	for name, v := range n.State {
		if strings.HasSuffix(name, ".1.bn2.weight") {
			n.State[name] = tensor.New(v.Shape()...)
		}
	}
	_, whole, err := n.Evaluate(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	d, err := n.Delete(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	paths := ""
	for _, x := range d {
		paths += x.Block + " "
		if strings.HasSuffix(x.Block, ".1") && x.Wrong != whole {
			t.Errorf("without the empty block %s: %g wrong, with it %g", x.Block, x.Wrong, whole)
		}
	}
	if paths != "layer1.0 layer1.1 layer2.1 layer3.1 " {
		t.Errorf("deleted: %s", paths)
	}
	if _, again, _ := n.Evaluate(t.Context(), p); again != whole {
		t.Error("the network is not whole again")
	}
}

func TestDirection(t *testing.T) {
	n := network(t, "resnet8-cifar")
	d, e := n.State.Direction(1), n.State.Direction(2)
	for name, w := range d {
		rows := w.Shape()[0]
		k := w.Numel() / rows
		for i := range rows {
			var a, b float64
			for j := range k {
				a += math.Pow(float64(w.Float32s()[i*k+j]), 2)
				b += math.Pow(float64(n.State[name].Float32s()[i*k+j]), 2)
			}
			if math.Abs(a-b) > 1e-4*b {
				t.Fatalf("%s: filter %d has norm² %g, want %g", name, i, a, b)
			}
		}
	}
	if d["bn1.weight"] != nil || d["fc.bias"] != nil || d["fc.weight"] == nil {
		t.Error("directions of batch norms or biases, or none of a weight")
	}
	same := n.State.Plus(0, d, 0, e)
	if got, want := same["conv1.weight"].Float32s(), n.State["conv1.weight"].Float32s(); got[5] != want[5] {
		t.Error("no step moves the weights")
	}
	p := pictures(6)
	z, err := n.Landscape(t.Context(), p, []float64{-1, 0, 1}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if loss, _, _ := n.Evaluate(t.Context(), p); z[1][1] != loss {
		t.Errorf("the middle is %g, the loss %g", z[1][1], loss)
	}
}

// TestLinear: classes that a line divides are all read, noise is not.
func TestLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n, c = 300, 4
	var x, noise []float32
	var y []int64
	for i := range n {
		k := i % 3
		for j := range c {
			v := r.NormFloat64() * 0.3
			noise = append(noise, float32(v))
			if j == k {
				v += 3
			}
			x = append(x, float32(v))
		}
		y = append(y, int64(k))
	}
	if a := Linear(x[:200*c], y[:200], x[200*c:], y[200:], 3, 100); a != 1 {
		t.Errorf("%g of divided classes", a)
	}
	if a := Linear(noise[:200*c], y[:200], noise[200*c:], y[200:], 3, 100); a > 0.5 {
		t.Errorf("%g of noise", a)
	}
	net, p := network(t, "resnet8-cifar"), pictures(10)
	paths, f, err := net.Features(t.Context(), p)
	if err != nil || strings.Join(paths, " ") != "layer1.0 layer2.0 layer3.0" || len(f[0]) != 10*16 || len(f[2]) != 10*64 {
		t.Errorf("features of %v: %d and %d (%v)", paths, len(f[0]), len(f[2]), err)
	}
}
