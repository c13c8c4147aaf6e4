package vec

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// values are float32 numbers in JSON; those that JSON lacks are strings.
type values []float32

func (v *values) UnmarshalJSON(data []byte) error {
	var raw []any
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*v = make(values, len(raw))
	for i, r := range raw {
		switch x := r.(type) {
		case float64:
			(*v)[i] = float32(x)
		case string:
			f, err := strconv.ParseFloat(x, 32)
			if err != nil {
				return err
			}
			(*v)[i] = float32(f)
		default:
			return fmt.Errorf("element %d is a %T", i, r)
		}
	}
	return nil
}

func (v values) at(i int) float64 { return float64(v[i]) }

// golden is testdata/vec.json, made by testdata/gen/vec.py with PyTorch.
type golden struct {
	Unary []struct {
		Op       string
		A, B     float32
		X, Y, DX values
	}
	Loss struct {
		Rows, C         int
		X, Soft, Target values
		Labels          []int64
		CE, SoftCE, BCE []struct {
			Smoothing float32
			Weight    values
			Loss      values
			Mean      float64
			DX        values
		}
	}
	Pool []struct {
		Kind                           string
		N, C, H, W, K, S, P, D, OH, OW int
		X, Y, DY, DX                   values
	}
	Resize []struct {
		Mode               string
		N, C, H, W, OH, OW int
		X, Y, DY, DX       values
	}
	Optim struct {
		P     values
		Grads []values
		Runs  []struct {
			Name  string
			Steps []values
		}
	}
}

func readGolden(t *testing.T) *golden {
	t.Helper()
	data, err := os.ReadFile("testdata/vec.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(golden)
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatalf("testdata/vec.json: %v", err)
	}
	return g
}

func orNil(v values) []float32 {
	if len(v) == 0 {
		return nil
	}
	return v
}

func TestUnaryTorch(t *testing.T) {
	g := readGolden(t)
	isatest.EachISA(t, func(t *testing.T) {
		seen := map[UnaryOp]bool{}
		for _, u := range g.Unary {
			op := unaryByName(t, u.Op)
			seen[op] = true
			y, dx, dy := make([]float32, len(u.X)), make([]float32, len(u.X)), make([]float32, len(u.X))
			Fill(dy, 1)
			Unary(op, y, u.X, u.A, u.B)
			isatest.Near(t, u.Op, y, u.Y.at, 3e-7, 5e-7)
			x, out := u.X, []float32(y)
			needX, needY := op.GradNeeds()
			if !needX {
				x = nil
			}
			if !needY {
				out = nil
			}
			UnaryGrad(op, dx, dy, x, out, u.A, u.B, false)
			isatest.Near(t, u.Op+" gradient", dx, u.DX.at, 3e-6, 2e-6)
			UnaryGrad(op, dx, dy, x, out, u.A, u.B, true)
			isatest.Near(t, u.Op+" gradient, accumulated", dx, func(i int) float64 { return 2 * u.DX.at(i) }, 6e-6, 2e-6)
		}
		if len(seen) != int(unaryOps) {
			t.Errorf("%d of %d functions have a golden", len(seen), unaryOps)
		}
	})
}

func TestCrossEntropyTorch(t *testing.T) {
	g := readGolden(t).Loss
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range g.CE {
			e := CrossEntropy{Smoothing: k.Smoothing, Weight: orNil(k.Weight), UseIgnore: true, Ignore: -100}
			if at := e.Check(g.Labels, g.C); at != -1 {
				t.Fatalf("label %d refused", at)
			}
			loss, dx := make([]float32, g.Rows), make([]float32, len(g.X))
			den := e.Denominator(g.Labels)
			e.Labels(loss, dx, g.X, g.Labels, g.C, float32(1/den))
			isatest.Near(t, "loss", loss, k.Loss.at, 1e-6, 1e-6)
			isatest.Near(t, "mean", []float32{float32(sum64(loss) / den)}, func(int) float64 { return k.Mean }, 1e-6, 1e-6)
			isatest.Near(t, "dx", dx, k.DX.at, 1e-7, 2e-6)
			again, inPlace := make([]float32, g.Rows), append([]float32{}, g.X...)
			e.Labels(again, inPlace, inPlace, g.Labels, g.C, float32(1/den))
			isatest.SameBits(t, "dx in place", inPlace, dx)
			e.Labels(again, nil, g.X, g.Labels, g.C, 1)
			isatest.Near(t, "loss alone", again, k.Loss.at, 1e-6, 1e-6)
		}
		for _, k := range g.SoftCE {
			e := CrossEntropy{Smoothing: k.Smoothing, Weight: orNil(k.Weight)}
			loss, dx := make([]float32, g.Rows), make([]float32, len(g.X))
			e.Soft(loss, dx, g.X, g.Soft, g.C, 1/float32(g.Rows))
			isatest.Near(t, "soft loss", loss, k.Loss.at, 1e-6, 1e-6)
			isatest.Near(t, "soft dx", dx, k.DX.at, 1e-7, 2e-6)
		}
		for _, k := range g.BCE {
			n := float32(g.Rows * g.C)
			loss, dx := make([]float32, g.Rows), make([]float32, len(g.X))
			BCEWithLogits(loss, dx, g.X, g.Target, orNil(k.Weight), g.C, 1/n)
			isatest.Near(t, "bce", []float32{float32(sum64(loss)) / n}, func(int) float64 { return k.Mean }, 1e-6, 1e-6)
			isatest.Near(t, "bce dx", dx, k.DX.at, 1e-8, 2e-6)
		}
	})
}

func TestPoolTorch(t *testing.T) {
	g := readGolden(t)
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range g.Pool {
			p := PoolShape{N: k.N, H: k.H, W: k.W, C: k.C, KH: k.K, KW: k.K, SH: k.S, SW: k.S, PadTop: k.P, PadLeft: k.P, PadBottom: k.P, PadRight: k.P, DH: k.D, DW: k.D, OH: k.OH, OW: k.OW}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s pool %+v", k.Kind, p)
			y, dx, arg := make([]float32, len(k.Y)), make([]float32, len(k.X)), make([]uint16, len(k.Y))
			if k.Kind == "max" {
				MaxPool(y, arg, k.X, &p, 0, k.N*k.OH)
				MaxPoolGrad(dx, k.DY, arg, &p, 0, k.N*k.H, false)
			} else {
				AvgPool(y, k.X, &p, k.Kind == "avg", 0, k.N*k.OH)
				AvgPoolGrad(dx, k.DY, &p, k.Kind == "avg", 0, k.N*k.H, false)
			}
			isatest.Near(t, name, y, k.Y.at, 1e-6, 1e-6)
			isatest.Near(t, name+" gradient", dx, k.DX.at, 1e-6, 1e-6)
		}
	})
}

func TestResizeTorch(t *testing.T) {
	g := readGolden(t)
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range g.Resize {
			mode := ResizeNearest
			if k.Mode == "bilinear" {
				mode = ResizeBilinear
			}
			r, err := NewResize(k.H, k.W, k.OH, k.OW, k.C, mode)
			if err != nil {
				t.Fatal(err)
			}
			y, dx := make([]float32, len(k.Y)), make([]float32, len(k.X))
			// In two parts each: any cutting gives the same.
			r.Forward(y, k.X, 1, k.N*k.OH)
			r.Forward(y, k.X, 0, 1)
			isatest.Near(t, k.Mode, y, k.Y.at, 1e-6, 1e-6)
			r.Backward(dx, k.DY, 1, k.N*k.H, false)
			r.Backward(dx, k.DY, 0, 1, false)
			isatest.Near(t, k.Mode+" gradient", dx, k.DX.at, 1e-6, 1e-6)
			r.Backward(dx, k.DY, 0, k.N*k.H, true)
			isatest.Near(t, k.Mode+" gradient, accumulated", dx, func(i int) float64 { return 2 * k.DX.at(i) }, 2e-6, 1e-6)
		}
	})
}

func TestOptimTorch(t *testing.T) {
	g := readGolden(t).Optim
	sgds := map[string]SGD{
		"sgd":       {LR: 0.1},
		"sgd-wd":    {LR: 0.1, WeightDecay: 0.01},
		"momentum":  {LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4},
		"dampening": {LR: 0.1, Momentum: 0.9, Dampening: 0.3},
		"nesterov":  {LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true},
	}
	adams := map[string]Adam{
		"adam":  {LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.02},
		"adamw": {LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, Decoupled: true},
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, run := range g.Runs {
			p := append([]float32{}, g.P...)
			v, m := make([]float32, len(p)), make([]float32, len(p))
			Fill(v, float32(math.NaN())) // the first step does not read it
			adamV := make([]float32, len(p))
			for i, grad := range g.Grads {
				if o, ok := sgds[run.Name]; ok {
					o.First = i == 0
					if o.Momentum == 0 {
						o.Step(p, nil, grad)
					} else {
						o.Step(p, v, grad)
					}
				} else if o, ok := adams[run.Name]; ok {
					o.Step = i + 1
					o.Update(p, m, adamV, grad)
				} else {
					t.Fatalf("golden of unknown optimizer %q", run.Name)
				}
				isatest.Near(t, fmt.Sprintf("%s step %d", run.Name, i+1), p, run.Steps[i].at, 5e-7, 5e-7)
			}
		}
	})
}

func unaryByName(t *testing.T, name string) UnaryOp {
	t.Helper()
	op, ok := map[string]UnaryOp{
		"ReLU": OpReLU, "Clamp": OpClamp, "LeakyReLU": OpLeakyReLU, "Sigmoid": OpSigmoid, "Tanh": OpTanh, "SiLU": OpSiLU,
		"GELU": OpGELU, "Exp": OpExp, "Log": OpLog, "Sqrt": OpSqrt, "Rsqrt": OpRsqrt, "Neg": OpNeg, "Abs": OpAbs,
		"Square": OpSquare, "Reciprocal": OpReciprocal, "HardSigmoid": OpHardSigmoid, "HardSwish": OpHardSwish,
		"Softplus": OpSoftplus, "ELU": OpELU, "Erf": OpErf,
	}[name]
	if !ok {
		t.Fatalf("golden of unknown function %q", name)
	}
	return op
}
