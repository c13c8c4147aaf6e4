package data

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// Batch is a number of samples as a network takes them. Its memory is used
// again: everything in it holds only until the next batch is asked for.
type Batch struct {
	Epoch, Step int

	// N is the number of rows and Real how many of them are samples. Rows from
	// Real on pad the last batch of [Pad]: zeros, with label -1 and zero targets.
	N, Real int
	H, W, C int

	X      []float32 // inputs, [N, H, W, C] (channels last)
	Labels []int64   // the class of each row, [N]; of a mixed row, its own class; nil for multi-label data
	// Targets are the soft, multi-hot or one-hot targets, [N, classes], when
	// batches are mixed, the dataset is multi-label or LoaderConfig.SoftTargets is
	// set; else nil.
	Targets []float32
	Index   []int // which sample of the dataset each row is; -1 in padding
}

// slot is a batch in the making.
type slot struct {
	Batch
	entries []entry       // the samples of the rows
	errs    []error       // one a row
	pending atomic.Int32  // tasks that are not done
	ready   chan struct{} // receives when the batch is complete
}

// LastBatch says what becomes of a last batch that is not full.
type LastBatch int

// The treatments of an incomplete last batch.
const (
	Drop LastBatch = iota // leave it out, for training
	Pad                   // fill it up with rows that do not count, for evaluation
	Keep                  // give it as it is, with fewer rows
)

// LoaderConfig is how a [Loader] makes batches.
type LoaderConfig struct {
	BatchSize  int
	Preprocess Preprocess
	Augment    *Augment // nil for evaluation
	Shuffle    bool     // a new random order each epoch; else the dataset's order
	// Balanced draws the classes with equal chance, repeating samples of rare
	// ones; an epoch still has as many samples as the dataset.
	Balanced bool
	// Repeat puts every sample into an epoch that many times in a row, each
	// varied otherwise (repeated augmentation; Hoffer et al., arXiv 1901.09335,
	// and torchvision's RASampler); an epoch keeps its length, so that it sees
	// only part of the samples. 0 and 1 are off.
	Repeat int
	Last   LastBatch
	Seed   uint64
	// SoftTargets makes Batch.Targets also where Labels alone would do: a one-hot
	// row per label.
	SoftTargets bool
	// SkipBad goes on when a sample cannot be decoded, and counts it (see
	// [Loader.Bad]): if Shuffle or Balanced is set, another sample takes its
	// place, the same one in every run; else the batch has fewer real rows.
	SkipBad bool
	// Workers is the number of goroutines that decode; 0 means one a CPU.
	// Batches do not depend on it.
	Workers int
	// Prefetch is the number of batches made ahead; 0 means 2.
	Prefetch int
	// CacheBytes is the memory for decoded pictures, used if the whole dataset
	// fits by estimate: 0 means 512 MiB, below 0 none. What is kept was decoded at
	// full size (see [RandomResizedCrop]).
	CacheBytes int64
}

// Loader makes batches of a dataset, ahead of their use.
type Loader struct {
	ds      Dataset
	cfg     LoaderConfig
	norm    normalizer
	cache   *cache
	byClass [][]uint32 // for Balanced

	mu    sync.Mutex
	bad   map[int]*SampleError
	free  []*slot
	ords  [][]entry
	sets  []*workerState
	open  *run // the newest that Epoch began and has not ended
	ahead *run // of Prepare
}

// workerState is the memory of one worker.
type workerState struct {
	stages
	source picture
	files  imaging.Reader
	file   []byte
	spare  []float32
}

// NewLoader returns a loader of ds. It returns an error if the configuration
// is out of range, a label is no class, or the dataset is empty or smaller than
// a batch that must be full.
func NewLoader(ds Dataset, cfg LoaderConfig) (*Loader, error) {
	if err := cfg.Preprocess.Valid(); err != nil {
		return nil, err
	}
	if cfg.Augment != nil {
		if err := cfg.Augment.Valid(); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.BatchSize < 1:
		return nil, fmt.Errorf("data: batch size %d is below 1", cfg.BatchSize)
	case ds.Len() == 0:
		return nil, errors.New("data: the dataset has no samples")
	case int64(ds.Len()) > math.MaxUint32:
		return nil, fmt.Errorf("data: %d samples are more than %d", ds.Len(), uint32(math.MaxUint32))
	case cfg.Last == Drop && cfg.BatchSize > ds.Len():
		return nil, fmt.Errorf("data: batch size %d is above the number of samples, %d", cfg.BatchSize, ds.Len())
	case cfg.Repeat < 0 || cfg.Repeat > 1 && (!cfg.Shuffle || cfg.Balanced):
		return nil, fmt.Errorf("data: repeat %d must not be below 0, and above 1 needs shuffling without balancing", cfg.Repeat)
	case cfg.Last < Drop || cfg.Last > Keep:
		return nil, fmt.Errorf("data: unknown treatment %d of the last batch", cfg.Last)
	}
	if err := checkLabels(ds); err != nil {
		return nil, err
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Prefetch <= 0 {
		cfg.Prefetch = 2
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 512 << 20
	}
	l := &Loader{ds: ds, cfg: cfg, bad: make(map[int]*SampleError), cache: newCache(ds, cfg.CacheBytes)}
	l.norm.init(cfg.Preprocess)
	if cfg.Balanced {
		var err error
		if l.byClass, err = samplesByClass(ds); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Steps returns the number of batches of an epoch.
func (l *Loader) Steps() int {
	n, b := l.ds.Len(), l.cfg.BatchSize
	if l.cfg.Last == Drop {
		return n / b
	}
	return (n + b - 1) / b
}

// Bad returns the samples that were skipped so far, in the dataset's order.
func (l *Loader) Bad() []*SampleError {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*SampleError
	for _, e := range l.bad {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *SampleError) int { return a.Index - b.Index })
	return all
}

func (b *slot) firstError() error {
	for _, err := range b.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare sets a batch up for a step.
func (r *run) prepare(b *slot, step int) {
	cfg, p := &r.l.cfg, &r.l.cfg.Preprocess
	lo := step * cfg.BatchSize
	b.entries = r.order[lo:min(lo+cfg.BatchSize, len(r.order))]
	b.Epoch, b.Step = r.epoch, step
	b.Real, b.N = len(b.entries), len(b.entries)
	if cfg.Last == Pad {
		b.N = cfg.BatchSize
	}
	b.H, b.W, b.C = p.Height, p.Width, p.Channels
	b.X = resized(b.X, b.N*b.H*b.W*b.C)
	b.Index = resized(b.Index, b.N)
	b.errs = resized(b.errs, len(b.entries))
	clear(b.errs)
	multi := r.l.ds.MultiLabel()
	if !multi {
		b.Labels = resized(b.Labels, b.N)
	}
	if multi || cfg.SoftTargets || cfg.Augment.Mixes() {
		b.Targets = resized(b.Targets, b.N*len(r.l.ds.Classes()))
		clear(b.Targets)
	}
	b.pending.Store(int32((len(b.entries) + taskRows - 1) / taskRows))
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (r *run) work() {
	defer r.wg.Done()
	ws := take(r.l, &r.l.sets)
	if ws == nil {
		ws = new(workerState)
	}
	defer func() {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		r.l.sets = append(r.l.sets, ws)
	}()
	for t := range r.tasks {
		for row := t.lo; row < t.hi && r.ctx.Err() == nil; row++ {
			t.b.errs[row] = r.l.fill(t.b, row, ws)
		}
		if t.b.pending.Add(-1) == 0 {
			r.l.complete(t.b, ws)
			t.b.ready <- struct{}{}
		}
	}
}

// errSkipped marks a row whose sample is left out.
var errSkipped = errors.New("skipped")

// fill makes a row of a batch.
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
	// Another sample takes the place: drawn by the bad one's number, so that
	// it does not depend on what else is bad or was seen before.
	rng := philox.Keyed(l.cfg.Seed, uint32(opReplace)|e.copy<<8, uint32(b.Epoch), e.index)
	for range maxReplace {
		other := entry{index: uint32(rng.IntN(l.ds.Len())), copy: e.copy + 1}
		if l.sample(b, row, other, ws) == nil {
			return nil
		}
	}
	return fmt.Errorf("data: %d samples in place of %s were bad too: %w", maxReplace, l.ds.Name(int(e.index)), err)
}

const maxReplace = 100

// sample writes a sample to a row. A sample that is known to be bad is not
// tried again.
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
	size := b.H * b.W * b.C
	if err := l.input(b.X[row*size:(row+1)*size], b.Epoch, e, ws); err != nil {
		bad := &SampleError{Index: i, Name: l.ds.Name(i), Err: err}
		if l.cfg.SkipBad {
			l.mu.Lock()
			l.bad[i] = bad
			l.mu.Unlock()
		}
		return bad
	}
	b.Index[row] = i
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

// input decodes, augments and normalises a sample.
func (l *Loader) input(dst []float32, epoch int, e entry, ws *workerState) error {
	p, a := l.cfg.Preprocess, l.cfg.Augment
	if err := l.fetch(ws, int(e.index)); err != nil {
		return err
	}
	var v view
	var err error
	if a == nil {
		v, err = ws.fit(p, &ws.source)
	} else {
		v, err = a.view(&ws.stages, p, &ws.source, l.key(epoch, e))
	}
	if err != nil {
		return err
	}
	l.norm.write(dst, v)
	if a != nil && a.RandomErasing != nil {
		a.RandomErasing.erase(dst, p.Height, p.Width, p.Channels, l.key(epoch, e))
	}
	return nil
}

// fetch gets sample i: from the cache or the dataset, or from a file that is
// opened and yet to be decoded.
func (l *Loader) fetch(ws *workerState, i int) error {
	m := &ws.decoded
	ws.source = picture{m: m, own: m}
	if l.cache != nil {
		var err error
		ws.source.m, err = l.cache.get(i, m)
		return err
	}
	ds, k := origin(l.ds, i)
	if o, ok := ds.(Opener); ok {
		var err error
		ws.file, err = o.Open(k, &ws.files, ws.file)
		ws.source.reader = &ws.files
		return err
	}
	return l.ds.Decode(i, m)
}

func (l *Loader) key(epoch int, e entry) sampleKey {
	return sampleKey{seed: l.cfg.Seed, epoch: uint32(epoch), index: e.index, copy: e.copy}
}

// complete ends a batch whose rows are made: it moves rows up over those that
// were left out, pads, and mixes.
func (l *Loader) complete(b *slot, ws *workerState) {
	size, k := b.H*b.W*b.C, 0
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
			if b.Labels != nil {
				b.Labels[real] = b.Labels[row]
			}
		}
		real++
	}
	b.Real = real
	if l.cfg.Last != Pad {
		b.N = real
	}
	clear(b.X[real*size:])
	clear(b.Targets[real*k:])
	for row := real; row < len(b.Index); row++ {
		b.Index[row] = -1
		if b.Labels != nil {
			b.Labels[row] = -1
		}
	}
	b.X, b.Targets, b.Index = b.X[:b.N*size], b.Targets[:b.N*k], b.Index[:b.N]
	if b.Labels != nil {
		b.Labels = b.Labels[:b.N]
	}
	if a := l.cfg.Augment; a.Mixes() {
		ws.spare = resized(ws.spare, max(size, k))
		a.mix(&b.Batch, l.cfg.Seed, ws.spare)
	}
}
