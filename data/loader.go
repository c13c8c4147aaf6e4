package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/tensor"
)

// LastBatch selects what happens to a last batch that is not full.
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
	// Balanced draws all classes with equal probability, repeating samples of rare
	// classes. An epoch still has as many samples as the dataset.
	Balanced bool
	// Repeat is how many times in a row each sample comes in an epoch, augmented
	// differently each time (repeated augmentation; Hoffer et al., arXiv
	// 1901.09335, and torchvision's RASampler). An epoch keeps its length, so it
	// covers only part of the samples. 0 and 1 are off.
	Repeat int
	// Views is the number of rows that a batch has of each picture, for learning without
	// labels: each is augmented separately, the second and further ones by Second, or by
	// Augment if that is nil. BatchSize counts pictures, and Batch.N is BatchSize*Views:
	// the first views of all pictures, then all second views. 0 and 1 are off.
	Views  int
	Second *Augment
	// Turned makes 4 Views of one augmented picture, turned by 0, 90, 180 and 270 degrees
	// counterclockwise.
	Turned bool
	// Part leaves out some batches of every epoch, which other processes make.
	Part Part
	Last LastBatch
	Seed uint64
	// SoftTargets makes Batch.Targets even where Labels alone would suffice: one-hot
	// rows.
	SoftTargets bool
	// SkipBad skips samples that cannot be decoded, and counts them (see
	// [Loader.Bad]). If Shuffle or Balanced is set, another sample replaces a bad
	// one, the same in every run; else the batch has fewer real rows.
	SkipBad bool
	// Workers is the number of goroutines that decode; 0 means one per CPU.
	// Batches do not depend on it.
	Workers int
	// Prefetch is the number of batches made ahead; 0 means 2.
	Prefetch int
	// Made is called with each batch when it is complete, ahead of its turn, by any
	// goroutine, so that it can be sent elsewhere meanwhile; nil for nothing. It must not
	// change the batch.
	Made func(*Batch)
	// CacheBytes is the memory for decoded pictures, used if the whole dataset is
	// estimated to fit: 0 means 512 MiB, below 0 none. Cached pictures are decoded at
	// full size (see [RandomResizedCrop]).
	CacheBytes int64
}

// Part is which batches of an epoch are made: of every Of in a row, numbered from 0,
// those from From to below To. The zero Part makes all. The number of steps of an epoch
// and of each batch stay.
type Part struct{ Of, From, To int }

// Has reports whether the batch of a step is made.
func (p Part) Has(step int) bool {
	return p == Part{} || step%p.Of >= p.From && step%p.Of < p.To
}

// Valid returns an error unless a Part is zero or some of the batches.
func (p Part) Valid() error {
	if p != (Part{}) && (p.Of < 1 || p.From < 0 || p.From >= p.To || p.To > p.Of) {
		return fmt.Errorf("data: Part is batches %d to below %d of every %d, must be some of them", p.From, p.To, p.Of)
	}
	return nil
}

// Loader makes batches of a dataset and prefetches them.
type Loader struct {
	ds      Dataset
	cfg     LoaderConfig
	norm    normalizer
	cache   *cache
	byClass [][]uint32                // for Balanced
	masks   MaskDataset               // nil for labels of whole pictures
	inputs  map[string]*tensor.Tensor // beside the pictures, see WithInputs

	mu    sync.Mutex
	bad   map[int]*SampleError
	free  []*slot
	ords  [][]entry
	sets  []*workerState
	open  *run // the last run that Epoch began, while it is in progress
	ahead *run // of Prepare, not begun
}

// NewLoader returns a loader of ds. It returns an error if the configuration
// is out of range, a label is not the index of a class, or the dataset is empty or
// smaller than a batch that must be full.
func NewLoader(ds Dataset, cfg LoaderConfig) (*Loader, error) {
	if err := cfg.Preprocess.Valid(); err != nil {
		return nil, err
	}
	for _, a := range []*Augment{cfg.Augment, cfg.Second} {
		if a == nil {
			continue
		}
		if err := a.Valid(); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.BatchSize < 1:
		return nil, fmt.Errorf("data: batch size %d is below 1", cfg.BatchSize)
	case ds.Len() == 0:
		return nil, errors.New("data: the dataset has no samples")
	case int64(ds.Len()) > math.MaxUint32:
		return nil, fmt.Errorf("data: the dataset has %d samples, must be at most %d", ds.Len(), uint32(math.MaxUint32))
	case cfg.Last == Drop && cfg.BatchSize > ds.Len():
		return nil, fmt.Errorf("data: batch size %d is above the number of samples, %d", cfg.BatchSize, ds.Len())
	case cfg.Repeat < 0 || cfg.Repeat > 1 && (!cfg.Shuffle || cfg.Balanced):
		return nil, fmt.Errorf("data: repeat is %d, must not be negative; above 1 it needs shuffling without balancing", cfg.Repeat)
	case cfg.Last < Drop || cfg.Last > Keep:
		return nil, fmt.Errorf("data: Last, for the last batch, is %d, must be Drop, Pad or Keep", cfg.Last)
	}
	if err := cfg.Part.Valid(); err != nil {
		return nil, err
	}
	masks := Masks(ds)
	if err := cfg.checkViews(masks != nil); err != nil {
		return nil, err
	}
	if masks == nil {
		if err := checkLabels(ds); err != nil {
			return nil, err
		}
		if cfg.Augment != nil && cfg.Augment.RandomScale != nil || cfg.Second != nil && cfg.Second.RandomScale != nil {
			return nil, errors.New("data: augment: random_scale is for pictures with masks; random_resized_crop is for pictures with labels")
		}
	} else if cfg.Augment != nil {
		if err := cfg.Augment.forMasks(); err != nil {
			return nil, err
		}
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
	l := &Loader{ds: ds, cfg: cfg, masks: masks, bad: make(map[int]*SampleError), cache: newCache(ds, cfg.CacheBytes)}
	if l.inputs, _ = inputsOf(ds, 0); len(l.inputs) > 0 && cfg.Augment.Mixes() {
		return nil, errors.New("data: augment: mixup and cutmix mix pictures, but the dataset has other inputs beside them (WithInputs), which are not mixed: leave them out")
	}
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

// Prefetch returns the number of batches that are made ahead: when a batch is
// given out, the next Prefetch batches are being made.
func (l *Loader) Prefetch() int { return l.cfg.Prefetch }

// Epoch returns the batches of an epoch, starting at a step. They do not depend on
// whether the steps before were made. A batch is valid until the next turn of the
// loop. An error (a *SampleError for a bad sample without SkipBad, or that of ctx)
// comes with a nil batch and ends the loop. Leaving the loop early ends the
// loader's goroutines. Several epochs may be open at once.
func (l *Loader) Epoch(ctx context.Context, epoch, step int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if err := l.valid(epoch, step); err != nil {
			yield(nil, err)
			return
		}
		r := l.begin(ctx, epoch, step)
		defer r.stop()
		// A prepared run has another context, which may end separately.
		defer context.AfterFunc(ctx, r.cancel)()
		ended := func() error { return cmp.Or(ctx.Err(), r.ctx.Err()) }
		for b := range r.ordered {
			select {
			case <-b.ready:
			case <-r.ctx.Done():
			}
			if err := ended(); err != nil {
				yield(nil, err)
				return
			}
			if err := b.firstError(); err != nil {
				yield(nil, err)
				return
			}
			// A batch whose samples are all bad is left out.
			if b.Real > 0 && !yield(&b.Batch, nil) {
				return
			}
			r.release(b)
		}
		if err := ended(); err != nil {
			yield(nil, err)
		}
	}
}

func (l *Loader) valid(epoch, step int) error {
	if epoch < 0 || int64(epoch) > math.MaxUint32 || step < 0 || step > l.Steps() {
		return fmt.Errorf("data: there is no step %d of epoch %d: an epoch has %d steps", step, epoch, l.Steps())
	}
	return nil
}

// Prepare prefetches the first batches of [Loader.Epoch] for that epoch and step,
// during something else: the last steps of the epoch before, whose memory it takes
// over, or an evaluation. It changes no batch. An epoch that was prepared before
// and not begun is discarded. Call it when all batches of the epoch in progress are
// being made (see [Loader.Prefetch]); earlier, it would slow them down. The
// preparation ends with ctx or [Loader.Close].
func (l *Loader) Prepare(ctx context.Context, epoch, step int) {
	l.Close()
	if l.valid(epoch, step) != nil {
		return // Epoch reports the error
	}
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	r := l.start(ctx, epoch, step, open == nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = r
	switch {
	case open == nil:
	case l.open == open:
		open.next = r
	default: // it ended meanwhile
		for range l.cfg.Prefetch + 1 {
			r.receive(newSlot())
		}
	}
}

// Close discards an epoch that was prepared and not begun. The loader can still be
// used.
func (l *Loader) Close() {
	l.mu.Lock()
	r := l.ahead
	l.ahead = nil
	if l.open != nil && l.open.next == r {
		l.open.next = nil
	}
	l.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// begin returns the run of an epoch: the prepared one if it is the right one.
func (l *Loader) begin(ctx context.Context, epoch, step int) *run {
	l.mu.Lock()
	r := l.ahead
	if r != nil && r.epoch == epoch && r.step == step {
		l.ahead = nil
	} else {
		r = nil
	}
	l.mu.Unlock()
	if r == nil {
		l.Close()
		r = l.start(ctx, epoch, step, true)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil && l.open.next == r { // still open: r must not wait for its slots
		l.open.next = nil
		for len(r.batches) < l.cfg.Prefetch+1 {
			r.receive(newSlot())
		}
	}
	l.open = r
	return r
}
