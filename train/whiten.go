package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/nn"
)

// Whiten makes the first weights of a network's first convolution from the training
// pictures, so that its outputs are uncorrelated and of the same strength, as Page 2018
// ("How to train your ResNet 8: Bag of tricks") and Jordan 2024 (arXiv 2404.00498,
// section 3.2) do: the filters are the eigenvectors v of the second moment of patches of
// the convolution's size, each divided by sqrt(λ+Eps), where λ is its eigenvalue; half of
// the filters are those of the largest λ, the other half their negatives. Filters beyond
// twice the numbers of a patch keep their random weights.
type Whiten struct {
	// Pictures is the number of training pictures that are looked at, drawn by the
	// run's seed; 0 means 2000. They are not augmented.
	Pictures int `yaml:"pictures,omitempty"`
	// Eps keeps directions that the pictures hardly have from being amplified; 0 means
	// 5e-4.
	Eps float64 `yaml:"eps,omitempty"`
	// Train lets the filters learn. Otherwise they are frozen, which also saves their
	// gradients.
	Train bool `yaml:"train,omitempty"`
}

const (
	whitenPictures = 2000
	whitenEps      = 5e-4
	whitenPlaces   = 1024 // patches of a picture, about
	whitenPatch    = 3 * 11 * 11
)

// validWhiten returns an error that names the key at fault.
func (r *Recipe) validWhiten() error {
	w := r.Whiten
	switch {
	case w == nil:
		return nil
	case w.Pictures < 0 || w.Pictures > 1<<24:
		return badKey("whiten.pictures", "%d is not a number of pictures, 1 to %d", w.Pictures, 1<<24)
	case !(w.Eps >= 0 && w.Eps < 1e6):
		return badKey("whiten.eps", "%v is not a number from 0 on", w.Eps)
	case r.Detect != nil || r.SSL != nil || r.Finetune != nil:
		return badKey("whiten", "is for classifiers that begin with random weights: set it to null")
	}
	return nil
}

// firstConv returns a network's first convolution and the key of its weights.
func firstConv(net nn.Module) (*nn.Conv2d, string) {
	for _, m := range nn.Modules(net) {
		c, ok := m.(*nn.Conv2d)
		if !ok {
			continue
		}
		for _, e := range nn.Params(net) {
			if e.Param == c.Weight {
				return c, e.Name
			}
		}
	}
	return nil, ""
}

// freezeWhitened freezes the whitened filters.
func (j *job) freezeWhitened(net nn.Module) error {
	if j.rec.Whiten == nil || j.rec.Whiten.Train {
		return nil
	}
	_, key := firstConv(net)
	if _, err := nn.Freeze(net, key); err != nil {
		return fmt.Errorf("whiten: %w", err)
	}
	return nil
}

// whiten gives the first convolution of a fresh network its weights, see [Whiten].
func (j *job) whiten(net nn.Module) error {
	w := j.rec.Whiten
	if w == nil {
		return nil
	}
	conv, key := firstConv(net)
	switch {
	case conv == nil:
		return badKey("whiten", "the network has no convolution: set it to null")
	case data.Masks(j.splits.Train) != nil || data.Inputs(j.splits.Train) != nil:
		return badKey("whiten", "is for pictures with labels: set it to null")
	}
	s := conv.Weight.Shape // [K C R S]
	size := s[1:].Numel()
	if s[1] != j.prep.Channels || size > whitenPatch {
		return badKey("whiten", "the first convolution, %s, has weights %v: filters of up to %d numbers over all %d channels of the pictures can be whitened; set whiten to null",
			key, s, whitenPatch, j.prep.Channels)
	}
	pictures := w.Pictures
	if pictures == 0 {
		pictures = whitenPictures
	}
	pictures = min(pictures, j.splits.Train.Len())
	moment, err := j.patchMoment(pictures, s[1], s[2], s[3])
	if err != nil {
		return err
	}
	values, vectors := symmetricEigen(moment, size)
	eps := orDefault(w.Eps, whitenEps)
	filters, half := conv.Weight.Value.Float32s(), min(s[0]/2, size)
	for i := range half {
		scale := 1 / math.Sqrt(max(values[i], 0)+eps)
		for p, x := range vectors[i] {
			filters[i*size+p] = float32(x * scale)
			filters[(half+i)*size+p] = -float32(x * scale)
		}
	}
	kept := "frozen"
	if w.Train {
		kept = "which learn"
	}
	j.notes = append(j.notes, fmt.Sprintf("%s begins with %d filters that whiten the patches of %d pictures, %s", key, 2*half, pictures, kept))
	return j.freezeWhitened(net)
}

// patchMoment returns the mean of the products of the numbers of patches, [C R S] twice,
// over places of pictures that are drawn by the seed.
func (j *job) patchMoment(pictures, c, r, s int) ([]float64, error) {
	batch := min(pictures, 100)
	l, err := data.NewLoader(j.splits.Train, data.LoaderConfig{BatchSize: batch, Preprocess: j.prep, Shuffle: true, Last: data.Keep,
		Seed: j.seed, SkipBad: j.skipBad, Workers: j.workers, CacheBytes: -1})
	if err != nil {
		return nil, fmt.Errorf("whiten: %w", err)
	}
	defer l.Close()
	size := c * r * s
	sum, patch, n := make([]float64, size*size), make([]float64, size), 0
	h, w := j.prep.Height-r+1, j.prep.Width-s+1
	if h < 1 || w < 1 {
		return nil, badKey("whiten", "the pictures, %d x %d, are smaller than the filters", j.prep.Width, j.prep.Height)
	}
	step := max(1, int(math.Sqrt(float64(h)*float64(w)/whitenPlaces)))
	seen := 0
	for b, err := range l.Epoch(context.Background(), 0, 0) {
		if err != nil {
			return nil, fmt.Errorf("whiten: %w", err)
		}
		for row := range min(b.Real, pictures-seen) {
			x := b.X[row*b.H*b.W*b.C:][:b.H*b.W*b.C]
			for top := 0; top < h; top += step {
				for left := 0; left < w; left += step {
					gatherPatch(patch, x[(top*b.W+left)*c:], b.W, c, r, s)
					addProducts(sum, patch)
					n++
				}
			}
		}
		if seen += b.Real; seen >= pictures {
			break
		}
	}
	for i := range size {
		for k := range i + 1 {
			sum[i*size+k] /= float64(n)
			sum[k*size+i] = sum[i*size+k]
		}
	}
	return sum, nil
}

// gatherPatch copies the patch that begins at x, with rows of w pixels of c channels, in
// the order of weights.
func gatherPatch(patch []float64, x []float32, w, c, r, s int) {
	for k := range c {
		for y := range r {
			for i := range s {
				patch[(k*r+y)*s+i] = float64(x[(y*w+i)*c+k])
			}
		}
	}
}

// addProducts adds the lower half of the outer product of the patch with itself.
func addProducts(sum, patch []float64) {
	for i, a := range patch {
		row := sum[i*len(patch):][:i+1]
		for k := range row {
			row[k] += float64(a * patch[k]) // no fused multiply-add: the same bits on all processors
		}
	}
}

// symmetricEigen returns the eigenvalues of a symmetric n by n matrix, the largest first,
// and their unit eigenvectors, whose largest number is positive, by Jacobi's rotations
// (Golub and Van Loan, Matrix Computations, section 8.5). The matrix is overwritten.
func symmetricEigen(a []float64, n int) (values []float64, vectors [][]float64) {
	v := make([]float64, n*n) // row i: eigenvector i
	for i := range n {
		v[i*n+i] = 1
	}
	for range 60 {
		var off, all float64
		for i := range n {
			for k := range n {
				all += float64(a[i*n+k] * a[i*n+k])
				if i != k {
					off += float64(a[i*n+k] * a[i*n+k])
				}
			}
		}
		if off <= all*1e-28 {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, v, n, p, q)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, k int) int {
		switch {
		case a[i*n+i] > a[k*n+k]:
			return -1
		case a[i*n+i] < a[k*n+k]:
			return 1
		}
		return 0
	})
	for _, i := range order {
		x := slices.Clone(v[i*n : (i+1)*n])
		largest := slices.MaxFunc(x, func(a, b float64) int {
			switch {
			case math.Abs(a) < math.Abs(b):
				return -1
			case math.Abs(a) > math.Abs(b):
				return 1
			}
			return 0
		})
		if largest < 0 {
			for k := range x {
				x[k] = -x[k]
			}
		}
		values, vectors = append(values, a[i*n+i]), append(vectors, x)
	}
	return values, vectors
}

// rotate makes a's numbers p,q and q,p zero by a rotation, which v also takes.
func rotate(a, v []float64, n, p, q int) {
	if a[p*n+q] == 0 {
		return
	}
	tau := (a[q*n+q] - a[p*n+p]) / (2 * a[p*n+q])
	t := 1 / (math.Abs(tau) + math.Sqrt(1+float64(tau*tau)))
	if tau < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(1+float64(t*t))
	s := t * c
	mix := func(m []float64, i, k int) {
		x, y := m[i], m[k]
		m[i] = float64(c*x) - float64(s*y)
		m[k] = float64(s*x) + float64(c*y)
	}
	for k := range n {
		mix(a, p*n+k, q*n+k)
	}
	for k := range n {
		mix(a, k*n+p, k*n+q)
	}
	for k := range n {
		mix(v, p*n+k, q*n+k)
	}
}
