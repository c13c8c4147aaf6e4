package conv

import (
	"errors"
	"slices"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// The algorithms that add up products one by one.
const (
	Direct    = "direct"
	Depthwise = "depthwise"
)

// Op is what to compute of a convolution.
type Op uint8

// The values of Op.
const (
	Forward      Op = iota // y = act(conv(x, w) + bias + residual), statistics of y
	InputGrad              // dx = Σ dy·w + residual: Args.X is dy, Args.Y is dx
	WeightGrad             // dw = Σ x·dy + residual: Args.Y is dw
	QuantForward           // Forward of quantized values, see [Quant]: arrays of bytes, four to a float
)

// Want is what to compute of a convolution, and what the choice of an algorithm
// depends on besides its geometry.
type Want struct {
	Op Op
	// Fast admits algorithms that need fewer operations and round differently.
	Fast bool
	// ConstantWeights is set where the weights are packed once for many runs. They
	// change with each run otherwise.
	ConstantWeights bool
	// Stats adds the mean and the variance of each channel of a forward
	// convolution.
	Stats bool
	// Residual is set where a gradient is added to Args.Residual; a forward
	// convolution adds it in any case, unless it is nil.
	Residual bool
	// BatchInvariant chooses the algorithm by the geometry of one image, so that an
	// image's results are the same bits in any batch.
	BatchInvariant bool
	// Quant is set for a QuantForward, and nil for the others.
	Quant *Quant
	// Times returns measured milliseconds by algorithm, for a geometry as
	// [Conv.Geometry] names it; nil where there are none. Only forward convolutions
	// with ConstantWeights and Fast ask. Times itself may be nil.
	Times func(geometry string) map[string]float64
}

// candidate is an algorithm that can compute what is wanted.
type candidate struct {
	name   string
	cycles float64 // estimate, comparable among the candidates of one convolution
	margin float64 // share of the best other estimate that cycles must be below; 0 means 1
	only   bool    // no other algorithm can be faster
	plan   func() *Plan
}

// algorithm estimates and plans one way to compute a convolution. The error is the reason
// why it cannot.
type algorithm func(c Conv, w Want) (candidate, error)

// algorithms are all ways to compute a convolution. To add one, write its file
// and a line here.
var algorithms = [...][]algorithm{
	Forward: {
		depthwiseForward, directForward, inFloat32(winogradForward(wino.F4)), inFloat32(winogradForward(wino.F2)),
		inFloat32(winogradForward(wino.F3)), inFloat32(winogradForward(wino.Closed3)), inFloat32(winogradForward(wino.Closed2)),
		inFloat32(winogradStride2), narrow(winogradForward(wino.F4)), narrow(winogradStride2),
	},
	InputGrad: {
		directInputGrad, inFloat32(winogradInputGrad(wino.F4)), inFloat32(winogradInputGrad(wino.F2)), narrow(winogradInputGrad(wino.F4)),
	},
	WeightGrad:   {directWeightGrad, inFloat32(winogradWeightGrad), narrow(winogradWeightGrad)},
	QuantForward: {int8DepthwiseForward, int8Forward, int8WinogradForward(wino.F4), int8WinogradForward(wino.F2)},
}

// inFloat32 is an algorithm that multiplies float32 numbers, as a candidate also for
// convolutions of bfloat16 products: where it multiplies so much less that it takes
// less time, it is more precise, too.
func inFloat32(a algorithm) algorithm {
	return func(c Conv, w Want) (candidate, error) { return a(c.inFloat32(), w) }
}

// inFloat32 returns the convolution of float32 products.
func (c Conv) inFloat32() Conv {
	c.Precision = gemm.FP32
	return c
}

// narrow is an algorithm that takes the convolution's precision, as a candidate for
// bfloat16 products alone: [inFloat32] has it for the others.
func narrow(a algorithm) algorithm {
	return func(c Conv, w Want) (candidate, error) {
		if c.Precision == gemm.FP32 {
			return candidate{}, errors.New("convolution: its products are of float32 numbers")
		}
		return a(c, w)
	}
}

// Choose compiles a convolution by the algorithm that was measured to take the
// least time, or where there are no times, that is expected to by the cost model
// of this machine (cost.go). The error is that of [Conv.Check].
func Choose(c Conv, w Want) (*Plan, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	list := candidates(c, w)
	by, ranked := c, list // what decides
	if w.BatchInvariant && c.N > 1 {
		by.N = 1
		ranked = candidates(by, w)
	}
	best, names := cheapest(ranked), []string{list[0].name}
	if w.Op == Forward && w.ConstantWeights {
		names = names[:0]
		for _, a := range list {
			names = append(names, a.name)
		}
	}
	if len(names) > 1 && w.Times != nil && c.Precision == gemm.FP32 { // whose times are measured
		best.name = Fastest(w.Times(by.Geometry()), names, best.name)
	}
	// An algorithm can compute any number of images or none.
	best = list[slices.IndexFunc(list, func(k candidate) bool { return k.name == best.name })]
	p := best.plan()
	p.Candidates = names
	return p, nil
}

// candidates lists the algorithms that can compute c, those that add up products one
// by one first.
func candidates(c Conv, w Want) (list []candidate) {
	for _, a := range algorithms[w.Op] {
		if k, err := a(c, w); err == nil {
			list = append(list, k)
			if k.only {
				break
			}
		}
	}
	return list
}

// cheapest returns the candidate with the lowest estimate, among equal ones the
// first.
func cheapest(list []candidate) candidate {
	best := list[0]
	for _, a := range list[1:] {
		limit := best.cycles
		if a.margin > 0 {
			limit *= a.margin
		}
		if a.cycles < limit {
			best = a
		}
	}
	return best
}

// minGain is what a measured time must be below the time of the model's choice,
// as a share of it, to be preferred: less is noise, and would only make results
// differ between machines.
const minGain = 0.97

// Fastest returns the algorithm with the shortest time among names, if that is
// clearly below the time of model, the algorithm that is chosen without times;
// otherwise, and where a time is missing, model.
func Fastest(times map[string]float64, names []string, model string) string {
	best := model
	for _, name := range names {
		t := times[name]
		if !(t > 0) {
			return model
		}
		if t < times[best] {
			best = name
		}
	}
	if times[best] < minGain*times[model] {
		return best
	}
	return model
}

// Algorithms returns the names of all algorithms that [Want.Times] can choose
// from, [Direct] first.
func Algorithms() []string {
	list := []string{Direct}
	for _, tile := range winogradTiles {
		list = append(list, winogradName(tile))
	}
	return list
}

func winogradName(tile wino.Tile) string { return "winograd " + tile.String() }

// winogradName is the name of the algorithm with the convolution's precision.
func (c *Conv) winogradName(tile wino.Tile) string {
	if c.Precision != gemm.FP32 {
		return winogradName(tile) + " bf16"
	}
	return winogradName(tile)
}
