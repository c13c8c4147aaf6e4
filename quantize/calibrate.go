package quantize

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// The methods that choose the range of an activation.
const (
	MinMax     = "minmax"     // from the smallest to the largest value seen
	Percentile = "percentile" // without the outermost 0.01 % of the values
	Entropy    = "entropy"    // what loses the least information, see [entropyBound]
)

// Methods lists the methods.
func Methods() []string { return []string{MinMax, Percentile, Entropy} }

// outside is the share of values that Percentile leaves out at an end.
const outside = 1e-4

// Options are what to quantize and how.
type Options struct {
	Method     string // one of [Methods]
	FloatFirst bool   // leave the first layer in floating point
	FloatLast  bool   // and the last
}

// Calibrate quantizes m, with the values in vars, for inputs of the shape [C H W].
// batches are pictures as the network takes them, [N C H W] in either layout;
// Calibrate goes through them once for [MinMax] and twice for the other methods.
func Calibrate(ctx context.Context, m nn.Module, vars *engine.Vars, input tensor.Shape, batches iter.Seq2[*tensor.Tensor, error], opt Options) (*Network, error) {
	if !slices.Contains(Methods(), opt.Method) {
		return nil, fmt.Errorf("quantize: unknown method %q, want one of %q", opt.Method, Methods())
	}
	if len(input) != 3 {
		return nil, fmt.Errorf("quantize: the input is %v, must be [C H W]", input)
	}
	c, err := newCalibration(m, vars, input, opt)
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if err := c.pass(ctx, batches, (*values).bounds); err != nil {
		return nil, err
	}
	if len(c.seen) == 0 {
		return nil, errors.New("quantize: no pictures to calibrate with, or no layers to quantize")
	}
	if opt.Method != MinMax {
		if err := c.pass(ctx, batches, (*values).count); err != nil {
			return nil, err
		}
	}
	q := &Network{inner: m, vars: vars, opt: opt, points: map[int]graph.QuantizeLinear{}}
	for id, v := range c.seen {
		lo, hi, err := v.limits(opt.Method)
		if err != nil {
			return nil, err
		}
		q.points[id] = asymmetric(lo, hi)
	}
	return q, nil
}

// asymmetric returns the rounding of values in [lo, hi], which is stretched to
// hold 0, so that padding is exact.
func asymmetric(lo, hi float32) graph.QuantizeLinear {
	lo, hi = min(lo, 0), max(hi, 0)
	s := scale((hi - lo) / 255)
	zero := min(max(math.RoundToEven(float64(-lo/s)), 0), 255)
	return graph.QuantizeLinear{Scale: []float32{s}, Zero: []int32{int32(zero)}}
}

// calibration is what was seen of a network's activations, by the number of their
// node in the folded graph.
type calibration struct {
	runner *infer.Runner
	query  infer.Query // its outputs are the values to round, by that number
	input  tensor.Shape
	names  map[int]string
	seen   map[int]*values
}

func newCalibration(m nn.Module, vars *engine.Vars, input tensor.Shape, opt Options) (*calibration, error) {
	r, err := infer.New(m, vars, infer.Options{Exact: true})
	if err != nil {
		return nil, err
	}
	c := &calibration{runner: r, input: input, names: map[int]string{}, seen: map[int]*values{}}
	c.query = infer.Query{Name: "points", Build: func(t *nn.Traced) error {
		g, _, err := fold(t, vars)
		if err != nil {
			return err
		}
		if err := check(g, vars); err != nil {
			return err
		}
		at := points(g, opt)
		g.Outputs = nil
		for _, id := range slices.Sorted(maps.Keys(at)) {
			c.names[id] = at[id].Node.String()
			g.Output(strconv.Itoa(id), at[id])
		}
		t.Graph = g
		return nil
	}}
	return c, nil
}

// pass runs all batches and shows each point's values to f.
func (c *calibration) pass(ctx context.Context, batches iter.Seq2[*tensor.Tensor, error], f func(*values, []float32)) error {
	for x, err := range batches {
		if err != nil {
			return err
		}
		if s := x.Shape(); len(s) != 4 || !s[1:].Equal(c.input) {
			return fmt.Errorf("quantize: a batch is %v, must be [N %d %d %d]", x, c.input[0], c.input[1], c.input[2])
		}
		out, err := c.runner.Run(ctx, c.query, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			return fmt.Errorf("quantize: %w", err)
		}
		for id, name := range c.names {
			if c.seen[id] == nil {
				c.seen[id] = &values{name: name}
			}
			f(c.seen[id], out[strconv.Itoa(id)].Float32s())
		}
	}
	return nil
}

// bins of a histogram.
const bins = 2048

// values is what was seen of one activation.
type values struct {
	name   string
	any    bool
	lo, hi float32
	hist   []int64 // of [lo, hi]
}

func (v *values) bounds(x []float32) {
	if !v.any {
		v.lo, v.hi, v.any = x[0], x[0], true
	}
	for _, f := range x {
		v.lo, v.hi = min(v.lo, f), max(v.hi, f) // which keep a NaN
	}
}

func (v *values) count(x []float32) {
	if v.hist == nil {
		v.hist = make([]int64, bins)
	}
	width := float64(v.hi) - float64(v.lo)
	if !(width > 0) {
		return
	}
	for _, f := range x {
		i := int((float64(f) - float64(v.lo)) / width * bins)
		v.hist[min(max(i, 0), bins-1)]++
	}
}

// limits returns the range to round into.
func (v *values) limits(method string) (lo, hi float32, err error) {
	if v.lo-v.lo != 0 || v.hi-v.hi != 0 {
		return 0, 0, fmt.Errorf("quantize: %s has values that are not finite", v.name)
	}
	if method == MinMax || v.hist == nil || v.lo == v.hi {
		return v.lo, v.hi, nil
	}
	edge := func(bin int) float32 { return v.lo + (v.hi-v.lo)*float32(bin)/bins }
	first, last := 0, bins // the bins that are kept
	if method == Percentile {
		total := int64(0)
		for _, n := range v.hist {
			total += n
		}
		drop := int64(outside * float64(total))
		for n := v.hist[first]; n <= drop && first < last-1; n += v.hist[first] {
			first++
		}
		for n := v.hist[last-1]; n <= drop && last > first+1; n += v.hist[last-1] {
			last--
		}
		return edge(first), edge(last), nil
	}
	if v.lo >= 0 {
		return v.lo, edge(entropyBound(v.hist, 255)), nil
	}
	// Of values of both signs, sizes are cut alike at both ends.
	size := max(v.hi, -v.lo)
	hist := make([]int64, bins)
	for i, n := range v.hist {
		mid := v.lo + (v.hi-v.lo)*(float32(i)+0.5)/bins
		hist[min(int(max(mid, -mid)/size*bins), bins-1)] += n
	}
	bound := size * float32(entropyBound(hist, 128)) / bins
	return max(v.lo, -bound), min(v.hi, bound), nil
}

// entropyBound returns how many bins of a histogram of sizes to keep: with what
// is beyond them added to the last and the rest rounded to some levels, the
// Kullback-Leibler divergence from the histogram is the smallest (Migacz, "8-bit
// Inference with TensorRT", GTC 2017). The first bin, of what ReLU made 0, is
// exact at any bound and left out.
func entropyBound(hist []int64, levels int) int {
	best, least := len(hist), math.Inf(1)
	tail := int64(0)
	tails := make([]int64, len(hist)+1)
	for i := len(hist) - 1; i >= 0; i-- {
		tail += hist[i]
		tails[i] = tail
	}
	p, q := make([]float64, len(hist)), make([]float64, len(hist))
	for keep := levels; keep <= len(hist); keep += 8 {
		sumP, sumQ := 0.0, 0.0
		for i := range keep {
			p[i] = float64(hist[i])
			q[i] = 0
		}
		p[0] = 0
		p[keep-1] += float64(tails[keep])
		for l := range levels {
			from, to := l*keep/levels, (l+1)*keep/levels
			total, full := 0.0, 0
			for i := max(from, 1); i < to; i++ {
				if hist[i] > 0 {
					total += float64(hist[i])
					full++
				}
			}
			for i := max(from, 1); i < to; i++ {
				if hist[i] > 0 {
					q[i] = total / float64(full)
				}
			}
		}
		for i := range keep {
			sumP += p[i]
			sumQ += q[i]
		}
		if sumP == 0 || sumQ == 0 {
			continue
		}
		kl := 0.0
		for i := range keep {
			if p[i] > 0 {
				kl += p[i] / sumP * math.Log(p[i]/sumP/max(q[i]/sumQ, 1e-9))
			}
		}
		if kl < least {
			best, least = keep, kl
		}
	}
	return best
}
