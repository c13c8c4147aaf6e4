package conv

import (
	"math"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Int8Conv is a planned convolution (or linear layer) of unsigned 8-bit
// activations by signed 8-bit weights with 32-bit sums. The input is
// [N][H][W][C], the output [N][OutH][OutW][K]; padding stands for real zero.
//
// Where the kernels cannot read the input as it lies, it is copied: by each task
// to its scratch, or where many tasks read the same, once before (shared), to
// [Groups][N][planes][rows][inCols][C/Groups]. Planes are for narrow images: one
// for each column of the filter, or each tap, shifted so that the pixels of one
// output row follow those of the row above and fill whole tiles with them.
type Int8Conv struct {
	conv           Conv
	c, k           int // channels of a group: in, out
	panels         int
	copied, shared bool
	planes         int
	byTap          bool // planes are of taps, not of columns
	// Pixels as the kernel sees them, after the copy if there is one.
	merged       bool // the pixels of neighbouring rows are one long row
	n, oh, ow    int  // output; all pixels are one column if nothing lies between
	stepH, stepW int  // input rows and pixels between outputs
	inCols       int  // pixels of a row
	pixPitch     int  // bytes
	aoff         []int
	words        int // of a batch element
	panelLen     int // bytes of a panel
	nz, maxM     int

	copyRows, copyCols   int // of a plane
	rowBlock, panelBlock int
	rows, pans           int
}

const (
	int8InputBytes  = 256 << 10 // input of a task, unless one row has more
	int8WeightBytes = 512 << 10 // weights of a task, unless one call has more
	int8Slack       = 64        // bytes after a copy that the last load may touch
	int8Narrow      = 9         // largest width of images that are copied in planes
)

// PlanInt8Conv plans c; see [Conv.Check] for the errors.
func PlanInt8Conv(c Conv) (*Int8Conv, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	q := &Int8Conv{conv: c, c: c.C / c.Groups, k: c.K / c.Groups, n: c.N, oh: c.OutH(), ow: c.OutW(), stepH: c.StrideH, stepW: c.StrideW, planes: 1}
	q.panels = isa.CeilDiv(q.k, isa.PanelWidth)
	oneTap := c.R == 1 && c.S == 1
	narrow := !oneTap && q.c%4 == 0 && q.ow <= int8Narrow && q.oh > 1
	kk, taps := c.S*q.c, 1
	if c.DilW > 1 || narrow {
		kk, taps = q.c, c.S
	}
	q.words = isa.CeilDiv(kk, 4)
	q.panelLen = c.R * taps * q.words * 4 * isa.PanelWidth
	padded := c.PadTop|c.PadLeft|c.PadBottom|c.PadRight != 0
	strided := oneTap && (c.StrideH > 1 || c.StrideW > 1)
	q.copied = padded || kk%4 != 0 || c.Groups > 1 || strided || narrow
	q.inCols, q.pixPitch = c.W, q.c
	if q.copied {
		if c.R == 1 {
			q.stepH = 1
		}
		if c.S == 1 {
			q.stepW = 1
		}
		q.copyCols = (q.ow-1)*q.stepW + (c.S-1)*c.DilW + 1
		q.copyRows = (q.oh-1)*q.stepH + (c.R-1)*c.DilH + 1
		if narrow {
			q.shared, q.planes, q.copyCols = true, c.S, q.ow
			if q.byTap = q.stepH > 1; q.byTap {
				q.planes, q.copyRows, q.stepH = c.R*c.S, q.oh, 1
			}
			q.stepW = 1
		}
		q.inCols = q.copyCols
	}
	plane := q.copyRows * q.copyCols
	for i := range c.R {
		for j := range taps {
			at := i*c.DilH*q.inCols + j*c.DilW
			switch {
			case q.byTap:
				at = (i*c.S + j) * plane
			case narrow:
				at = j*plane + i*c.DilH*q.inCols
			}
			q.aoff = append(q.aoff, at*q.pixPitch)
		}
	}
	if oneTap && (!q.copied || strided) {
		// Every pixel is a row by itself, of all images.
		q.shared = q.copied
		q.oh, q.n, q.ow = q.n*q.oh*q.ow, 1, 1
		q.inCols = 1
	}
	q.merged = narrow || oneTap && q.stepH == 1 && q.stepW == 1
	q.choose()
	q.cut()
	q.shared = q.shared || q.copied && (q.pans > 1 || q.rows > 1 && q.CopyLen() <= int8WeightBytes)
	return q, nil
}

// choose picks the panels of a call by an estimate of its cycles.
func (q *Int8Conv) choose() {
	width := q.ow
	if q.merged {
		width *= q.oh
	}
	best := 0.0
	for nz := 1; nz <= min(isa.MaxPanels, q.panels); nz++ {
		mm := gemm8.MaxRows(nz)
		if mm == 0 {
			break
		}
		cost := 0.0
		for p := 0; p < q.panels; p += nz {
			z, tiles := min(nz, q.panels-p), isa.CeilDiv(width, mm)
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
	rowBytes := q.stepH * q.inCols * q.pixPitch * q.planes
	unit := 1
	if q.merged && q.ow < q.maxM {
		unit = isa.CeilDiv(q.maxM, q.ow) // whole tiles, where rows are shorter than one
	}
	// Workers do not write to the same cache line.
	pansUnit := q.nz
	for pansUnit%4 != 0 {
		pansUnit += q.nz
	}
	groups := isa.CeilDiv(q.panels, pansUnit)
	weights := q.panels * q.panelLen
	rows := max(1, isa.CeilDiv(q.oh*rowBytes, int8InputBytes))
	pans := min(groups, isa.CeilDiv(weights, int8WeightBytes))
	set := func() {
		q.rowBlock = min(q.oh, isa.CeilDiv(isa.CeilDiv(q.oh, rows), unit)*unit)
		q.panelBlock = isa.CeilDiv(groups, pans) * pansUnit
		q.rows, q.pans = isa.CeilDiv(q.oh, q.rowBlock), isa.CeilDiv(q.panels, q.panelBlock)
	}
	set()
	work := 2 * float64(q.n*q.oh*q.ow*q.conv.Groups) * float64(weights)
	want := min(targetTasks, int(work/(2*minTaskFLOPs))+1)
	// Every worker reads all of what is not cut: the larger is cut, but panels
	// stay in the first-level cache for some tiles.
	for q.Tasks() < want {
		tiles := q.rowBlock * q.ow / q.maxM
		splitRows, splitPans := tiles >= 16 && q.rowBlock > unit, q.panelBlock > pansUnit
		if splitRows && splitPans {
			splitRows = q.oh*rowBytes >= weights
		}
		switch {
		case splitRows || !splitPans && tiles >= 2 && q.rowBlock > unit && q.Tasks() < 4:
			rows = 2 * q.rows
		case splitPans:
			pans = min(2*q.pans, groups)
		default:
			return
		}
		set()
	}
}

// int8Task is what one task computes.
type int8Task struct{ n, grp, oy0, oy1, p0, p1 int }

// task returns the task of a number: those of the same weights follow each other.
func (q *Int8Conv) task(i int) (t int8Task) {
	t.oy0, t.oy1 = isa.Span(i%q.rows, q.rowBlock, q.oh)
	i /= q.rows
	t.n = i % q.n
	i /= q.n
	t.p0, t.p1 = isa.Span(i%q.pans, q.panelBlock, q.panels)
	t.grp = i / q.pans
	return t
}

// Tasks returns how many tasks make up the convolution; they are independent.
func (q *Int8Conv) Tasks() int { return q.n * q.rows * q.conv.Groups * q.pans }

// taskRows returns how many rows a task of so many output rows copies.
func (q *Int8Conv) taskRows(rows int) int {
	return (rows-1)*q.stepH + (q.conv.R-1)*q.conv.DilH + 1
}

// ScratchBytes returns the scratch that one task needs.
func (q *Int8Conv) ScratchBytes() int {
	if !q.copied || q.shared {
		return 0
	}
	return q.taskRows(q.rowBlock)*q.inCols*q.c + int8Slack
}

// Int8Epilogue is what becomes of the sums. Its channels are set by SetLayer or
// SetChannels.
type Int8Epilogue struct {
	corr  []int32
	scale []float32
	large bool // a scale is so large that a scaled sum may not fit in an int32

	Act isa.Act // ActNone or ActReLU

	// Added, with the layout of the output, or nil: to the scaled sums, or where
	// Add is set to these rounded as Add.Y has it; then Add has the activation
	// and the other quantisations.
	Res      []uint8
	ResQuant vec.Quant
	Add      *QuantAdd

	// One of the two outputs.
	Out      []uint8
	OutQuant vec.Quant
	Float    []float32
}

// epilogue translates e for the kernels, but for the addresses that depend on
// the tile.
func (e *Int8Epilogue) epilogue(k int) gemm8.Epilogue {
	g := gemm8.Epilogue{
		Mode: gemm8.ModeBytes, Res: unsafe.SliceData(e.Res), ResStride: k, OutStride: k, MayOverflow: e.large,
		ClampOutLo: float32(math.Inf(-1)), ClampOutHi: float32(math.Inf(1)),
	}
	act, out := e.Act, e.OutQuant
	switch {
	case e.Float != nil:
		g.Mode, g.OutStride = gemm8.ModeFloats, 4*k
		g.ResZero, g.ResScale = float32(e.ResQuant.Zero), e.ResQuant.Scale
	case e.Add != nil:
		g.Mode = gemm8.ModeAdd
		act, out = e.Add.Act, e.Add.Out
		g.Magic = isa.RoundMagic
		g.ClampMidLo = isa.RoundMagic - float32(e.Add.Y.Zero)
		g.ClampMidHi = 255 + g.ClampMidLo
		g.MulY, g.MulRes, g.Plus = e.Add.mulY, e.Add.mulRes, e.Add.plus
	default:
		g.Zero = int32(out.Zero)
		g.ResZero, g.ResScale = float32(e.ResQuant.Zero), e.ResQuant.Scale/out.Scale
	}
	least := uint8(0) // the byte of real 0, where ReLU cuts
	switch act {
	case isa.ActNone:
	case isa.ActReLU:
		least = out.Zero
	default:
		panic("conv: no such activation of integers")
	}
	switch {
	case g.Mode != gemm8.ModeFloats:
		// In ModeAdd the zero point is in Plus, and g.Zero is 0.
		g.ClampOutLo, g.ClampOutHi = float32(least)-float32(g.Zero), float32(255-g.Zero)
	case act == isa.ActReLU:
		g.ClampOutLo = 0
	}
	return g
}

// Run computes one task. x is quantised with the zero point zero, or what [Int8Conv.Copy]
// made of it; w is packed.
func (q *Int8Conv) Run(task int, scratch, x []uint8, zero uint8, w []int8, e *Int8Epilogue) {
	if q.shared {
		isa.CheckLen(len(x), q.CopyLen(), "copied input")
	} else {
		isa.CheckLen(len(x), q.conv.XLen(), "input")
	}
	isa.CheckLen(len(w), q.PackedLen(), "packed weights")
	isa.CheckLen(len(e.corr), q.conv.Groups*q.panels*isa.PanelWidth, "corrections")
	isa.CheckLen(len(e.Out)+len(e.Float), q.conv.YLen(), "output")
	if e.Res != nil {
		isa.CheckLen(len(e.Res), q.conv.YLen(), "residual")
	}
	t := q.task(task)
	src := x
	switch {
	case q.shared:
		image := q.planes * q.copyRows * q.copyCols * q.c
		src = x[(t.grp*q.conv.N+t.n)*image+t.oy0*q.stepH*q.inCols*q.pixPitch:]
	case q.copied:
		isa.CheckMinBytes(len(scratch), q.ScratchBytes())
		q.copyRowsOf(scratch, x, zero, t.n, t.grp, t.oy0*q.stepH, q.taskRows(t.oy1-t.oy0), 0)
		src = scratch
	case q.ow == 1 && q.merged:
		src = x[t.oy0*q.pixPitch:]
	default:
		src = x[(t.n*q.conv.H+t.oy0*q.stepH)*q.inCols*q.pixPitch:]
	}
	var sums [gemm8.MaxTileSums]int32
	a := gemm8.Args{AOff: &q.aoff[0], Batch: len(q.aoff), K: q.words, AStride: q.stepW * q.pixPitch, BStride: q.panelLen, C: &sums[0]}
	a.SetEpilogue(e.epilogue(q.conv.K))

	rows, width := t.oy1-t.oy0, q.ow
	if q.merged {
		rows, width = 1, rows*q.ow
	}
	tiles := isa.CeilDiv(width, q.maxM)
	for p := t.p0; p < t.p1; p += q.nz {
		nz := min(q.nz, t.p1-p)
		b := w[(t.grp*q.panels+p)*q.panelLen:]
		a.B = &b[0]
		// Panels come from far away; the next are fetched while these are
		// multiplied, or those of the next task but one, which another worker
		// leaves to this one.
		far := nz
		if p+nz >= t.p1 && q.n*q.rows == 1 {
			far += q.panelBlock
		}
		ahead, perTile := b[min(far*q.panelLen, len(b)):], len(q.aoff)*(q.words/2)*64
		ahead = ahead[:min(len(ahead), q.nz*q.panelLen)]
		ch := (t.grp*q.panels + p) * isa.PanelWidth
		a.Corr, a.Scale = &e.corr[ch], &e.scale[ch]
		a.SetPanels(nz, q.k-p*isa.PanelWidth)
		for y := range rows {
			from := y * q.stepH * q.inCols * q.pixPitch
			at := (t.n*q.oh+t.oy0+y)*q.ow*q.conv.K + t.grp*q.k + p*isa.PanelWidth
			for i := range tiles {
				m := width / tiles
				if i < width%tiles {
					m++
				}
				a.A, a.PrefetchB, a.PrefetchA = &src[from], a.B, &src[from]
				if q.merged && i+1 < tiles {
					a.PrefetchA = &src[from+m*a.AStride]
				}
				if perTile > 0 && len(ahead) >= perTile {
					a.PrefetchB, ahead = &ahead[0], ahead[perTile:]
				}
				if e.Float != nil {
					a.Out = unsafe.Pointer(&e.Float[at])
				} else {
					a.Out = unsafe.Pointer(&e.Out[at])
				}
				if e.Res != nil {
					a.Res = &e.Res[at]
				}
				a.Tile(m)
				from += m * a.AStride
				at += m * q.conv.K
			}
		}
	}
}

// CopyTasks returns in how many tasks the input must be copied before the first
// task of [Int8Conv.Run]; 0 if it must not.
func (q *Int8Conv) CopyTasks() int {
	if !q.shared {
		return 0
	}
	return q.conv.N * q.conv.Groups * q.planes * isa.CeilDiv(q.copyRows, q.copyBlock())
}

// copyBlock returns how many rows one task copies.
func (q *Int8Conv) copyBlock() int { return max(1, int8InputBytes/4/(q.copyCols*q.c)) }

// CopyLen returns the length of the copied input.
func (q *Int8Conv) CopyLen() int {
	return q.conv.N*q.conv.Groups*q.planes*q.copyRows*q.copyCols*q.c + int8Slack
}

// Copy does one task of copying the input x, whose zero point is zero.
func (q *Int8Conv) Copy(task int, dst, x []uint8, zero uint8) {
	isa.CheckLen(len(dst), q.CopyLen(), "copied input")
	isa.CheckLen(len(x), q.conv.XLen(), "input")
	blocks := isa.CeilDiv(q.copyRows, q.copyBlock())
	r0, r1 := isa.Span(task%blocks, q.copyBlock(), q.copyRows)
	task /= blocks // [grp][n][plane]
	plane, n, grp := task%q.planes, task/q.planes%q.conv.N, task/q.planes/q.conv.N
	q.copyRowsOf(dst[(task*q.copyRows+r0)*q.copyCols*q.c:], x, zero, n, grp, r0, r1-r0, plane)
}

// copyRowsOf fills dst with so many rows of a plane of image n, of one group,
// from row r0 on, padding made of the zero point.
func (q *Int8Conv) copyRowsOf(dst, x []uint8, zero uint8, n, grp, r0, rows, plane int) {
	c := &q.conv
	// Rows and pixels that are kept are jump apart in the input.
	jumpH, jumpW := c.StrideH/q.stepH, c.StrideW/q.stepW
	top, leftPad := -c.PadTop, -c.PadLeft
	if q.planes > 1 {
		leftPad += plane % c.S * c.DilW
		top += plane / c.S * c.DilH
	}
	for i := range rows {
		d := dst[i*q.copyCols*q.c:][:q.copyCols*q.c]
		iy := top + (r0+i)*jumpH
		if iy < 0 || iy >= c.H {
			fillBytes(d, zero)
			continue
		}
		left := 0
		if leftPad < 0 {
			left = min(isa.CeilDiv(-leftPad, jumpW), q.copyCols)
		}
		first := left*jumpW + leftPad
		right := left
		if first < c.W {
			right = min(q.copyCols, left+isa.CeilDiv(c.W-first, jumpW))
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
	if len(d) == 0 {
		return
	}
	d[0] = v
	for n := 1; n < len(d); n *= 2 {
		copy(d[n:], d[:n])
	}
}
