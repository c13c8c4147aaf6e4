// Package doctor checks that the program computes what it should on this
// machine, and measures how fast.
package doctor

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Report is what was found.
type Report struct {
	Platform string `json:"platform"`
	CPUs     int    `json:"cpus"`    // that the system has
	Threads  int    `json:"threads"` // that are used
	ISA      string `json:"isa"`     // instruction set of the kernels
	// Features are the vector instructions of the processor that kernels know,
	// as package internal/cpu names them.
	Features []string `json:"features"`
	BF16     bool     `json:"bf16"` // --bf16 works here
	// BF16PeakGFLOPS is the peak of bfloat16 products of one core; 0 without.
	BF16PeakGFLOPS float64 `json:"bf16_peak_gflops"`
	// PeakGFLOPS is the FMA peak of one core; 0 where no kernels in assembly exist.
	PeakGFLOPS float64 `json:"peak_gflops"`
	// GEMMGFLOPS is the speed of a 768 x 768 x 768 matrix product on one thread,
	// GEMMAllGFLOPS on all.
	GEMMGFLOPS    float64 `json:"gemm_gflops"`
	GEMMAllGFLOPS float64 `json:"gemm_all_gflops"`
	Checks        []Check `json:"checks"`
	// ImagesPerSecond is the speed of the embedded model, batch 16, without
	// decoding; 0 if this build carries none.
	ImagesPerSecond float64 `json:"images_per_s"`
}

// Check compares outputs with stored ones.
type Check struct {
	Model      string  `json:"model"`
	Difference float64 `json:"difference"` // largest, as a share of the largest output
	Tolerance  float64 `json:"tolerance"`
	OK         bool    `json:"ok"`
}

// OK reports whether all outputs are right.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.OK })
}

// tolerance is more than float32 rounding in another order makes of fifty
// layers (1.5e-6 for PyTorch's own float32) and far below any mistake.
const tolerance = 1e-4

// Run checks and measures with the given number of threads; 0 means one per CPU. m is the
// model whose speed is measured; nil leaves that out.
func Run(ctx context.Context, threads int, m *resnet.Model) (*Report, error) {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	r := &Report{
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Threads: threads,
		ISA: isa.ISA(), Features: cpu.Names(), BF16: engine.BF16Native.Check() == nil, PeakGFLOPS: isa.PeakGFLOPS(), BF16PeakGFLOPS: isa.BF16PeakGFLOPS(),
	}
	var err error
	if r.GEMMGFLOPS, err = gemm(parallel.Shared(1)); err != nil {
		return nil, err
	}
	if r.GEMMAllGFLOPS, err = gemm(parallel.Shared(threads)); err != nil {
		return nil, err
	}
	for _, ref := range references {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		logits, err := ref.run(ctx, threads)
		if err != nil {
			return nil, err
		}
		d := ref.difference(logits)
		r.Checks = append(r.Checks, Check{ref.model, d, tolerance, d <= tolerance})
	}
	if m != nil {
		if r.ImagesPerSecond, err = speed(ctx, m); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// run computes the reference's network here.
func (ref *reference) run(ctx context.Context, threads int) (*tensor.Tensor, error) {
	net, err := models.New(ref.model)
	if err != nil {
		return nil, err
	}
	values := map[string]*tensor.Tensor{}
	for _, e := range nn.Params(net) {
		if e.Param.DType != tensor.Float32 {
			values[e.Name] = tensor.NewInt64(e.Param.Shape...) // a counter, which inference does not read
			continue
		}
		kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
		if err != nil {
			return nil, err
		}
		values[e.Name] = tensor.New(e.Param.Shape...)
		namefill.Fill(e.Name, values[e.Name], kind)
	}
	vars, err := infer.Adopt(net, values)
	if err != nil {
		return nil, err
	}
	r, err := infer.New(net, vars, infer.Options{Threads: threads, Exact: true})
	if err != nil {
		return nil, err
	}
	x := tensor.New(ref.shape[:]...)
	namefill.Fill("input", x, namefill.Input)
	out, err := r.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x})
	return out[infer.Output], err
}

// difference returns the largest difference between stored and computed logits, as
// a share of the largest stored logit.
func (ref *reference) difference(logits *tensor.Tensor) float64 {
	classes := logits.Shape()[1]
	worst, largest := 0.0, 0.0
	for i, row := range ref.logits {
		for k, want := range row {
			got := float64(logits.Float32s()[i*classes+k])
			d := math.Abs(got - float64(want))
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			worst = math.Max(worst, d)
			largest = math.Max(largest, math.Abs(float64(want)))
		}
	}
	return worst / largest
}

// gemm returns the speed of a matrix product in GFLOP/s, the median of several.
func gemm(pool *parallel.Pool) (float64, error) {
	const size = 768
	p, err := conv.PlanMatMul(conv.MatMul{Batch: 1, M: size, N: size, K: size})
	if err != nil {
		return 0, fmt.Errorf("doctor: %w", err)
	}
	a, b, c := make([]float32, size*size), make([]float32, size*size), make([]float32, size*size)
	for i := range a {
		a[i], b[i] = float32(i%7), float32(i%5)
	}
	step := &p.Steps[0]
	workers := make([]conv.Worker, pool.Workers())
	for i := range workers {
		workers[i].Scratch = make([]float32, step.Scratch)
	}
	d := median(func() error {
		pool.Run(step.Tasks, func(task, worker int) { step.Run(&workers[worker], task, conv.Args{X: a, Packed: b, Y: c}) })
		return nil
	})
	return 2 * size * size * size / d.took.Seconds() / 1e9, d.err
}

// speed returns the images per second of a model.
func speed(ctx context.Context, m *resnet.Model) (float64, error) {
	const batch = 16
	in := m.Input()
	x := tensor.NewNHWC(batch, in[0], in[1], in[2])
	d := median(func() error {
		_, _, err := m.Forward(ctx, x)
		return err
	})
	return batch / d.took.Seconds(), d.err
}

type timing struct {
	took time.Duration
	err  error
}

// median returns the median time of f, called for about half a second and
// three times at least, after one call to warm up.
func median(f func() error) timing {
	if err := f(); err != nil {
		return timing{1, err}
	}
	var times []time.Duration
	for begin := time.Now(); len(times) < 3 || time.Since(begin) < 500*time.Millisecond; {
		start := time.Now()
		if err := f(); err != nil {
			return timing{1, err}
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return timing{times[len(times)/2], nil}
}
