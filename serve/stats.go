package serve

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// stage is a part of a request that is measured.
type stage int

const (
	stageQueue   stage = iota // waiting for the model
	stageInput                // decoding and preparing pictures
	stageCompute              // the network
	stageOutput               // from the numbers to an answer
	stages
)

// stageNames are the stages in metrics.
var stageNames = [stages]string{"queue", "input", "compute", "output"}

// tally is a number of events and the time that they took.
type tally struct {
	Count uint64 `json:"count"`
	Nanos uint64 `json:"ns"`
}

func (t *tally) add(d time.Duration) {
	t.Count++
	t.Nanos += uint64(max(d, 0))
}

// stats counts what one version of a model does.
type stats struct {
	metrics modelMetrics
	log     *slog.Logger

	mu         sync.Mutex
	inferences uint64 // rows
	executions uint64 // batches
	success    tally
	failure    tally
	stage      [stages]tally
	batches    map[int]*tally // by rows
	dropped    uint64         // cancelled before they were computed
	rejected   uint64         // the queue was full
	last       time.Time
	perRow     time.Duration // moving average of computing a row

	recent [1024]recent // a ring
	next   int
}

// recent is a request that was answered, for the live view.
type recent struct {
	at   time.Time
	took time.Duration
}

func newStats(m modelMetrics, log *slog.Logger) *stats {
	return &stats{metrics: m, log: log, batches: map[int]*tally{}}
}

// batch counts a batch that was computed.
func (s *stats) batch(rows int, took time.Duration) {
	s.metrics.batchSize.Observe(float64(rows))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executions++
	s.inferences += uint64(rows)
	if s.batches[rows] == nil {
		s.batches[rows] = new(tally)
	}
	s.batches[rows].add(took)
	each := took / time.Duration(rows)
	if s.perRow == 0 {
		s.perRow = each
	}
	s.perRow += (each - s.perRow) / 8
}

// drop counts jobs that were cancelled before they were computed.
func (s *stats) drop(n int) {
	if n == 0 {
		return
	}
	s.metrics.dropped.Add(float64(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped += uint64(n)
}

// reject counts a request for which the queue had no room, and returns when to try
// again: when half of the pictures in it are done.
func (s *stats) reject(inside int) time.Duration {
	s.metrics.rejected.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected++
	return min(max(s.perRow*time.Duration(inside)/2, time.Second), time.Minute)
}

// answered counts a request and its stages.
func (s *stats) answered(total time.Duration, parts [stages]time.Duration, err error) {
	if err == nil {
		for i, d := range parts {
			s.metrics.stage[i].Observe(d.Seconds())
		}
		s.metrics.total.Observe(total.Seconds())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if err != nil {
		s.failure.add(total)
		return
	}
	s.success.add(total)
	for i, d := range parts {
		s.stage[i].add(d)
	}
	s.recent[s.next%len(s.recent)] = recent{s.last, total}
	s.next++
}

func (s *stats) panicked(p any, stack []byte) {
	s.log.Error("a computation panicked", slog.Any("panic", p), slog.String("stack", string(stack)))
}

// live is how a model does at the moment: over the last 10 seconds, at most the last
// 1024 requests.
type live struct {
	PerSecond float64 `json:"requests_per_s"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Mean      float64 `json:"mean_batch"` // rows per batch, since the start
}

const liveWindow = 10 * time.Second

func (s *stats) live() live {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var took []time.Duration
	oldest := now
	for _, r := range s.recent {
		if !r.at.IsZero() && now.Sub(r.at) < liveWindow {
			took = append(took, r.took)
			if r.at.Before(oldest) {
				oldest = r.at
			}
		}
	}
	l := live{}
	if s.executions > 0 {
		l.Mean = float64(s.inferences) / float64(s.executions)
	}
	if len(took) == 0 {
		return l
	}
	slices.Sort(took)
	window := liveWindow
	if len(took) == len(s.recent) { // the ring holds less than the window
		window = max(now.Sub(oldest), time.Millisecond)
	}
	at := func(q float64) float64 {
		return float64(took[min(int(q*float64(len(took))), len(took)-1)]) / 1e6
	}
	l.PerSecond, l.P50, l.P90, l.P99 = float64(len(took))/window.Seconds(), at(0.5), at(0.9), at(0.99)
	return l
}

// batchTally is the batches of one size.
type batchTally struct {
	Rows int
	tally
}

// snapshot is the statistics at one moment.
type snapshot struct {
	inferences, executions, dropped, rejected uint64
	success, failure                          tally
	stage                                     [stages]tally
	batches                                   []batchTally // by size
	last                                      time.Time
}

func (s *stats) snapshot() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := snapshot{inferences: s.inferences, executions: s.executions, dropped: s.dropped, rejected: s.rejected,
		success: s.success, failure: s.failure, stage: s.stage, last: s.last}
	for _, rows := range slices.Sorted(maps.Keys(s.batches)) {
		out.batches = append(out.batches, batchTally{rows, *s.batches[rows]})
	}
	return out
}
