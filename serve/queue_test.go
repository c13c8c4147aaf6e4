package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/membound"
	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// slow is a computation that waits until it is let go, and counts what it computes.
type slow struct {
	gate    chan struct{}
	entered atomic.Int64 // calls that have begun
	mu      sync.Mutex
	batches []int
}

func (s *slow) compute(rows []float32, n int) (logits, features []float32, err error) {
	s.entered.Add(1)
	<-s.gate
	s.mu.Lock()
	s.batches = append(s.batches, n)
	s.mu.Unlock()
	return slices.Clone(rows), slices.Clone(rows), nil
}

func testQueue(t *testing.T, largest int, delay time.Duration) (*queue, *slow) {
	t.Helper()
	s := &slow{gate: make(chan struct{}, 100)}
	m := newServerMetrics(&Server{decoders: newDecoders(1, 1)})
	q := newQueue(largest, delay, newStats(m.model("m", "1"), nil), s.compute)
	t.Cleanup(func() { close(s.gate); q.close() })
	return q, s
}

// busy starts a job and waits until it is being computed.
func (s *slow) busy(t *testing.T, q *queue) *sync.WaitGroup {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.do(&job{ctx: context.Background(), rows: []float32{1, 2}, n: 1}); err != nil {
			t.Error(err)
		}
	})
	until(t, func() bool { return s.entered.Load() == 1 })
	return &wg
}

// waiting starts n jobs of one row each and waits until k are in the queue.
func waiting(t *testing.T, q *queue, ctx context.Context, n, k int) (wg *sync.WaitGroup, errs []error) {
	t.Helper()
	wg, errs = new(sync.WaitGroup), make([]error, n)
	for i := range n {
		wg.Go(func() {
			j := &job{ctx: ctx, rows: []float32{float32(i), float32(-i)}, n: 1}
			if errs[i] = q.do(j); errs[i] == nil && (j.logits[0] != float32(i) || len(j.logits) != 2 || j.features[1] != float32(-i)) {
				errs[i] = fmt.Errorf("job %d got %v", i, j.logits)
			}
		})
	}
	until(t, func() bool { return q.length() == k })
	return wg, errs
}

func until(t testing.TB, done func() bool) {
	t.Helper()
	for range 5000 {
		if done() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("what a test waits for did not happen in 5 seconds")
}

// While one batch is computed, what comes waits and is computed together, up to the
// largest batch; everyone gets the answer to their own rows.
func TestWhatWaitsIsComputedTogether(t *testing.T) {
	q, s := testQueue(t, 4, 0)
	first := s.busy(t, q)
	rest, errs := waiting(t, q, t.Context(), 10, 10)
	for range 4 {
		s.gate <- struct{}{}
	}
	first.Wait()
	rest.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if !slices.Equal(s.batches, []int{1, 4, 4, 2}) {
		t.Errorf("batches of %v", s.batches)
	}
}

// With a delay, a batch that is not full waits for more.
func TestDelayFillsBatches(t *testing.T) {
	q, s := testQueue(t, 3, time.Hour)
	for range 2 {
		s.gate <- struct{}{}
	}
	two, _ := waiting(t, q, t.Context(), 2, 2)
	one, _ := waiting(t, q, t.Context(), 1, 0) // which fills it
	two.Wait()
	one.Wait()
	if !slices.Equal(s.batches, []int{3}) {
		t.Errorf("batches of %v", s.batches)
	}
	q.delay = 20 * time.Millisecond
	began := time.Now()
	if err := q.do(&job{ctx: t.Context(), rows: []float32{1, 2}, n: 1}); err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("a lonely job ended after %v: %v", time.Since(began), err)
	}
}

// Jobs that are cancelled while they wait are not computed.
func TestCancelledJobsAreNotComputed(t *testing.T) {
	q, s := testQueue(t, 8, 0)
	first := s.busy(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	gone, errs := waiting(t, q, ctx, 5, 5)
	stay, _ := waiting(t, q, t.Context(), 2, 7)
	cancel()
	gone.Wait()
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled job has the error %v", err)
		}
	}
	s.gate <- struct{}{}
	s.gate <- struct{}{}
	first.Wait()
	stay.Wait()
	if !slices.Equal(s.batches, []int{1, 2}) {
		t.Errorf("batches of %v", s.batches)
	}
	if n := q.stats.snapshot().dropped; n != 5 {
		t.Errorf("%d dropped jobs are counted, must be 5", n)
	}
}

// A computation of its own is not mixed with batches, a panic is an error of its jobs
// alone, and jobs in the queue are finished when it closes.
func TestRunsPanicsAndTheEnd(t *testing.T) {
	s := &slow{gate: make(chan struct{}, 100)}
	m := newServerMetrics(&Server{decoders: newDecoders(1, 1)})
	q := newQueue(8, 0, newStats(m.model("m", "1"), quiet()), s.compute)
	first := s.busy(t, q)
	ran := 0
	var wg sync.WaitGroup
	var panicked error
	wg.Go(func() { q.do(&job{ctx: t.Context(), n: 1, run: func(context.Context) error { ran++; return nil }}) })
	until(t, func() bool { return q.length() == 1 })
	wg.Go(func() {
		panicked = q.do(&job{ctx: t.Context(), n: 1, run: func(context.Context) error { panic("broken") }})
	})
	until(t, func() bool { return q.length() == 2 })
	rest, errs := waiting(t, q, t.Context(), 3, 5)
	wg.Go(q.close)
	until(t, func() bool { q.mu.Lock(); defer q.mu.Unlock(); return q.closed })
	if err := q.do(&job{ctx: t.Context(), rows: []float32{1}, n: 1}); !errors.Is(err, errRetired) {
		t.Errorf("a closed queue takes a job: %v", err)
	}
	close(s.gate)
	first.Wait()
	rest.Wait()
	wg.Wait()
	if err := errors.Join(errs...); err != nil || ran != 1 || asAPI(panicked).status != 500 {
		t.Errorf("%v; %d runs; the panic gives %v", err, ran, panicked)
	}
	if !slices.Equal(s.batches, []int{1, 3}) {
		t.Errorf("batches of %v", s.batches)
	}
}

// A full queue rejects with 429 and Retry-After, and takes requests again later.
func TestFullQueue(t *testing.T) {
	s, web := start(t, Options{MaxQueue: 3})
	in, err := s.hold("clothes", "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.drop()
	leave, err := in.admit(3)
	if err != nil {
		t.Fatal(err)
	}
	file := picturePNG(t, 1, 8, 8)
	h := ask(t, "POST", web.URL+"/v1/classify", "", file, 429, nil)
	if h.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	leave()
	ask(t, "POST", web.URL+"/v1/classify", "", file, 200, nil)
	body, kind := form(t, map[string][]byte{"a": file, "b": file, "c": file, "d": file})
	ask(t, "POST", web.URL+"/v1/classify", kind, body, 413, nil) // it never fits
	if n := in.admitted.Load(); n != 0 {
		t.Errorf("%d pictures are still in progress", n)
	}
}

// Reloads under load: every request is answered, and by a model that was ready.
func TestReloadsLoseNoRequest(t *testing.T) {
	src := Source{Name: "clothes", Open: func(context.Context) (*resnet.Model, error) { return resnet.Open("", resnet.Options{Batch: 8}) }}
	s, web := start(t, Options{Models: []Source{src}, Control: true, MaxQueue: 1000})
	var files [][]byte
	var want [][]resnet.Prediction
	for i := range 6 {
		files = append(files, picturePNG(t, i, 30, 20))
		p, err := embedded().Classify(t.Context(), resnet.Encoded("x", files[i]))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	var stop atomic.Bool
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := i; !stop.Load(); k++ {
				var got answer
				ask(t, "POST", web.URL+"/v1/classify", "", files[k%len(files)], 200, &got)
				same(t, got.Results[0].Predictions, want[k%len(files)])
				answered.Add(1)
			}
		})
	}
	for range 8 {
		ask(t, "POST", web.URL+"/v2/repository/models/clothes/load", "", nil, 200, nil)
	}
	stop.Store(true)
	wg.Wait()
	if answered.Load() < 20 {
		t.Errorf("only %d requests were answered", answered.Load())
	}
	for _, v := range s.versions() {
		if v.instance.admitted.Load() != 0 {
			t.Errorf("%d pictures are still in progress", v.instance.admitted.Load())
		}
	}
}

// A version that is unloaded is 503, one that is not named goes to the highest that is
// ready, and a failed reload keeps the old model.
func TestVersions(t *testing.T) {
	broken := false
	open := func(context.Context) (*resnet.Model, error) {
		if broken {
			return nil, errors.New("the disk is gone")
		}
		return embedded(), nil
	}
	s, web := start(t, Options{Control: true, Models: []Source{{Name: "m", Version: "1", Open: open}, {Name: "m", Version: "10", Open: open}, {Name: "m", Version: "9", Open: open, Idle: true}}})
	file := picturePNG(t, 1, 8, 8)
	version := func(query string, status int) string {
		var got answer
		ask(t, "POST", web.URL+"/v1/classify?"+query, "", file, status, &got)
		return got.Version
	}
	if v := version("", 200); v != "10" {
		t.Errorf("version %s answers", v)
	}
	if v := version("model=m&version=1", 200); v != "1" {
		t.Errorf("version %s answers", v)
	}
	version("model=m&version=9", 503)
	version("model=m&version=2", 404)
	for _, v := range s.models["m"] {
		if v.Version == "10" {
			s.unload(v)
		}
	}
	if v := version("", 200); v != "1" {
		t.Errorf("version %s answers", v)
	}
	if !s.Ready() {
		t.Error("the server is not ready, though a version is")
	}
	broken = true
	ask(t, "POST", web.URL+"/v2/repository/models/m/load", "", nil, 400, nil)
	if v := version("model=m&version=1", 200); v != "1" {
		t.Errorf("version %s answers", v)
	}
	ask(t, "POST", web.URL+"/v2/repository/models/m/unload", "", nil, 200, nil)
	version("", 503)
	ask(t, "GET", web.URL+"/v2/models/m/ready", "", nil, 503, nil)
	var index []indexed
	ask(t, "POST", web.URL+"/v2/repository/index", "", []byte(`{"ready":true}`), 200, &index)
	if len(index) != 0 {
		t.Errorf("%+v", index)
	}
	ask(t, "POST", web.URL+"/v2/repository/index", "", nil, 200, &index)
	if len(index) != 3 || index[0].Version != "10" || index[0].State != "UNAVAILABLE" || index[0].Reason != "unloaded" {
		t.Errorf("%+v", index)
	}
}

// A file that has changed is opened again, and one that cannot be keeps the old model.
func TestWatch(t *testing.T) {
	var opened, changed atomic.Int64
	src := Source{Name: "m", Open: func(context.Context) (*resnet.Model, error) {
		if opened.Add(1) == 2 {
			return nil, errors.New("half a file")
		}
		return embedded(), nil
	}, Changed: func() bool { return changed.Swap(0) != 0 }}
	s, web := start(t, Options{Models: []Source{src}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Watch(ctx, time.Millisecond) })
	changed.Store(1)
	until(t, func() bool { return opened.Load() == 2 })
	ask(t, "POST", web.URL+"/v1/classify", "", picturePNG(t, 1, 8, 8), 200, nil)
	old := s.versions()[0].instance
	changed.Store(1)
	until(t, func() bool { return s.versions()[0].instance != old })
	cancel()
	wg.Wait()
}

// Bodies share a budget of memory, and requests beyond it are told to come again.
func TestBodiesShareMemory(t *testing.T) {
	s, web := start(t, Options{MaxBody: 1 << 20, MaxBodies: 1 << 20})
	if !s.bodies.take(1 << 20) {
		t.Fatal("the budget is not free")
	}
	ask(t, "POST", web.URL+"/v1/classify", "", picturePNG(t, 1, 8, 8), 429, nil)
	_, err := grpcCall[pb.ModelReadyRequest, pb.ModelReadyResponse](t.Context(), web.URL, grpcService+"ModelReady", &pb.ModelReadyRequest{Name: "clothes"})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("gRPC's error is %v", err)
	}
	s.bodies.give(1 << 20)
	ask(t, "POST", web.URL+"/v1/classify", "", picturePNG(t, 1, 8, 8), 200, nil)
	if s.bodies.used != 0 {
		t.Errorf("%d bytes are not given back", s.bodies.used)
	}
}

// Reading takes no more memory than what arrives asks for, whatever is announced.
func TestReadAll(t *testing.T) {
	for _, c := range []struct{ size, expected, limit int64 }{{0, 0, 10}, {10, 10, 10}, {10, 0, 10}, {5000, 5000, 1 << 20}, {3 << 20, 3 << 20, 4 << 20}, {3 << 20, 0, 4 << 20}, {10, 1 << 40, 1 << 41}, {3 << 20, 7, 4 << 20}} {
		var reserved int64
		content := bytes.Repeat([]byte("x"), int(c.size))
		var got []byte
		var err error
		used, over := membound.Over(2<<20, 5, int(c.size), func() {
			got, err = readAll(bytes.NewReader(content), c.expected, c.limit, func(n int64) error { reserved += n; return nil })
		})
		if err != nil || !bytes.Equal(got, content) || reserved < c.size || over {
			t.Errorf("%+v: %d bytes, %d reserved, %d used: %v", c, len(got), reserved, used, err)
		}
	}
	if _, err := readAll(bytes.NewReader(make([]byte, 11)), 0, 10, func(int64) error { return nil }); err == nil {
		t.Error("11 bytes fit into 10")
	}
	if _, err := readAll(io.MultiReader(bytes.NewReader(make([]byte, 5)), bytes.NewReader(make([]byte, 6))), 11, 10, func(int64) error { return nil }); err == nil {
		t.Error("11 bytes fit into 10")
	}
	if _, err := readAll(http.NoBody, 0, 10, func(int64) error { return errRetired }); !errors.Is(err, errRetired) {
		t.Error("an exhausted budget is not an error")
	}
}
