package detection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/philox"
)

// Shape is the height and width of a network's input.
type Shape struct{ H, W int }

// LoaderConfig is how a [Loader] makes batches.
type LoaderConfig struct {
	BatchSize  int
	Preprocess Preprocess
	Augment    *Augment // nil for evaluation
	// Shapes are the inputs that there are. Pictures are resized to the same size
	// whatever the shapes are, and a batch has pictures that share the smallest shape that
	// they fit. Nil means a landscape and a portrait input for Preprocess, or the square of
	// Augment.ScaleJitter, or a square of MaxSize with Augment.IoUCrop, with sides that
	// are multiples of 32.
	Shapes []Shape
	// Capacity is the number of objects per picture that there is room for; of more, the
	// largest are kept. 0 means as many as the dataset has in one picture, four times that
	// with Augment.Mosaic, and at least 1.
	Capacity int
	// Masks makes Batch.Masks. All objects need a mask.
	Masks bool
	// Shuffle gives a new random order each epoch, and fills the last batch of each shape
	// with pictures that come a second time. Without it, the order is the dataset's for
	// each shape, and the last batch of each has padding.
	Shuffle bool
	Seed    uint64
	// SkipBad skips pictures that cannot be read, and counts them (see [Loader.Bad]).
	// With Shuffle another picture replaces a bad one, the same in every run.
	SkipBad  bool
	Workers  int // goroutines; 0 means one per CPU. Batches do not depend on it.
	Prefetch int // batches made ahead; 0 means 2
	// Part leaves out some batches of every epoch, which other processes make.
	Part data.Part
}

// Loader makes batches of a dataset and prefetches them.
type Loader struct {
	ds     *Dataset
	cfg    LoaderConfig
	norm   normalizer
	groups [][]uint32 // pictures of each shape
	steps  int

	mu  sync.Mutex
	bad map[int]*data.SampleError
}

// entry is a picture in an epoch: its number, and how often it came before.
type entry struct{ index, copy uint32 }

// plannedBatch is what is in a batch.
type plannedBatch struct {
	group   int
	shape   Shape
	entries []entry
}

// NewLoader returns a loader of ds. It reads the headers of pictures whose size the
// annotations do not give. It returns an error if the configuration is out of range,
// the dataset is empty, or a picture fits none of the shapes.
func NewLoader(ds *Dataset, cfg LoaderConfig) (*Loader, error) {
	if err := cfg.Preprocess.Valid(); err != nil {
		return nil, err
	}
	if cfg.Augment != nil {
		if err := cfg.Augment.Valid(); err != nil {
			return nil, err
		}
	}
	if err := cfg.Part.Valid(); err != nil {
		return nil, err
	}
	switch {
	case cfg.BatchSize < 1:
		return nil, fmt.Errorf("detection: batch size %d is below 1", cfg.BatchSize)
	case ds.Len() == 0:
		return nil, errors.New("detection: the dataset has no pictures")
	case int64(ds.Len()) > math.MaxUint32:
		return nil, fmt.Errorf("detection: the dataset has %d pictures, must be at most %d", ds.Len(), uint32(math.MaxUint32))
	case cfg.Capacity < 0:
		return nil, fmt.Errorf("detection: capacity %d is negative", cfg.Capacity)
	}
	for _, s := range cfg.Shapes {
		if s.H < 1 || s.W < 1 || s.H > maxSide || s.W > maxSide {
			return nil, fmt.Errorf("detection: an input of %d x %d pixels is not within 1 to %d", s.H, s.W, maxSide)
		}
	}
	if cfg.Masks {
		for i := range ds.Pictures {
			for k := range ds.Pictures[i].Objects {
				if o := &ds.Pictures[i].Objects[k]; !o.HasMask() {
					return nil, &data.SampleError{Index: i, Name: ds.Name(i), Err: fmt.Errorf("object %d: %w", o.ID, ErrNoMask)}
				}
			}
		}
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Prefetch <= 0 {
		cfg.Prefetch = 2
	}
	if cfg.Capacity == 0 {
		cfg.Capacity = 1
		for i := range ds.Pictures {
			cfg.Capacity = max(cfg.Capacity, len(ds.Pictures[i].Objects))
		}
		if cfg.Augment != nil && cfg.Augment.Mosaic > 0 {
			cfg.Capacity *= 4
		}
	}
	l := &Loader{ds: ds, cfg: cfg, bad: make(map[int]*data.SampleError)}
	l.norm.init(cfg.Preprocess)
	if err := l.group(); err != nil {
		return nil, err
	}
	for _, g := range l.groups {
		l.steps += (len(g) + cfg.BatchSize - 1) / cfg.BatchSize
	}
	return l, nil
}

// group gives each picture the smallest shape that it fits.
func (l *Loader) group() error {
	a := l.cfg.Augment
	p := a.largest(l.cfg.Preprocess)
	if l.cfg.Shapes == nil {
		long, short := roundUp(p.MaxSize), roundUp(p.MinSize)
		l.cfg.Shapes = []Shape{{short, long}, {long, short}}
		switch {
		case a != nil && a.ScaleJitter != nil:
			s := roundUp(a.ScaleJitter.Size)
			l.cfg.Shapes = []Shape{{s, s}}
		case a != nil && a.IoUCrop: // which makes pictures of any shape
			l.cfg.Shapes = []Shape{{long, long}}
		case long == short:
			l.cfg.Shapes = l.cfg.Shapes[:1]
		}
	}
	order := make([]int, len(l.cfg.Shapes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return l.cfg.Shapes[i].H*l.cfg.Shapes[i].W - l.cfg.Shapes[j].H*l.cfg.Shapes[j].W
	})
	l.groups = make([][]uint32, len(l.cfg.Shapes))
	anyShape := a != nil && a.IoUCrop
	for i := range l.ds.Pictures {
		at := order[0]
		if a == nil || a.ScaleJitter == nil {
			w, h, err := l.ds.Size(i)
			if err != nil { // the error comes when the picture is used
				l.groups[at] = append(l.groups[at], uint32(i))
				continue
			}
			w, h = p.Size(w, h)
			fits := slices.IndexFunc(order, func(k int) bool {
				s := l.cfg.Shapes[k]
				if anyShape {
					return s.H >= p.MaxSize && s.W >= p.MaxSize
				}
				return w <= s.W && h <= s.H
			})
			if fits < 0 && anyShape {
				return fmt.Errorf("detection: iou_crop changes the shape of pictures: give LoaderConfig.Shapes an input of %d x %d pixels", roundUp(p.MaxSize), roundUp(p.MaxSize))
			}
			if fits < 0 {
				return fmt.Errorf("detection: %s is resized to %d x %d pixels (width x height), which fits none of the inputs %v (height, width)", l.ds.Name(i), w, h, l.cfg.Shapes)
			}
			at = order[fits]
		} else if s := l.cfg.Shapes[at]; s.H < a.ScaleJitter.Size || s.W < a.ScaleJitter.Size {
			return fmt.Errorf("detection: scale_jitter.size %d does not fit the input of %d x %d pixels", a.ScaleJitter.Size, s.H, s.W)
		}
		l.groups[at] = append(l.groups[at], uint32(i))
	}
	return nil
}

// Steps returns the number of batches of an epoch.
func (l *Loader) Steps() int { return l.steps }

// Shapes returns the inputs that batches may have.
func (l *Loader) Shapes() []Shape { return slices.Clone(l.cfg.Shapes) }

// Used returns the inputs that batches of the dataset have.
func (l *Loader) Used() []Shape {
	var used []Shape
	for i, g := range l.groups {
		if len(g) > 0 {
			used = append(used, l.cfg.Shapes[i])
		}
	}
	return used
}

// Prefetch returns the number of batches that are made ahead.
func (l *Loader) Prefetch() int { return l.cfg.Prefetch }

// Capacity returns the number of objects per picture that there is room for.
func (l *Loader) Capacity() int { return l.cfg.Capacity }

// Bad returns the pictures that were skipped so far, in the dataset's order.
func (l *Loader) Bad() []*data.SampleError {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*data.SampleError
	for _, e := range l.bad {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *data.SampleError) int { return a.Index - b.Index })
	return all
}

// plan returns what the batches of an epoch hold. It depends on the configuration and
// the epoch alone.
func (l *Loader) plan(epoch int) []plannedBatch {
	var batches []plannedBatch
	size := l.cfg.BatchSize
	for g, members := range l.groups {
		order := make([]entry, len(members))
		for k, i := range members {
			order[k] = entry{index: i}
		}
		if l.cfg.Shuffle {
			rng := philox.Keyed(l.cfg.Seed, uint32(opShuffle), uint32(epoch), uint32(g))
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for k := 0; len(order)%size != 0; k++ {
				order = append(order, entry{order[k].index, order[k].copy + 1})
			}
		}
		for lo := 0; lo < len(order); lo += size {
			batches = append(batches, plannedBatch{g, l.cfg.Shapes[g], order[lo:min(lo+size, len(order))]})
		}
	}
	if l.cfg.Shuffle { // of the shapes, too
		rng := philox.Keyed(l.cfg.Seed, uint32(opShuffle), uint32(epoch), math.MaxUint32)
		rng.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	}
	return batches
}

// Epoch returns the batches of an epoch, starting at a step. They do not depend on
// whether the steps before were made. A batch is valid until the next turn of the
// loop. An error (a *data.SampleError for a bad picture without SkipBad, or that of
// ctx) comes with a nil batch and ends the loop. Leaving the loop early ends the
// loader's goroutines.
func (l *Loader) Epoch(ctx context.Context, epoch, step int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if epoch < 0 || int64(epoch) > math.MaxUint32 || step < 0 || step > l.steps {
			yield(nil, fmt.Errorf("detection: there is no step %d of epoch %d: an epoch has %d steps", step, epoch, l.steps))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		free, ordered := make(chan *slot, l.cfg.Prefetch+1), make(chan *slot, l.cfg.Prefetch+1)
		for range l.cfg.Prefetch + 1 {
			free <- &slot{ready: make(chan struct{}, 1)}
		}
		type task struct {
			b   *slot
			row int
		}
		tasks := make(chan task)
		wg.Go(func() {
			defer close(tasks)
			defer close(ordered)
			for k, p := range l.plan(epoch)[step:] {
				if !l.cfg.Part.Has(step + k) {
					continue
				}
				var b *slot
				select {
				case b = <-free:
				case <-ctx.Done():
					return
				}
				l.prepare(b, epoch, step+k, p)
				ordered <- b // never blocks: there are not more slots than places
				for row := range p.entries {
					select {
					case tasks <- task{b, row}:
					case <-ctx.Done():
						return
					}
				}
			}
		})
		for range l.cfg.Workers {
			wg.Go(func() {
				for t := range tasks {
					t.b.errs[t.row] = l.fill(t.b, t.row, t.b.plan.entries[t.row])
					if t.b.pending.Add(-1) == 0 {
						t.b.ready <- struct{}{}
					}
				}
			})
		}
		for b := range ordered {
			select {
			case <-b.ready:
			case <-ctx.Done():
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if err := b.finish(); err != nil {
				yield(nil, err)
				return
			}
			// A batch whose pictures are all bad is left out.
			if b.Real > 0 && !yield(&b.Batch, nil) {
				return
			}
			free <- b
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// finish closes the gaps of skipped rows. It returns the first row's error.
func (b *slot) finish() error {
	real := 0
	for row, err := range b.errs[:len(b.plan.entries)] {
		if errors.Is(err, errSkipped) {
			continue
		}
		if err != nil {
			return err
		}
		if row != real {
			b.move(real, row)
		}
		real++
	}
	for row := real; row < len(b.plan.entries); row++ {
		b.clear(row)
	}
	b.Real = real
	return nil
}
