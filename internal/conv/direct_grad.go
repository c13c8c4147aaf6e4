package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// subConv is one parity class of an input gradient: the input rows ph, ph+s,
// ph+2s, … and likewise columns, which the same taps reach.
type subConv struct {
	ph, pw     int   // first input row and column
	h, w       int   // number of rows and columns
	rows, cols []int // the taps, in the order of rising output index; may be empty
	oy, ox     int   // output index that tap rows[0] reaches from the first row
	dh, dw     int   // output rows between neighboring taps
}

// gradSubConvs returns the parity classes of the input gradient of c, row
// major. Input row i gets a term from output row o by tap r where
// i + PadTop = o*StrideH + r*DilH.
func gradSubConvs(c Conv) []subConv {
	var subs []subConv
	for ph := range min(c.StrideH, c.H) {
		rows, oy, dh := gradTaps(ph+c.PadTop, c.R, c.StrideH, c.DilH)
		for pw := range min(c.StrideW, c.W) {
			cols, ox, dw := gradTaps(pw+c.PadLeft, c.S, c.StrideW, c.DilW)
			subs = append(subs, subConv{
				ph: ph, pw: pw, h: isa.CeilDiv(c.H-ph, c.StrideH), w: isa.CeilDiv(c.W-pw, c.StrideW),
				rows: rows, cols: cols, oy: oy, ox: ox, dh: dh, dw: dw,
			})
		}
	}
	return subs
}

// gradTaps returns the taps r with at - r*dil divisible by stride, falling, the
// quotient of the first, and the difference between neighboring quotients.
func gradTaps(at, taps, stride, dil int) (rs []int, first, step int) {
	step = 1
	for r := taps - 1; r >= 0; r-- {
		d := at - r*dil
		if d%stride != 0 {
			continue
		}
		switch len(rs) {
		case 0:
			first = d / stride
		case 1:
			step = d/stride - first
		}
		rs = append(rs, r)
	}
	return rs, first, step
}

// directInputGrad is the algorithm [Direct] of the gradient of a convolution
// with respect to its input,
//
//	dx[n][h][w][c] = Σ dy[n][oh][ow][k] * w[r][s][c][k]
//
// over all (oh, r), (ow, s) that meet (h, w), and k of c's group: a convolution
// of dy for each parity class. With a residual, a step before copies that to dx.
func directInputGrad(c Conv, w Want) (candidate, error) {
	cycles := 0.0
	f := c
	f.Precision = gemm.FP32
	if t, err := f.transposed(); err == nil { // else it is the only candidate
		t.Precision = c.Precision
		cycles = t.directCycles()
	}
	return candidate{name: Direct, cycles: cycles, plan: func() *Plan {
		g := newDirectInputGrad(c)
		p := &Plan{Algorithm: c.directName(), Packed: c.inputGradPacking()}
		if w.Residual {
			n := c.XLen()
			p.Steps = append(p.Steps, Step{
				Name: "sum", Tasks: vec.Pieces(n, vec.PieceLen), Reads: []Arg{ArgResidual}, Writes: []Arg{ArgY}, InPlace: true,
				Run: func(_ *Worker, task int, a Args) {
					lo, hi := vec.PieceBounds(task, vec.PieceLen, n)
					if d, s := a.Y[lo:hi], a.Residual[lo:hi]; &d[0] != &s[0] {
						copy(d, s)
					}
				},
			})
		}
		p.Steps = append(p.Steps, Step{
			Tasks: g.tasks, Scratch: g.scratch, FLOPs: c.FLOPs(), Reads: []Arg{ArgX, ArgPacked}, Writes: []Arg{ArgY},
			Run: func(worker *Worker, task int, a Args) {
				isa.CheckFloats("dy", a.X, c.YLen())
				isa.CheckFloats("packed weights", a.Packed, p.Packed.Len)
				isa.CheckFloats("dx", a.Y, c.XLen())
				sum := Args{X: a.X, Packed: a.Packed, Y: a.Y}
				if w.Residual {
					sum.Residual = a.Y
				}
				g.run(worker.previous(task), task, worker.Scratch, &sum)
			},
		})
		return p
	}}, nil
}

// newDirectInputGrad returns a [direct] for each parity class.
func newDirectInputGrad(c Conv) *directParts {
	g := &directParts{}
	packed := 0
	for _, s := range gradSubConvs(c) {
		shape := directShape{
			groups: c.Groups, n: c.N, ih: c.OutH(), iw: c.OutW(), ic: c.K, c: c.K / c.Groups,
			sh: 1, sw: 1, r: len(s.rows), s: len(s.cols), dh: s.dh, dw: s.dw, padT: -s.oy, padL: -s.ox,
			oh: s.h, ow: s.w, k: c.C / c.Groups,
			yOff: (s.ph*c.W + s.pw) * c.C, yImg: c.H * c.W * c.C, yRow: c.StrideH * c.W * c.C, yPix: c.StrideW * c.C,
			wOff: packed, precision: c.Precision,
		}
		if shape.r == 0 || shape.s == 0 {
			shape.r, shape.s = 0, 0
		}
		q := newDirect(shape)
		g.add(q)
		packed += c.Groups * q.panels * q.panelLen
	}
	return g
}
