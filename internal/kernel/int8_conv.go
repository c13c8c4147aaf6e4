package kernel

import (
	"math"
	"unsafe"
)

// Int8Conv is a planned convolution (or linear layer) of unsigned 8-bit
// activations by signed 8-bit weights with 32-bit sums. The input is
// [N][H][W][C], the output [N][OutH][OutW][K]; padding stands for real zero.
type Int8Conv struct {
	conv   Conv
	c, k   int // channels of a group: in, out
	panels int
	// Pixels as the kernel sees them, after the copy if there is one.
	copied       bool
	merged       bool // the pixels of neighbouring rows are one long row
	n, oh, ow    int  // output; all pixels are one column if nothing lies between
	stepH, stepW int  // input rows and pixels between outputs
	inCols       int  // pixels of a row
	pixPitch     int  // bytes
	aoff         []int
	words        int // of a batch element
	panelLen     int // bytes of a panel
	nz, maxM     int

	rowBlock, panelBlock int
	rows, pans           int
}

const (
	int8InputBytes = 96 << 10 // input of a task, unless one row has more
	int8Slack      = 64       // bytes after a scratch that the last load may touch
)

// PlanInt8Conv plans c; see [Conv.Check] for the errors.
func PlanInt8Conv(c Conv) (*Int8Conv, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	q := &Int8Conv{conv: c, c: c.C / c.Groups, k: c.K / c.Groups, n: c.N, oh: c.OutH(), ow: c.OutW(), stepH: c.StrideH, stepW: c.StrideW}
	q.panels = ceilDiv(q.k, panelWidth)
	kk, taps := c.S*q.c, 1
	if c.DilW > 1 {
		kk, taps = q.c, c.S
	}
	q.words = ceilDiv(kk, 4)
	q.panelLen = c.R * taps * q.words * 4 * panelWidth
	oneTap := c.R == 1 && c.S == 1
	padded := c.PadTop|c.PadLeft|c.PadBottom|c.PadRight != 0
	q.copied = padded || kk%4 != 0 || c.Groups > 1 || oneTap && (c.StrideH > 1 || c.StrideW > 1)
	if !q.copied && oneTap {
		q.oh, q.n, q.ow = q.n*q.oh*q.ow, 1, 1
		q.inCols = 1
	}
	q.pixPitch = q.c
	if q.copied {
		if c.R == 1 {
			q.stepH = 1
		}
		if c.S == 1 {
			q.stepW = 1
		}
		q.inCols = (q.ow-1)*q.stepW + (c.S-1)*c.DilW + 1
	} else if q.inCols == 0 {
		q.inCols = c.W
	}
	q.merged = oneTap && q.stepH == 1 && q.stepW == 1
	for i := range c.R {
		for j := range taps {
			q.aoff = append(q.aoff, (i*c.DilH*q.inCols+j*c.DilW)*q.pixPitch)
		}
	}
	q.choose()
	q.cut()
	return q, nil
}

// choose picks the panels of a call by an estimate of its cycles.
func (q *Int8Conv) choose() {
	width := q.ow
	if q.merged {
		width = 1 << 16
	}
	best := 0.0
	for nz := 1; nz <= min(maxPanels, q.panels); nz++ {
		mm := int8MaxRows(nz)
		if mm == 0 {
			break
		}
		cost := 0.0
		for p := 0; p < q.panels; p += nz {
			z, tiles := min(nz, q.panels-p), ceilDiv(width, mm)
			larger := width % tiles
			cost += float64(larger)*tileCost(width/tiles+1, z) + float64(tiles-larger)*tileCost(width/tiles, z)
		}
		if q.nz == 0 || cost < best {
			q.nz, q.maxM, best = nz, mm, cost
		}
	}
}

// cut chooses the rows and panels of a task from the geometry alone.
func (q *Int8Conv) cut() {
	rowBytes := q.stepH * q.inCols * q.pixPitch
	q.rowBlock = max(1, min(q.oh, int8InputBytes/max(1, rowBytes)))
	if q.merged && q.ow < q.maxM {
		// Whole tiles, where rows are shorter than one.
		unit := ceilDiv(q.maxM, q.ow)
		q.rowBlock = min(q.oh, max(1, q.rowBlock/unit)*unit)
	}
	q.panelBlock = q.panels
	tasks := func() int {
		return q.n * ceilDiv(q.oh, q.rowBlock) * ceilDiv(q.panels, q.panelBlock) * q.conv.Groups
	}
	work := 2 * float64(q.n*q.oh*q.ow*q.conv.Groups) * float64(q.panels*q.panelLen)
	want := min(targetTasks, int(work/(2*minTaskFLOPs))+1)
	for tasks() < want {
		switch {
		case q.rowBlock*q.ow >= 8*q.maxM || q.panelBlock <= q.nz && q.rowBlock*q.ow >= 2*q.maxM:
			half := ceilDiv(q.rowBlock, 2)
			if q.merged && q.ow == 1 {
				half = ceilDiv(half, q.maxM) * q.maxM
			}
			if half >= q.rowBlock {
				want = 0
				break
			}
			q.rowBlock = half
		case q.panelBlock > q.nz:
			q.panelBlock = ceilDiv(ceilDiv(q.panelBlock, 2), q.nz) * q.nz
		default:
			want = 0
		}
	}
	q.rows, q.pans = ceilDiv(q.oh, q.rowBlock), ceilDiv(q.panels, q.panelBlock)
}

// Tasks returns how many tasks make up the convolution; they are independent.
func (q *Int8Conv) Tasks() int { return q.n * q.rows * q.conv.Groups * q.pans }

// ScratchBytes returns the scratch that one task needs.
func (q *Int8Conv) ScratchBytes() int {
	if !q.copied {
		return 0
	}
	return ((q.rowBlock-1)*q.stepH+(q.conv.R-1)*q.conv.DilH+1)*q.inCols*q.c + int8Slack
}

// PackedLen returns the length of the packed weights.
func (q *Int8Conv) PackedLen() int { return q.conv.Groups * q.panels * q.panelLen }

// ChannelsLen returns the length of the values per output channel, which are
// padded to whole panels, group by group.
func (q *Int8Conv) ChannelsLen() int { return q.conv.Groups * q.panels * panelWidth }

// PackChannels stores v [K] with the padding that [Int8Epilogue] wants.
func PackChannels[T any](q *Int8Conv, dst, v []T) {
	checkLen(len(dst), q.ChannelsLen(), "padded channels")
	checkLen(len(v), q.conv.K, "channels")
	for g := range q.conv.Groups {
		copy(dst[g*q.panels*panelWidth:], v[g*q.k:(g+1)*q.k])
	}
}

// Pack stores w [R][S][C/Groups][K] in panels: four inner products of a column
// together, sixteen columns in a row, zeros where a sum or a panel ends early.
func (q *Int8Conv) Pack(dst, w []int8) {
	checkLen(len(dst), q.PackedLen(), "packed weights")
	checkLen(len(w), q.conv.WLen(), "weights")
	clear(dst)
	taps := len(q.aoff) / q.conv.R
	kk := q.conv.S / taps * q.c
	for k := range q.conv.K {
		g, col := k/q.k, k%q.k
		panel := dst[(g*q.panels+col/panelWidth)*q.panelLen:]
		for b := range q.aoff {
			for i := range kk {
				panel[(b*q.words+i/4)*4*panelWidth+col%panelWidth*4+i%4] = w[(b*kk+i)*q.conv.K+k]
			}
		}
	}
}

// Int8Epilogue says what becomes of the sums. The values per channel are laid
// out by [PackChannels]: Corr is the bias in units of the sums less the input's
// zero point times the sum of the channel's weights, Scale is the scale of the
// input times that of the channel's weights, divided by the output's scale
// where the output is quantised.
type Int8Epilogue struct {
	Corr  []int32
	Scale []float32
	Act   Act // ActNone or ActReLU

	Res      []uint8 // added, with the layout of the output, or nil
	ResQuant Int8Quant

	// One of the two outputs.
	Out      []uint8
	OutQuant Int8Quant
	Float    []float32
}

func (q *Int8Conv) storeArgs(e *Int8Epilogue) (s int8Store, size int) {
	s.lo, s.hi, size = float32(math.Inf(-1)), float32(math.Inf(1)), 4
	s.resZero, s.resScale = float32(e.ResQuant.Zero), e.ResQuant.Scale
	if e.Float == nil {
		size = 1
		s.zero = int32(e.OutQuant.Zero)
		s.lo, s.hi = -float32(s.zero), float32(255-s.zero)
		s.resScale /= e.OutQuant.Scale
	} else {
		s.float = 1
	}
	switch e.Act {
	case ActNone:
	case ActReLU:
		s.lo = 0
	default:
		panic("kernel: no such activation of integers")
	}
	return s, size
}

// Run computes one task. x is quantised with the zero point zero; w is packed.
func (q *Int8Conv) Run(task int, scratch, x []uint8, zero uint8, w []int8, e *Int8Epilogue) {
	checkLen(len(x), q.conv.XLen(), "input")
	checkLen(len(w), q.PackedLen(), "packed weights")
	checkLen(len(e.Corr), q.ChannelsLen(), "corrections")
	checkLen(len(e.Scale), q.ChannelsLen(), "scales")
	checkLen(len(e.Out)+len(e.Float), q.conv.YLen(), "output")
	if e.Res != nil {
		checkLen(len(e.Res), q.conv.YLen(), "residual")
	}
	p := task % q.pans
	task /= q.pans
	grp := task % q.conv.Groups
	task /= q.conv.Groups
	p0, p1 := span(p, q.panelBlock, q.panels)
	oy0, oy1 := span(task%q.rows, q.rowBlock, q.oh)
	n := task / q.rows

	st, size := q.storeArgs(e)
	src := x
	if q.copied {
		checkMinBytes(len(scratch), q.ScratchBytes())
		q.copyInput(scratch, x, zero, n, oy0, oy1, grp)
		src = scratch
	} else {
		src = x[(n*q.conv.H+oy0*q.stepH)*q.inCols*q.pixPitch:]
		if q.ow == 1 && q.merged {
			src = x[oy0*q.pixPitch:]
		}
	}
	var sums [int8TileInts]int32
	a := int8Args{aoff: &q.aoff[0], batch: len(q.aoff), k: q.words, as: q.stepW * q.pixPitch, bs: q.panelLen, c: &sums[0]}
	st.ldr, st.ldo = q.conv.K, q.conv.K*size
	for p := p0; p < p1; p += q.nz {
		nz := min(q.nz, p1-p)
		a.b = &w[(grp*q.panels+p)*q.panelLen]
		rows, width := oy1-oy0, q.ow
		if q.merged {
			rows, width = 1, rows*q.ow
		}
		tiles := ceilDiv(width, q.maxM)
		for y := range rows {
			from := y * q.stepH * q.inCols * q.pixPitch
			at := (n*q.oh+oy0+y)*q.ow*q.conv.K + grp*q.k
			for t := range tiles {
				m := width / tiles
				if t < width%tiles {
					m++
				}
				a.a = &src[from]
				int8Tile(m, nz, &a)
				st.rows, st.ts = m, nz*panelWidth*4
				for z := range nz {
					st.cols = min(panelWidth, q.k-(p+z)*panelWidth)
					st.bits = 1<<st.cols - 1
					st.t = &sums[z*panelWidth]
					ch := (grp*q.panels + p + z) * panelWidth
					st.corr, st.scale = &e.Corr[ch], &e.Scale[ch]
					o := at + (p+z)*panelWidth
					if e.Res != nil {
						st.res = &e.Res[o]
					}
					if e.Float != nil {
						st.out = (*uint8)(unsafe.Pointer(&e.Float[o]))
					} else {
						st.out = &e.Out[o]
					}
					st.store()
				}
				from += m * a.as
				at += m * q.conv.K
			}
		}
	}
}

func checkMinBytes(got, want int) {
	if got < want {
		panicLen(got, want, "scratch")
	}
}

// copyInput fills scratch with the rows and pixels that output rows oy0 to oy1
// of image n read of one group, padding made of the zero point.
func (q *Int8Conv) copyInput(scratch, x []uint8, zero uint8, n, oy0, oy1, grp int) {
	c := &q.conv
	rows := (oy1-oy0-1)*q.stepH + (c.R-1)*c.DilH + 1
	// Rows and pixels that are kept are jump apart in the input.
	jumpH, jumpW := c.StrideH/q.stepH, c.StrideW/q.stepW
	for i := range rows {
		d := scratch[i*q.inCols*q.c:][:q.inCols*q.c]
		iy := oy0*c.StrideH - c.PadTop + i*jumpH
		if iy < 0 || iy >= c.H {
			fillBytes(d, zero)
			continue
		}
		left := min(ceilDiv(c.PadLeft, jumpW), q.inCols)
		first := left*jumpW - c.PadLeft
		right := left
		if first < c.W {
			right = min(q.inCols, left+ceilDiv(c.W-first, jumpW))
		}
		fillBytes(d[:left*q.c], zero)
		fillBytes(d[right*q.c:], zero)
		if left == right {
			continue
		}
		s := x[((n*c.H+iy)*c.W+first)*c.C+grp*q.c:]
		d = d[left*q.c : right*q.c]
		if jumpW == 1 && c.C == q.c {
			copy(d, s)
			continue
		}
		for len(d) > 0 {
			copy(d[:q.c], s)
			if d = d[q.c:]; len(d) > 0 {
				s = s[jumpW*c.C:]
			}
		}
	}
}

func fillBytes(d []uint8, v uint8) {
	for i := range d {
		d[i] = v
	}
}
