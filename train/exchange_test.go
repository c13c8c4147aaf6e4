package train

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
)

// hall is an exchange between goroutines.
type hall struct {
	mu      sync.Mutex
	all     *sync.Cond
	size    int
	waiting int
	round   int
	left    bool // a rank has ended
	bytes   [][]byte
	floats  [][][]float32
}

func newHall(size int) *hall {
	h := &hall{size: size, bytes: make([][]byte, size), floats: make([][][]float32, size)}
	h.all = sync.NewCond(&h.mu)
	return h
}

var errLeft = errors.New("a rank has ended")

// meet waits until all ranks have called it.
func (h *hall) meet(before func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	before()
	round := h.round
	if h.waiting++; h.waiting == h.size {
		h.waiting = 0
		h.round++
		h.all.Broadcast()
	}
	for h.round == round && !h.left {
		h.all.Wait()
	}
	if h.round == round {
		return errLeft
	}
	return nil
}

// leave ends the exchange for all.
func (h *hall) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = true
	h.all.Broadcast()
}

type seat struct {
	*hall
	rank int
	// fail, if not nil, is called before each exchange; its error ends the rank.
	fail func() error
}

func (s *seat) Rank() int { return s.rank }
func (s *seat) Size() int { return s.size }

func (s *seat) Share(own []byte) ([][]byte, error) {
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return nil, err
		}
	}
	if err := s.meet(func() { s.bytes[s.rank] = own }); err != nil {
		return nil, err
	}
	got := append([][]byte(nil), s.bytes...)
	return got, s.meet(func() {})
}

func (s *seat) AllToAll(send, recv [][]float32) error {
	if err := s.meet(func() { s.floats[s.rank] = send }); err != nil {
		return err
	}
	// What is received may be part of what others still send.
	copies := make([][]float32, s.size)
	for r := range recv {
		copies[r] = append([]float32(nil), s.floats[r][s.rank]...)
		if len(copies[r]) != len(recv[r]) {
			panic("lengths differ")
		}
	}
	if err := s.meet(func() {}); err != nil {
		return err
	}
	for r := range recv {
		copy(recv[r], copies[r])
	}
	return nil
}

// ranks trains with a number of ranks and returns their results and errors.
func ranks(t testing.TB, n int, config func(rank int) Config, prepare func(*seat)) ([]*Result, []error) {
	t.Helper()
	h := newHall(n)
	results, errs := make([]*Result, n), make([]error, n)
	var wg sync.WaitGroup
	for r := range n {
		cfg := config(r)
		x := &seat{hall: h, rank: r}
		if prepare != nil {
			prepare(x)
		}
		cfg.Exchange = x
		wg.Go(func() {
			defer h.leave()
			results[r], errs[r] = Run(context.Background(), cfg)
		})
	}
	wg.Wait()
	return results, errs
}

var shardSet = []string{"shards=8", "epochs=2"}

// Any number of ranks trains to the bits of one process.
func TestRanksAgree(t *testing.T) {
	one := filepath.Join(t.TempDir(), "one")
	want := mustRun(t, toyConfig(t, one, shardSet...))
	for _, n := range []int{1, 2, 3, 4} {
		out := filepath.Join(t.TempDir(), "ranks")
		got, errs := ranks(t, n, func(int) Config {
			cfg := toyConfig(t, out, shardSet...)
			cfg.Threads = 1
			return cfg
		}, nil)
		for r, err := range errs {
			if err != nil {
				t.Fatalf("rank %d of %d: %v", r, n, err)
			}
			if got[r].Last.Train != want.Last.Train || *got[r].Last.Val != *want.Last.Val {
				t.Errorf("rank %d of %d: %+v, want %+v", r, n, got[r].Last, want.Last)
			}
		}
		sameFiles(t, one, out, LastFile, BestFile, RecipeFile)
	}
}
