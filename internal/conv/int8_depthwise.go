package conv

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// int8Depthwise is a convolution of quantized values with one filter for each channel.
// Vectors are of neighboring channels, as in [depthwiseForward]. A task makes words of the
// taps that neighbor each other in a row (vec.DepthwiseWords), once for all rows of the
// filter that read them:
//
//	[rows][places][C]uint32
//
// There is one place for every step pixels of the padded row, among them those where a word
// of an output begins.
type int8Depthwise struct {
	conv   Conv
	kernel vec.DepthwiseWords
	step   int    // pixels between places
	places int    // of a row
	rows   blocks // output rows of an image
}

const (
	int8DepthwiseName  = "int8 depthwise"
	int8DepthwiseWords = 64 << 10 // words of a task, unless few rows have more: half of a small second-level cache
)

// int8DepthwiseForward is the algorithm of quantized depthwise convolutions.
func int8DepthwiseForward(c Conv, w Want) (candidate, error) {
	if !c.depthwise() {
		return candidate{}, errNotDepthwise
	}
	return candidate{name: int8DepthwiseName, only: true, plan: func() *Plan { return newInt8Depthwise(c).plan(w.Quant) }}, nil
}

func newInt8Depthwise(c Conv) *int8Depthwise {
	d := &int8Depthwise{conv: c}
	taps := 4 / gemm8.Size()
	words := isa.CeilDiv(c.S, taps)
	d.step = c.StrideW
	if words > 1 && taps*c.DilW%c.StrideW != 0 {
		d.step = 1
	}
	d.kernel = vec.DepthwiseWords{
		Taps: taps, C: c.C, OW: c.OutW(), Rows: c.R, Words: words,
		WordStep: taps * c.DilW / d.step, PixelStep: c.StrideW / d.step,
	}
	d.places = (d.kernel.OW-1)*d.kernel.PixelStep + (words-1)*d.kernel.WordStep + 1
	d.kernel.RowStep = c.DilH * d.places
	// Rows that neighboring tasks both read are made into words by both, so that a task
	// has some rows.
	n := max(int8DepthwiseWords/(d.places*c.C)-d.inRows(1)+1, 1) / c.StrideH
	d.rows = newBlocks(c.OutH(), min(c.OutH(), max(n, 4), max(isa.CeilDiv(c.N*c.OutH(), targetTasks), 4)))
	return d
}

// inRows returns the input rows that a number of output rows reads.
func (d *int8Depthwise) inRows(rows int) int {
	return (rows-1)*d.conv.StrideH + (d.conv.R-1)*d.conv.DilH + 1
}

// lineCols returns the pixels of a padded input row, those of taps beyond the filter
// included, whose weights are 0.
func (d *int8Depthwise) lineCols() int {
	return (d.places-1)*d.step + (d.kernel.Taps-1)*d.conv.DilW + 1
}

// parts are the parts of the scratch memory, in floats: the words of a task, the padded
// input row, and the sums of an output row.
func (d *int8Depthwise) parts() (words, line, sums int) {
	return d.inRows(d.rows.size) * d.places * d.conv.C, FloatsOf(d.lineCols() * d.conv.C), d.kernel.OW * d.conv.C
}

func (d *int8Depthwise) plan(l *Quant) *Plan {
	ch := l.channels(d.conv.K)
	ch.scale = gemm8.Cyclic(ch.scale)
	p := &Plan{Algorithm: int8DepthwiseName, Packed: d.packing()}
	words, line, sums := d.parts()
	p.Steps = []Step{{
		Tasks: d.conv.N * d.rows.count, Scratch: words + line + sums, FLOPs: d.conv.FLOPs(),
		Reads: []Arg{ArgX, ArgPacked, ArgResidual}, Writes: []Arg{ArgY},
		Run: func(worker *Worker, task int, a Args) {
			isa.CheckFloats("x", a.X, FloatsOf(d.conv.XLen()))
			d.conv.checkBytes(&a, p.Packed.Len, l.Real)
			d.run(task, worker.Scratch, &a, l, &ch)
		},
	}}
	return p
}

// run computes one task.
func (d *int8Depthwise) run(task int, scratch []float32, a *Args, l *Quant, ch *int8Channels) {
	c := &d.conv
	oy0, oy1, n := d.rows.take(task)
	nWords, nLine, nSums := d.parts()
	words := wordsOf(scratch[:nWords])
	line := bytesOf(scratch[nWords:][:nLine], d.lineCols()*c.C)
	sums := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(scratch[nWords+nLine:]))), nSums)
	d.join(words, line, bytesOf(a.X, c.XLen())[n*c.H*c.W*c.C:][:c.H*c.W*c.C], oy0*c.StrideH-c.PadTop, d.inRows(oy1-oy0), l.X.Zero)

	e := l.epilogue(c.K, a.Act, ch.large)
	weights, row := wordsOf(a.Packed), d.places*c.C
	for oy := oy0; oy < oy1; oy++ {
		d.kernel.Run(sums, words[(oy-oy0)*c.StrideH*row:], weights, ch.corr)
		at := (n*c.OutH() + oy) * len(sums)
		if l.Real {
			e.Out = unsafe.Pointer(&a.Y[at])
		} else {
			e.Out = unsafe.Pointer(&bytesOf(a.Y, c.YLen())[at])
		}
		if a.Residual != nil {
			e.Res = &bytesOf(a.Residual, c.YLen())[at]
		}
		e.StoreFlat(sums, ch.scale, c.C)
	}
}

// join makes the words of rows of an image, from row y0 on. Padding gets the byte zero,
// which stands for real zero.
func (d *int8Depthwise) join(words []uint32, line, image []uint8, y0, rows int, zero uint8) {
	c := &d.conv
	w := window{h: c.H, w: c.W, pixel: c.C, x0: -c.PadLeft, jumpH: 1, jumpW: 1, rows: 1, cols: d.lineCols(), channels: c.C, pitch: c.C}
	row := d.places * c.C
	for i := range rows {
		w.y0 = y0 + i
		copyWindow(line, image, &w, zero)
		vec.Join(words[i*row:][:row], line, c.C, d.places, d.step, c.DilW, d.kernel.Taps)
	}
}

// packing lays the filters out as [R][word of a row][C].
func (d *int8Depthwise) packing() *Packing {
	c := &d.conv
	return &Packing{
		Len: c.R * d.kernel.Words * c.C, Tasks: c.R, Key: c.key(int8DepthwiseName), OIHW: true, weights: c.WLen(),
		pack: func(r int, dst []float32, w Weights) {
			tapStride, channelStride := c.C, 1
			if w.Order == OIHW {
				tapStride, channelStride = 1, c.R*c.S
			}
			bits := 32 / d.kernel.Taps
			row := wordsOf(dst[r*d.kernel.Words*c.C:][:d.kernel.Words*c.C])
			clear(row)
			for s := range c.S {
				for ch := range c.C {
					v := int8(w.Data[(r*c.S+s)*tapStride+ch*channelStride])
					row[s/d.kernel.Taps*c.C+ch] |= uint32(v) & (1<<bits - 1) << (s % d.kernel.Taps * bits)
				}
			}
		},
	}
}

// wordsOf views floats as words.
func wordsOf(f []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}
