package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// subConv is one parity class of an input gradient: the input rows ph, ph+s,
// ph+2s, … and likewise columns, which the same taps reach.
type subConv struct {
	ph, pw     int   // first input row and column
	h, w       int   // number of rows and columns
	rows, cols []int // the taps, in the order of rising output index; may be empty
	oy, ox     int   // output index that tap rows[0] reaches from the first row
	dh, dw     int   // output rows between neighbouring taps
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
// quotient of the first, and the difference between neighbouring quotients.
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

// ConvInputGrad computes the gradient of a convolution with respect to its
// input, compiled for one geometry and this machine. It is immutable; its
// tasks may run at the same time in any order.
type ConvInputGrad struct {
	conv    Conv
	parts   []nnConv // one for each parity class
	tasks   int
	scratch int
	packed  int
}

// PlanConvInputGrad compiles the input gradient of a convolution. The error is
// that of [Conv.Check].
func PlanConvInputGrad(c Conv) (*ConvInputGrad, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	g := &ConvInputGrad{conv: c}
	cg, kg := c.C/c.Groups, c.K/c.Groups
	for _, s := range gradSubConvs(c) {
		q := nnConv{
			groups: c.Groups, n: c.N, ih: c.OutH(), iw: c.OutW(), ic: c.K, c: kg,
			sh: 1, sw: 1, r: len(s.rows), s: len(s.cols), dh: s.dh, dw: s.dw, padT: -s.oy, padL: -s.ox,
			oh: s.h, ow: s.w, k: cg,
			yOff: (s.ph*c.W + s.pw) * c.C, yImg: c.H * c.W * c.C, yRow: c.StrideH * c.W * c.C, yPix: c.StrideW * c.C,
			wOff: g.packed, products: c.Precision,
		}
		if q.r == 0 || q.s == 0 {
			q.r, q.s = 0, 0
		}
		q.plan()
		g.parts = append(g.parts, q)
		g.tasks += q.tasks()
		g.scratch = max(g.scratch, q.scratchFloats())
		g.packed += c.Groups * q.panels * q.panelLen
	}
	return g, nil
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (g *ConvInputGrad) Tasks() int { return g.tasks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run. It may be 0.
func (g *ConvInputGrad) ScratchFloats() int { return g.scratch }

// Run computes one task of the gradient with respect to x,
//
//	dx[n][h][w][c] = Σ dy[n][oh][ow][k] * w[r][s][c][k]
//
// over all (oh, r), (ow, s) that meet (h, w), and k of c's group; with
// accumulate it adds to dx. dy is [N][OutH][OutW][K], dx [N][H][W][C], and the
// weights are packed by [Conv.InputGradPacking]. It allocates nothing.
func (g *ConvInputGrad) Run(task int, scratch, dy, packed, dx []float32, accumulate bool) {
	isa.CheckMin("scratch", scratch, g.scratch)
	isa.CheckFloats("dy", dy, g.conv.YLen())
	isa.CheckFloats("packed weights", packed, g.packed)
	isa.CheckFloats("dx", dx, g.conv.XLen())
	var res []float32
	if accumulate {
		res = dx
	}
	for i := range g.parts {
		q := &g.parts[i]
		if n := q.tasks(); task >= n {
			task -= n
			continue
		}
		q.run(-1, task, scratch, dy, packed, nil, res, dx, isa.ActNone)
		return
	}
	panic("conv: no such task")
}
