package conv

import (
	"errors"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// depthwiseMACs is the number of multiplications of a task: some 10 microseconds.
const depthwiseMACs = 256 << 10

// depthwiseForward is the algorithm of a forward convolution with one filter for each
// channel (Howard et al. 2017, MobileNets, arXiv:1704.04861, section 3.1). Its vectors
// are of neighboring channels; those of the direct algorithm, which are of the output
// channels of a group, would have one element in use.
func depthwiseForward(c Conv, w Want) (k candidate, err error) {
	if !c.depthwise() {
		return k, errNotDepthwise
	}
	if w.Stats || c.Precision != gemm.FP32 && !w.Fast {
		return k, errors.New("convolution: depthwise convolutions are without statistics, and of float32")
	}
	c.Precision = gemm.FP32 // which takes no longer than bfloat16 products would
	return candidate{name: Depthwise, only: true, plan: func() *Plan {
		d := newDepthwise(c)
		p := &Plan{Algorithm: Depthwise, Packed: c.depthwisePacking()}
		step := c.products(w, ArgX, ArgPacked)
		step.Tasks = isa.CeilDiv(d.rows, d.taskRows)
		step.Scratch = d.rowFloats()
		step.Run = func(w *Worker, task int, a Args) {
			c.check(&a, p.Packed.Len)
			d.run(task, w.Scratch, &a)
		}
		p.Steps = []Step{step}
		return p
	}}, nil
}

// depthwise reports whether each channel has one filter, and there are several.
func (c *Conv) depthwise() bool { return c.Groups == c.C && c.K == c.C && c.C > 1 }

var errNotDepthwise = errors.New("convolution: it is not depthwise")

type depthwise struct {
	kernel         vec.Depthwise
	rows, taskRows int       // output rows of all images, and those of a task
	noBias         []float32 // zeros
}

func newDepthwise(c Conv) *depthwise {
	d := &depthwise{rows: c.N * c.OutH(), noBias: make([]float32, c.C)}
	d.kernel.PoolShape = vec.PoolShape{
		N: c.N, H: c.H, W: c.W, C: c.C, KH: c.R, KW: c.S, SH: c.StrideH, SW: c.StrideW,
		PadTop: c.PadTop, PadLeft: c.PadLeft, PadBottom: c.PadBottom, PadRight: c.PadRight,
		DH: c.DilH, DW: c.DilW, OH: c.OutH(), OW: c.OutW(),
	}
	d.taskRows = max(1, min(depthwiseMACs/(c.OutW()*c.C*c.R*c.S), isa.CeilDiv(d.rows, minTasks)))
	return d
}

func (d *depthwise) run(task int, scratch []float32, a *Args) {
	from := task * d.taskRows
	to := min(from+d.taskRows, d.rows)
	bias, row := a.Bias, d.rowFloats()
	if bias == nil {
		bias = d.noBias
	}
	lo, hi := a.Act.Bounds()
	if a.Residual == nil {
		d.kernel.Run(a.Y[from*row:to*row], a.X, a.Packed, bias, lo, hi, from, to)
		return
	}
	isa.CheckMin("scratch", scratch, row)
	sums := scratch[:row] // the residual may be y itself
	noLo, noHi := isa.ActNone.Bounds()
	for r := from; r < to; r++ {
		d.kernel.Run(sums, a.X, a.Packed, bias, noLo, noHi, r, r+1)
		y := a.Y[r*row : (r+1)*row]
		vec.Binary(vec.OpAdd, y, sums, a.Residual[r*row:(r+1)*row])
		vec.Unary(vec.OpClamp, y, y, lo, hi)
	}
}

// rowFloats returns the floats of an output row.
func (d *depthwise) rowFloats() int { return d.kernel.OW * d.kernel.C }

// depthwisePacking lays the filters out as [R][S][C], as HWIO is.
func (c Conv) depthwisePacking() *Packing {
	taps := c.R * c.S
	return &Packing{Len: taps * c.C, Tasks: taps, Key: c.key("depthwise"), OIHW: true, weights: c.WLen(),
		pack: func(tap int, dst []float32, w Weights) {
			dst = dst[tap*c.C:][:c.C]
			if w.Order == HWIO {
				copy(dst, w.Data[tap*c.C:])
				return
			}
			for ch := range dst {
				v := w.Data[ch*taps+tap]
				if w.Scale != nil {
					v = float32(float64(v) * w.Scale[ch])
				}
				dst[ch] = v
			}
		}}
}
