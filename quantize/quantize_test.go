package quantize

import (
	"iter"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

const pictures = 8

func network(t *testing.T) (nn.Module, *engine.Vars) {
	t.Helper()
	m, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 3); err != nil {
		t.Fatal(err)
	}
	vars := engine.NewVars()
	for _, e := range nn.Params(m) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	return m, vars
}

func random() []float32 {
	x := make([]float32, pictures*32*32*3)
	rng := philox.New(9, 0)
	for i := range x {
		x[i] = float32(rng.Uint32())/(1<<30) - 2
	}
	return x
}

func batches(x []float32) iter.Seq2[*tensor.Tensor, error] {
	return func(yield func(*tensor.Tensor, error) bool) {
		size := len(x) / pictures
		_ = yield(tensor.FromNHWC(x[:5*size], 5, 3, 32, 32)) && yield(tensor.FromNHWC(x[5*size:], 3, 3, 32, 32))
	}
}

func run(t *testing.T, m nn.Module, vars *engine.Vars, x []float32) []float32 {
	t.Helper()
	r, err := infer.New(m, vars, infer.Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	in, err := tensor.FromNHWC(x, pictures, 3, 32, 32)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Run(t.Context(), infer.Query{}, infer.Tensors{nn.ImageInput: in})
	if err != nil {
		t.Fatal(err)
	}
	return out[infer.Output].Float32s()
}

// A quantized network gives nearly what the network gives, by every method,
// and rounds as many values as the network has layers and shortcuts.
func TestCalibrate(t *testing.T) {
	m, vars := network(t)
	x := random()
	want := run(t, m, vars, x)
	lo, hi := want[0], want[0]
	for _, v := range want {
		lo, hi = min(lo, v), max(hi, v)
	}
	for _, method := range Methods() {
		for _, float := range []bool{false, true} {
			q, err := Calibrate(t.Context(), m, vars, tensor.Shape{3, 32, 32}, batches(x), Options{Method: method, FloatFirst: float, FloatLast: float})
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, v := range run(t, q, vars, x) {
				worst = max(worst, math.Abs(float64(v-want[i])))
			}
			worst /= float64(hi - lo)
			t.Logf("%s: logits move by up to %.3f of their range", method, worst)
			if worst > 0.1 || worst == 0 {
				t.Errorf("%s: logits move by up to %.3f of their range", method, worst)
			}
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	m, vars := network(t)
	in := tensor.Shape{3, 32, 32}
	none := func(func(*tensor.Tensor, error) bool) {}
	x := random()
	x[7] = float32(math.Inf(1))
	for _, c := range []struct {
		b      iter.Seq2[*tensor.Tensor, error]
		method string
		want   string
	}{
		{none, MinMax, "no pictures"},
		{batches(random()), "best", "unknown method"},
		{batches(x), Percentile, "not finite"},
	} {
		if _, err := Calibrate(t.Context(), m, vars, in, c.b, Options{Method: c.method}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q in it", c.method, err, c.want)
		}
	}
}

// Ranges of histograms whose best range is known.
func TestLimits(t *testing.T) {
	long := &values{name: "long tail", lo: 0, hi: 2048, hist: make([]int64, bins)}
	for i := range 512 {
		long.hist[i] = 100000
	}
	long.hist[bins-1] = 1
	if _, hi, _ := long.limits(MinMax); hi != 2048 {
		t.Errorf("minmax leaves out values beyond %g", hi)
	}
	for _, method := range []string{Percentile, Entropy} {
		if lo, hi, _ := long.limits(method); lo != 0 || hi < 480 || hi > 600 {
			t.Errorf("%s: the range is %g to %g, want about 0 to 512", method, lo, hi)
		}
	}
	by := asymmetric(-1, 3)
	if by.Zero[0] != 64 || math.Abs(float64(by.Scale[0])-4.0/255) > 1e-6 {
		t.Errorf("-1 to 3 is rounded by %+v", by)
	}
	if by := asymmetric(2, 3); by.Zero[0] != 0 || math.Abs(float64(by.Scale[0])-3.0/255) > 1e-6 {
		t.Errorf("0 is not kept: %+v", by)
	}
}

// A channel whose weights are nothing beside its bias keeps the bias.
func TestBiasOfChannelWithoutWeights(t *testing.T) {
	g := &graph.Graph{}
	w, err := tensor.FromFloat32([]float32{0, 0, 1, -0.5, 1e-9, 0}, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tensor.FromFloat32([]float32{3, -2, 40}, 3)
	if err != nil {
		t.Fatal(err)
	}
	in := []*graph.Value{nil, g.Const(w), g.Const(b)}
	(&Network{}).roundLayer(g, in, 0.01)
	by := in[2].Node.Op.(graph.DequantizeLinear)
	for i, q := range in[2].Node.In[0].Node.Op.(graph.Const).Tensor.Float32s() {
		want := b.Float32s()[i]
		if got := q * by.Scale[i]; math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want))+0.01/127 || q > mostBias || -q > mostBias {
			t.Errorf("bias %d is %g (%g units), want %g", i, got, q, want)
		}
	}
}
