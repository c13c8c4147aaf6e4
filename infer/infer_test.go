package infer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// network is a small convolutional network whose Forward calls trace, if that is
// not nil, with the batch size.
type network struct {
	Conv  *nn.Conv2d
	FC    *nn.Linear
	trace func(batch int) `key:"-"`
}

func (m *network) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if m.trace != nil {
		m.trace(x.Shape[0])
	}
	return c.Call(m.FC, c.Flatten(c.Mean(c.ReLU(c.Call(m.Conv, x)), 2, 3)))
}

func newNetwork(t testing.TB) *network {
	t.Helper()
	m := &network{Conv: nn.NewConv2d(3, 8, 3, nn.Padding(1)), FC: nn.NewLinear(8, 4)}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	return m
}

func newRunner(t testing.TB, m nn.Module) *Runner {
	t.Helper()
	r, err := New(m, nil, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pictures(n int) *tensor.Tensor {
	x := tensor.New(n, 3, 6, 5)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i*37%101)/50 - 1
	}
	return x
}

func run(t testing.TB, r *Runner, x *tensor.Tensor) []float32 {
	t.Helper()
	out, err := r.Run(t.Context(), Query{}, Tensors{nn.ImageInput: x})
	if err != nil {
		t.Fatal(err)
	}
	return out[Output].Float32s()
}

// Both layouts of one picture give the same bits, and a runner does not confuse
// them.
func TestLayouts(t *testing.T) {
	r := newRunner(t, newNetwork(t))
	x := pictures(2)
	y, err := x.In(tensor.NHWC)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := run(t, r, x), run(t, r, y); !slices.Equal(a, b) {
		t.Errorf("NCHW gives %v, NHWC %v", a, b)
	}
	p, err := r.Plan(t.Context(), Query{}, Input{x.Shape(), tensor.NHWC})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Bind(p, Tensors{nn.ImageInput: x}); err == nil || !strings.Contains(err.Error(), `input "input" must be laid out as NHWC, is NCHW`) {
		t.Errorf("a plan for NHWC takes NCHW: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	r := newRunner(t, newNetwork(t))
	twice := func(t *nn.Traced) error {
		t.Graph.Output("y", t.Output)
		t.Graph.Output("y", t.Output)
		return nil
	}
	shape := func(t *nn.Traced) error {
		t.Graph.Output("y", t.Graph.Must1(graph.Reshape{Shape: tensor.Shape{7}}, t.Output))
		return nil
	}
	for _, c := range []struct {
		q    Query
		in   Tensors
		want string
	}{
		{Query{}, nil, `no tensor is given for the input "input"`},
		{Query{}, Tensors{nn.ImageInput: pictures(1), "labels": tensor.New(1)}, `no input "labels"; it has input`},
		{Query{}, Tensors{nn.ImageInput: tensor.New(1, 2, 6, 5)}, "Conv2d of"},
		{Query{Build: twice}, Tensors{nn.ImageInput: pictures(1)}, "Query.Name is empty"},
		{Query{Name: "twice", Build: twice}, Tensors{nn.ImageInput: pictures(1)}, `two outputs "y"`},
		{Query{Name: "shape", Build: shape}, Tensors{nn.ImageInput: pictures(1)}, "Reshape of"},
	} {
		if _, err := r.Run(t.Context(), c.q, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q in it", err, c.want)
		}
	}
	if len(r.plans) != 1 { // of the wrong input's name, which is found after compiling
		t.Errorf("%d compilations are kept, want the one that did not fail", len(r.plans))
	}
	if _, err := New(&network{Conv: nn.NewConv2d(3, 8, 3), FC: nn.NewLinear(8, 4)}, nil, Options{}); err == nil || !strings.Contains(err.Error(), `"conv.weight" has no value`) {
		t.Errorf("a network without values: %v", err)
	}
	if _, err := New(newNetwork(t), nil, Options{Threads: -1}); err == nil || !strings.Contains(err.Error(), "Threads is -1") {
		t.Errorf("-1 threads: %v", err)
	}
}

// A query may add inputs, and gradients with respect to any value.
func TestQuery(t *testing.T) {
	r := newRunner(t, newNetwork(t))
	q := Query{Name: "gradient", Build: func(t *nn.Traced) error {
		g := t.Graph
		by, err := g.Input("by", t.Output.Type)
		if err != nil {
			return err
		}
		sum := g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, t.Output, by))
		grads, err := g.Gradients(sum, []*graph.Value{t.Input})
		if err != nil {
			return err
		}
		g.Output("sum", sum)
		g.Output("gradient", grads[0])
		return nil
	}}
	by := tensor.New(1, 4)
	by.Float32s()[2] = 1
	x := pictures(1)
	out, err := r.Run(t.Context(), q, Tensors{nn.ImageInput: x, "by": by})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out["sum"].Float32s()[0], run(t, r, x)[2]; got != want {
		t.Errorf("the sum is %v, want %v", got, want)
	}
	if s := out["gradient"].Shape(); !s.Equal(x.Shape()) {
		t.Errorf("the gradient's shape is %v, want %v", s, x.Shape())
	}
}

// While a new batch size is compiled, calls of a compiled one go on, calls of the
// new one wait for the one compilation, and a caller's context ends its waiting.
func TestCompilingBlocksNobodyElse(t *testing.T) {
	compiling, release := make(chan struct{}), make(chan struct{})
	var traces atomic.Int32
	m := newNetwork(t)
	r := newRunner(t, m)
	want := run(t, r, pictures(1))
	m.trace = func(batch int) {
		if batch == 2 && traces.Add(1) == 1 {
			close(compiling)
			<-release
		}
	}
	var all sync.WaitGroup
	call := func() {
		all.Go(func() {
			if _, err := r.Run(t.Context(), Query{}, Tensors{nn.ImageInput: pictures(2)}); err != nil {
				t.Error(err)
			}
		})
	}
	call()
	<-compiling
	for range 3 {
		call()
	}
	for range 3 {
		if got := run(t, r, pictures(1)); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.Run(ctx, Query{}, Tensors{nn.ImageInput: pictures(2)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that waits gets %v, want its context's error", err)
	}
	close(release)
	all.Wait()
	if n := traces.Load(); n != 1 {
		t.Errorf("the new batch size was traced %d times, want once", n)
	}
	canceled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.Run(canceled, Query{}, Tensors{nn.ImageInput: pictures(1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
}

// A compilation that fails or panics is not kept: callers that wait for it get
// its error, or panic themselves, and the next call compiles again.
func TestFailuresAreNotKept(t *testing.T) {
	gone := errors.New("the disk is gone")
	var fail atomic.Bool
	fail.Store(true)
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m := newNetwork(t)
	values := nn.Values(m)
	w := values["conv.weight"]
	deferred, err := tensor.Deferred(func(dst []float32) error {
		once.Do(func() { close(started); <-release })
		if fail.Load() {
			return gone
		}
		copy(dst, w.Float32s())
		return nil
	}, w.Shape()...)
	if err != nil {
		t.Fatal(err)
	}
	want := run(t, newRunner(t, m), pictures(1))
	values["conv.weight"] = deferred
	vars, err := Adopt(m, values)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(m, vars, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	call := func() {
		all.Go(func() {
			if _, err := r.Run(t.Context(), Query{}, Tensors{nn.ImageInput: pictures(1)}); !errors.Is(err, gone) {
				t.Errorf("the error is %v, want %v", err, gone)
			}
		})
	}
	call()
	<-started
	call()
	close(release)
	all.Wait()
	fail.Store(false)
	if got := run(t, r, pictures(1)); !slices.Equal(got, want) {
		t.Errorf("after the failure: %v, want %v", got, want)
	}

	m.trace = func(int) { panic("a mistake in Forward") }
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic of Forward does not reach the caller")
				}
			}()
			_, _ = r.Run(t.Context(), Query{}, Tensors{nn.ImageInput: pictures(3)})
		}()
	}
	m.trace = nil
	run(t, r, pictures(3))
}

// Calls from many goroutines over several shapes give the bits of one.
func TestConcurrentRuns(t *testing.T) {
	r := newRunner(t, newNetwork(t))
	var want [4][]float32
	for n := range want {
		want[n] = run(t, newRunner(t, newNetwork(t)), pictures(n+1))
	}
	var all sync.WaitGroup
	for range 4 {
		for n := range want {
			all.Go(func() {
				out, err := r.Run(t.Context(), Query{}, Tensors{nn.ImageInput: pictures(n + 1)})
				if err != nil {
					t.Error(err)
				} else if got := out[Output].Float32s(); !slices.Equal(got, want[n]) {
					t.Errorf("batch %d: %v, want %v", n+1, got, want[n])
				}
			})
		}
	}
	all.Wait()
}

// A bound call allocates nothing.
func TestCallAllocatesNothing(t *testing.T) {
	r, err := New(newNetwork(t), nil, Options{Threads: 1}) // more sleep and wake, which the runtime may allocate for
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Bind(t.Context(), Query{}, Tensors{nn.ImageInput: pictures(2)})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(3, func() {
		if err := c.Run(); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations a run", n)
	}
	var _ []engine.Step = c.Steps()
}

// TestPlansAreLimited: the plan that was not used for the longest time makes room
// for another, and results stay the same.
func TestPlansAreLimited(t *testing.T) {
	m := newNetwork(t)
	var traced []int
	m.trace = func(batch int) { traced = append(traced, batch) }
	r, err := New(m, nil, Options{Threads: 1, Plans: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := map[int][]float32{}
	for _, n := range []int{1, 2, 1, 3, 1, 2, 2} { // 3 takes the place of 2, and 2 that of 3
		got := run(t, r, pictures(n))
		if want[n] != nil && !slices.Equal(got, want[n]) {
			t.Errorf("batch %d: %v, before %v", n, got, want[n])
		}
		want[n] = got
		if len(r.plans) > 2 {
			t.Errorf("%d plans", len(r.plans))
		}
	}
	if !slices.Equal(traced, []int{1, 2, 3, 2}) {
		t.Errorf("compiled for batches %v", traced)
	}
	if _, err := New(m, nil, Options{Plans: -1}); err == nil {
		t.Error("-1 plans are no error")
	}
}
