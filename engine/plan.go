package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/tensor"
)

// step is one phase of the plan: numbered tasks that may run side by side.
// All tasks of a step end before the next step starts.
type step struct {
	name    string // module path and operator, for profiles
	op      string
	tasks   int
	run     func(r *run, task, worker int)
	reads   []*buf
	writes  []*buf
	inPlace struct{ out, in *buf } // out may take over in's memory
	flops   int64
	gives   int // the number of the output, from 1, that it copies to the caller; 0 for others

	algorithm, geometry string // see Step
	candidates          []string
}

// Plan is a compiled graph: steps over one arena of memory. A plan that
// updates no variables may be run by any number of goroutines at once; one
// that does, by one at a time, and Run sees to it.
type Plan struct {
	inputs  []Port
	outputs []Port
	pool    *parallel.Pool

	steps   []*step
	bufs    []*buf
	parts   []*buf // the bufs that are parts of other bufs
	arena   int    // floats
	scratch int    // floats per worker
	winners []int
	doubles int
	ports   int         // the number of inputs
	ints    []intValues // int64 values that are no inputs; their slots follow the inputs'
	feeds   []feed
	results []result
	writes  bool // updates variables
	writing sync.Mutex

	remote *onDevice // nil if the steps are run here

	arenas *arenas
	keep   []*memory.Block // of the constants

	mu   sync.Mutex
	idle []*run
}

// feed is how an input reaches the plan.
type feed struct {
	buf *buf // nil for an int64 input
}

// result is where an output lies after a run.
type result struct {
	buf    *buf // nil for an int64 output
	layout layout
	ints   int // the slot of an int64 output
}

// run is the memory of one run.
type run struct {
	plan    *Plan
	arena   arena
	b       [][]float32 // by buf.id
	i64     [][]int64   // by slot: the inputs, then Plan.ints
	scratch [][]float32 // by worker
	workers []conv.Worker
	winners [][]uint16
	f64     []float64
	tasks   []func(task, worker int) // by step
	out     []*tensor.Tensor         // the caller's, nil entries for what is not wanted

	mu  sync.Mutex
	err error
}

// fail makes Run return err after the current step.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (p *Plan) newRun() *run {
	r := &run{plan: p, f64: make([]float64, p.doubles), out: make([]*tensor.Tensor, len(p.outputs))}
	r.b = make([][]float32, len(p.bufs))
	for _, b := range p.bufs {
		if b.kind == constant || b.kind == stored {
			r.b[b.id] = b.data
		}
	}
	r.i64 = make([][]int64, len(p.inputs), len(p.inputs)+len(p.ints))
	for _, v := range p.ints {
		data := v.fixed
		if data == nil {
			data = make([]int64, v.size)
		}
		r.i64 = append(r.i64, data)
	}
	r.scratch = make([][]float32, p.pool.Workers())
	r.workers = make([]conv.Worker, p.pool.Workers())
	for _, n := range p.winners {
		r.winners = append(r.winners, make([]uint16, n))
	}
	for _, s := range p.steps {
		r.tasks = append(r.tasks, func(task, worker int) { s.run(r, task, worker) })
	}
	return r
}

func (p *Plan) take() *run {
	r := p.idleRun()
	r.use(p.arenas.take(p.runFloats()))
	return r
}

func (p *Plan) idleRun() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		r := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return r
	}
	return p.newRun()
}

// give keeps the run and its memory for the next run: at most one per worker,
// since more would only be the memory of a past burst.
func (p *Plan) give(r *run) {
	p.arenas.give(r.arena, p.pool.Workers())
	r.err = nil
	clear(r.out)
	for i, f := range p.feeds {
		if f.buf != nil {
			r.b[f.buf.id] = nil
		}
		r.i64[i] = nil
	}
	for _, b := range p.parts {
		r.b[b.id] = nil // it may be a part of an input
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < p.pool.Workers() {
		p.idle = append(p.idle, r)
	}
}

// Inputs lists what Run takes, in order.
func (p *Plan) Inputs() []Port { return p.inputs }

// Outputs lists what Run gives, in order.
func (p *Plan) Outputs() []Port { return p.outputs }

// ArenaBytes returns the memory that one run needs for its values, besides the
// variables and the packed weights. Plans over one [Vars] share it, while they
// do not run at the same time. It is 0 on a [Device], which does not tell.
func (p *Plan) ArenaBytes() int {
	if p.remote != nil {
		return 0
	}
	return 4 * (p.arena + p.scratch*p.pool.Workers())
}

// Run computes the plan once. in follows [Plan.Inputs]; out follows
// [Plan.Outputs] and is written into, a nil entry being skipped; a nil out
// skips all. In the steady state it allocates nothing.
func (p *Plan) Run(in, out []*tensor.Tensor) error { return p.run(in, out, nil, nil) }

// Stream is [Plan.Run] that calls ready with the number of each output as soon as out
// holds it, in the order in which the plan computes them. The plan waits for ready, and
// goes on when it returns. On a [Device] all outputs are ready at the end.
func (p *Plan) Stream(in, out []*tensor.Tensor, ready func(output int)) error {
	return p.run(in, out, nil, ready)
}

// Step describes one step of a plan.
type Step struct {
	Name      string // module path, operator and phase
	Op        string // the operator's name
	Algorithm string // of a convolution: one of [Algorithms], with " bf16" behind it for bfloat16 products; "" for other steps
	Geometry  string // of a convolution's steps, such as "n1 56x56x64 3x3 k128 s2 p1"; not of its gradients'
	// Candidates are the algorithms that could compute the convolution, its own
	// among them; see [Tuning].
	Candidates []string
	FLOPs      int64 // of the direct algorithm; 0 where the step is bound by memory
	Bytes      int64 // of the values that it reads and writes, each once
}

// Steps lists the steps of the plan in their order; there are none on a [Device].
func (p *Plan) Steps() []Step {
	list := make([]Step, len(p.steps))
	for i, s := range p.steps {
		list[i] = s.describe()
	}
	return list
}

func (s *step) describe() Step {
	d := Step{Name: s.name, Op: s.op, Algorithm: s.algorithm, Geometry: s.geometry, Candidates: s.candidates, FLOPs: s.flops}
	for _, list := range [][]*buf{s.reads, s.writes} {
		for _, b := range list {
			d.Bytes += 4 * int64(b.size)
		}
	}
	return d
}

// StepTime is the time that one step of a plan took.
type StepTime struct {
	Step
	Time time.Duration
}

// Profile is [Plan.Run] with the time of each step.
func (p *Plan) Profile(in, out []*tensor.Tensor) ([]StepTime, error) {
	times := make([]StepTime, len(p.steps))
	err := p.run(in, out, times, nil)
	return times, err
}

func (p *Plan) run(in, out []*tensor.Tensor, times []StepTime, ready func(output int)) error {
	if err := p.Check(in, out); err != nil {
		return err
	}
	if p.writes {
		p.writing.Lock()
		defer p.writing.Unlock()
	}
	if p.remote != nil {
		err := p.remote.run(in, out)
		for i := range p.outputs {
			if err == nil && ready != nil {
				ready(i)
			}
		}
		return err
	}
	r := p.take()
	defer p.give(r)
	for i, f := range p.feeds {
		if f.buf == nil {
			r.i64[i] = in[i].Int64s()
		} else {
			r.b[f.buf.id] = in[i].Float32s()
		}
	}
	r.setParts()
	copy(r.out, out)
	for i, s := range p.steps {
		var start time.Time
		if times != nil {
			start = time.Now()
		}
		for w := range r.workers {
			r.workers[w].Begin()
		}
		p.pool.Run(s.tasks, r.tasks[i])
		if times != nil {
			times[i] = StepTime{s.describe(), time.Since(start)}
		}
		if r.err != nil {
			return r.err
		}
		if s.gives > 0 && ready != nil {
			ready(s.gives - 1)
		}
	}
	return nil
}

// Check returns the error with which [Plan.Run] refuses tensors that are not those
// of the plan's ports: it names the port, and what differs of type, shape or
// layout.
func (p *Plan) Check(in, out []*tensor.Tensor) error {
	if len(in) != len(p.inputs) {
		return fmt.Errorf("engine: want %d inputs, got %d", len(p.inputs), len(in))
	}
	if out != nil && len(out) != len(p.outputs) {
		return fmt.Errorf("engine: want room for %d outputs, got %d", len(p.outputs), len(out))
	}
	for i, t := range in {
		if err := checkTensor("input", p.inputs[i], t); err != nil {
			return err
		}
	}
	for i, t := range out {
		if t == nil {
			continue
		}
		if err := checkTensor("output", p.outputs[i], t); err != nil {
			return err
		}
	}
	return nil
}

func checkTensor(what string, port Port, t *tensor.Tensor) error {
	if t == nil {
		return fmt.Errorf("engine: %s %q is missing", what, port.Name)
	}
	if t.DType() != port.DType || !t.Shape().Equal(port.Shape) {
		return fmt.Errorf("engine: %s %q must be %s, is %v", what, port.Name, port.Type, t)
	}
	if t.Layout() != port.Layout {
		return fmt.Errorf("engine: %s %q must be laid out as %v, is %v", what, port.Name, port.Layout, t.Layout())
	}
	return nil
}
