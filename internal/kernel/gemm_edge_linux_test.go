package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"github.com/resnet-go/resnet/internal/parallel"
)

// edges hands out arrays that end right before a page that cannot be touched,
// or, every other one, begin right after one: reading or writing one float
// outside is a fault.
type edges struct {
	t    *testing.T
	free []*edge
	used []*edge
	n    int
}

type edge struct{ mem []byte }

func newEdges(t *testing.T) *edges {
	e := &edges{t: t}
	t.Cleanup(func() {
		for _, m := range append(e.used, e.free...) {
			if err := syscall.Munmap(m.mem); err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

func (e *edges) floats(n int) []float32 {
	page := syscall.Getpagesize()
	size := (n*4 + page - 1) / page * page
	var m *edge
	for i, f := range e.free {
		if len(f.mem) == size+2*page {
			m = f
			e.free = append(e.free[:i], e.free[i+1:]...)
			break
		}
	}
	if m == nil {
		mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			e.t.Fatalf("mmap: %v", err)
		}
		for _, guard := range [][]byte{mem[:page], mem[len(mem)-page:]} {
			if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
				e.t.Fatalf("mprotect: %v", err)
			}
		}
		m = &edge{mem}
	}
	e.used = append(e.used, m)
	e.n++
	inner := m.mem[page : page+size]
	if e.n%2 == 0 {
		inner = inner[size-n*4:]
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(inner))), n)
}

func (e *edges) reset() {
	e.free = append(e.free, e.used...)
	e.used = nil
}

func TestMicroKernelsAtPageEdges(t *testing.T) {
	eachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		e := newEdges(t)
		for range 2 { // so that each array is at both edges
			e.n++
			eachTile(r, func(c tile) {
				c.check(t, r, e.floats)
				e.reset()
			})
		}
	})
}

func TestConvAtPageEdges(t *testing.T) {
	pool := parallel.NewPool(1)
	defer pool.Close()
	eachISA(t, func(t *testing.T) {
		e := newEdges(t)
		for i, c := range convShapes {
			e.n = i
			fill := func(seed uint64, n int) []float32 {
				s := e.floats(n)
				copy(s, randomFloats(seed, n))
				return s
			}
			x, w, y, bias := fill(1, c.XLen()), fill(2, c.WLen()), fill(3, c.YLen()), fill(4, c.K)
			f, err := PlanConvForward(c)
			if err != nil {
				t.Fatal(err)
			}
			kf, kg := c.ForwardPacking(), c.InputGradPacking()
			packed := e.floats(kf.Len())
			for task := range kf.Tasks() {
				kf.Run(task, packed, w)
			}
			scratch, stats := e.floats(f.ScratchFloats() + 1)[:f.ScratchFloats()], e.floats(f.StatsFloats())
			for task := range f.Tasks() {
				f.RunStats(task, scratch, x, packed, bias, nil, y, ActReLU, stats)
			}
			packed = e.floats(kg.Len())
			for task := range kg.Tasks() {
				kg.Run(task, packed, w)
			}
			g, err := PlanConvInputGrad(c)
			if err != nil {
				t.Fatal(err)
			}
			scratch = e.floats(g.ScratchFloats() + 1)[:g.ScratchFloats()]
			for task := range g.Tasks() {
				g.Run(task, scratch, y, packed, x, true)
			}
			h, err := PlanConvWeightGrad(c)
			if err != nil {
				t.Fatal(err)
			}
			scratch = e.floats(h.ScratchFloats() + 1)[:h.ScratchFloats()]
			partial := e.floats(h.PartialFloats() + 1)[:h.PartialFloats()]
			for task := range h.Tasks() {
				h.Run(task, scratch, partial, x, y, w, false)
			}
			e.reset()
		}
	})
}
