package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// Plan is a convolution, or another product made of the same kernels, compiled
// for one geometry and this machine: steps to run one after another, each of
// them tasks to run in any order and at the same time. The tasks do not depend
// on the number of threads, nor does a bit of the result. A Plan is immutable.
type Plan struct {
	Algorithm  string    // what profiles show, such as "winograd 4x4"
	Candidates []string  // the algorithms that [Want.Times] can choose from
	Packed     *Packing  // how Args.Packed holds the weights; nil where there are none
	Floats     ArgFloats // lengths of the arrays that steps hand on to later steps
	Steps      []Step
}

// Step is a part of a plan that starts when all tasks of the step before are
// done.
type Step struct {
	Name          string // "" for the products
	Tasks         int
	Scratch       int   // floats of scratch memory that each worker needs
	FLOPs         int64 // that the direct algorithm would need; 0 but for the products
	Reads, Writes []Arg
	InPlace       bool // Args.Y may have the memory of Args.Residual

	// Run does one task. It allocates nothing.
	Run func(w *Worker, task int, a Args)
}

// Args are the arrays of a plan. Which of them a step uses, its Reads and Writes
// name; the others are ignored. None may overlap another, but for Residual and Y.
// Of a [QuantForward], X, Packed, Residual, Inputs and Y hold bytes, four to a
// float, and there is no Bias.
type Args struct {
	X        []float32 // input; for an input gradient, the output's gradient
	DY       []float32 // weight gradient: the output's gradient
	Packed   []float32 // weights as Plan.Packed lays them out
	Bias     []float32 // or nil
	Residual []float32 // like Y, added to the result before Act; or nil; may be Y itself
	Y        []float32 // result
	Mean     []float32 // of each channel of Y
	Variance []float32 // of each channel of Y, biased

	// Handed from step to step; lengths in Plan.Floats.
	Weights []float32 // transformed weights
	Inputs  []float32 // transformed inputs
	Partial []float32 // sums or statistics of parts

	Act isa.Act // applied to Y
}

// Arg names an array of [Args].
type Arg uint8

// The arrays of [Args], in their order.
const (
	ArgX Arg = iota
	ArgDY
	ArgPacked
	ArgBias
	ArgResidual
	ArgY
	ArgMean
	ArgVariance
	ArgWeights
	ArgInputs
	ArgPartial
	NumArgs
)

// ArgFloats has the number of floats of each array, 0 for those that the
// geometry determines.
type ArgFloats [NumArgs]int

// Worker is what a worker keeps between the tasks of a step.
type Worker struct {
	Scratch []float32 // at least Step.Scratch floats
	last    int       // 1 + the task whose input is in Scratch; 0: none
	_       [32]byte  // to the end of the cache line, which no other worker writes to
}

// Begin prepares for a step: what Scratch holds is not the step's.
func (w *Worker) Begin() { w.last = 0 }

// previous returns the task that w has run before, -1 for none, and notes that
// it is running another now. Scratch holds what that task has made of its input,
// which saves neighboring tasks of the same input the work.
func (w *Worker) previous(task int) int {
	prev := w.last - 1
	w.last = task + 1
	return prev
}

// products returns the step of a plan that computes y. Its tasks are to be added.
func (c *Conv) products(w Want, reads ...Arg) Step {
	s := Step{FLOPs: c.FLOPs(), Reads: append(reads, ArgBias, ArgResidual), Writes: []Arg{ArgY}, InPlace: true}
	if w.Stats {
		s.Writes = append(s.Writes, ArgPartial)
	}
	return s
}

// check panics unless the arrays of a forward convolution have the lengths of c:
// a wrong one is a bug of the caller, and the kernels do not look again.
func (c *Conv) check(a *Args, packed int) {
	isa.CheckFloats("x", a.X, c.XLen())
	isa.CheckFloats("packed weights", a.Packed, packed)
	isa.CheckFloats("y", a.Y, c.YLen())
	if a.Bias != nil {
		isa.CheckFloats("bias", a.Bias, c.K)
	}
	if a.Residual != nil {
		isa.CheckFloats("residual", a.Residual, c.YLen())
	}
}

// checkWeightGrad is check of the arrays of a weight gradient.
func (c *Conv) checkWeightGrad(a *Args) {
	isa.CheckFloats("x", a.X, c.XLen())
	isa.CheckFloats("dy", a.DY, c.YLen())
	isa.CheckFloats("dw", a.Y, c.WLen())
	if a.Residual != nil {
		isa.CheckFloats("residual", a.Residual, c.WLen())
	}
}
