package data

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// Batch is a number of samples as a network takes them. Its memory is reused:
// everything in it is valid only until the next turn of the loop over
// [Loader.Epoch].
type Batch struct {
	Epoch, Step int

	// N is the number of rows. The first Real rows are samples; the others pad the
	// last batch of [Pad]: zeros, with label -1 ([IgnoredLabel] with masks) and zero
	// targets.
	N, Real int
	H, W, C int
	// Views is the number of rows of each picture, 1 unless LoaderConfig.Views is set.
	// Row v*N/Views + i is view v of picture i of the batch.
	Views int

	X []float32 // inputs, [N, H, W, C] (channels last)
	// Labels is the class of each row, [N]; of a mixed row, its own class; nil for
	// multi-label data. With masks it is the class of each pixel, [N, H, W], and
	// [IgnoredLabel] where that does not count.
	Labels []int64
	// Targets are the soft, multi-hot or one-hot targets, [N, classes], when
	// batches are mixed, the dataset is multi-label or LoaderConfig.SoftTargets is
	// set; else nil.
	Targets []float32
	Index   []int // which sample of the dataset each row is; -1 in padding
	// Inputs are the numbers beside the pictures, [N …] by name, see [WithInputs]; nil
	// if the dataset has none.
	Inputs map[string]*tensor.Tensor
}

// slot is a batch that is being made.
type slot struct {
	Batch
	entries []entry       // the samples of the rows
	errs    []error       // one per entry
	pending atomic.Int32  // tasks that are not done
	ready   chan struct{} // receives when the batch is complete
}

func newSlot() *slot { return &slot{ready: make(chan struct{}, 1)} }

func (b *slot) firstError() error {
	for _, err := range b.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// workerState is the memory of one worker.
type workerState struct {
	stages
	source picture
	first  picture // source before the first view took it
	files  imaging.Reader
	file   []byte
	spare  []float32

	mask, maskCrop imaging.Image
}

// errSkipped marks a row whose sample is left out.
var errSkipped = errors.New("skipped")

// fill makes a row of a batch, or all rows of one picture.
func (l *Loader) fill(b *slot, row int, ws *workerState) error {
	e := b.entries[row]
	err := l.sample(b, row, e, ws)
	if err == nil {
		return nil
	}
	if !l.cfg.SkipBad {
		return err
	}
	if !l.cfg.Shuffle && !l.cfg.Balanced {
		return errSkipped
	}
	// The replacement is drawn by the bad sample's number, so that it does not
	// depend on which other samples are bad or were seen before.
	rng := philox.Keyed(l.cfg.Seed, uint32(opReplace)|e.copy<<8, uint32(b.Epoch), e.index)
	for range maxReplace {
		other := entry{index: uint32(rng.IntN(l.ds.Len())), copy: e.copy + 1}
		if l.sample(b, row, other, ws) == nil {
			return nil
		}
	}
	return fmt.Errorf("data: %d samples drawn as replacements for %s were bad too: %w", maxReplace, l.ds.Name(int(e.index)), err)
}

const maxReplace = 100

// sample writes a sample to a row, its views to one row each, without trying one again
// that is known to be bad.
func (l *Loader) sample(b *slot, row int, e entry, ws *workerState) error {
	i := int(e.index)
	if l.cfg.SkipBad {
		l.mu.Lock()
		bad := l.bad[i]
		l.mu.Unlock()
		if bad != nil {
			return bad
		}
	}
	for v := range b.Views {
		if err := l.viewOf(b, v*len(b.entries)+row, v, e, ws); err != nil {
			bad := &SampleError{Index: i, Name: l.ds.Name(i), Err: err}
			if l.cfg.SkipBad {
				l.mu.Lock()
				l.bad[i] = bad
				l.mu.Unlock()
			}
			return bad
		}
	}
	return nil
}

// viewOf writes a view of a sample to a row.
func (l *Loader) viewOf(b *slot, row, view int, e entry, ws *workerState) error {
	i, size := int(e.index), b.H*b.W*b.C
	x := b.X[row*size : (row+1)*size]
	if view > 0 && l.cfg.Turned {
		before := row - len(b.entries)
		turn(x, b.X[before*size:(before+1)*size], b.H, b.C)
	} else if err := l.row(b, row, x, view, e, ws); err != nil {
		return err
	}
	b.Index[row] = i
	if l.masks != nil {
		return nil
	}
	labels := l.ds.Labels(i)
	if b.Labels != nil {
		b.Labels[row] = int64(labels[0])
	}
	if b.Targets != nil {
		k := len(b.Targets) / b.N
		for _, c := range labels {
			b.Targets[row*k+c] = 1
		}
	}
	return nil
}

// row writes the input of a sample and, with masks, its labels.
func (l *Loader) row(b *slot, row int, x []float32, view int, e entry, ws *workerState) error {
	if l.masks == nil {
		return l.input(x, b.Epoch, view, e, ws)
	}
	n := b.H * b.W
	return l.dense(x, b.Labels[row*n:(row+1)*n], b.Epoch, e, ws)
}

// input decodes, augments and normalizes a sample.
func (l *Loader) input(dst []float32, epoch, which int, e entry, ws *workerState) error {
	p, a, key := l.cfg.Preprocess, l.augment(which), l.key(epoch, e)
	key.view = uint32(which)
	if which == 0 {
		if err := l.fetch(ws, int(e.index)); err != nil {
			return err
		}
		ws.first = ws.source
	} else { // the views of a sample are made one after the other
		ws.source = ws.first
	}
	var v view
	var err error
	if a == nil {
		v, err = ws.fit(p, &ws.source)
	} else {
		v, err = a.view(&ws.stages, p, &ws.source, key)
	}
	if err != nil {
		return err
	}
	l.norm.write(dst, v)
	if a != nil && a.RandomErasing != nil {
		a.RandomErasing.erase(dst, p.Height, p.Width, p.Channels, key)
	}
	return nil
}

// fetch gets sample i: decoded from the cache or the dataset, or as a file that is
// open and still to be decoded.
func (l *Loader) fetch(ws *workerState, i int) error {
	m := &ws.decoded
	ws.source = picture{m: m, own: m}
	if l.cache != nil {
		var err error
		ws.source.m, err = l.cache.get(i, m)
		return err
	}
	ds, k := origin(l.ds, i)
	if o, ok := ds.(FileDataset); ok {
		var err error
		ws.files.Repeat = l.cfg.Views > 1 && !l.cfg.Turned
		ws.file, err = o.Open(k, &ws.files, ws.file)
		ws.source.reader = &ws.files
		return err
	}
	return l.ds.Decode(i, m)
}

func (l *Loader) key(epoch int, e entry) sampleKey {
	return sampleKey{seed: l.cfg.Seed, epoch: uint32(epoch), index: e.index, copy: e.copy}
}

// complete finishes a batch when all its rows are made: it closes the gaps of
// skipped rows, pads, and mixes.
func (l *Loader) complete(b *slot, ws *workerState) {
	if b.Views > 1 { // all rows are real
		if b.firstError() == nil {
			l.gatherInputs(&b.Batch)
		}
		return
	}
	size, k, labels := b.H*b.W*b.C, 0, len(b.Labels)/b.N
	if b.Targets != nil {
		k = len(b.Targets) / b.N
	}
	real := 0
	for row, err := range b.errs {
		switch {
		case errors.Is(err, errSkipped):
			b.errs[row] = nil
			continue
		case err != nil:
			return
		}
		if row != real {
			copy(b.X[real*size:(real+1)*size], b.X[row*size:])
			copy(b.Targets[real*k:(real+1)*k], b.Targets[row*k:])
			b.Index[real] = b.Index[row]
			copy(b.Labels[real*labels:(real+1)*labels], b.Labels[row*labels:])
		}
		real++
	}
	b.Real = real
	if l.cfg.Last != Pad {
		b.N = real
	}
	clear(b.X[real*size:])
	clear(b.Targets[real*k:])
	none := int64(-1)
	if l.masks != nil {
		none = IgnoredLabel
	}
	for row := real; row < len(b.Index); row++ {
		b.Index[row] = -1
	}
	for i := real * labels; i < len(b.Labels); i++ {
		b.Labels[i] = none
	}
	b.X, b.Targets, b.Index = b.X[:b.N*size], b.Targets[:b.N*k], b.Index[:b.N]
	b.Labels = b.Labels[:b.N*labels]
	l.gatherInputs(&b.Batch)
	if a := l.cfg.Augment; a.Mixes() {
		ws.spare = resized(ws.spare, max(size, k))
		a.mix(&b.Batch, l.cfg.Seed, ws.spare)
	}
}

// Mirror turns pictures, [N H W C] with rows of w pixels of c channels, left to right.
func Mirror(x []float32, w, c int) {
	for row := 0; row < len(x); row += w * c {
		for i, j := 0, w-1; i < j; i, j = i+1, j-1 {
			for k := range c {
				a, b := row+i*c+k, row+j*c+k
				x[a], x[b] = x[b], x[a]
			}
		}
	}
}
