package serve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// held is what a process holds.
type held struct {
	heap, resident    int64 // bytes; resident is 0 where it is not known
	goroutines, files int   // files is 0 where the system does not list them
}

// holds returns what the process holds when background work has ended.
func holds(t *testing.T) held {
	t.Helper()
	h := held{heap: int64(settled(t)), resident: residentBytes(), goroutines: runtime.NumGoroutine()}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.files = len(files)
	}
	return h
}

// leaked returns what has grown by a hundredth of a model in each cycle, or by a goroutine
// or file in every tenth one; "" is nothing. A bound is half of that. The resident memory
// goes up and down by several models, so that it takes many cycles to judge it.
func leaked(before, after held, cycles int, model int64) string {
	bound := int64(cycles) * model / 100 / 2
	switch {
	case after.heap > before.heap+bound:
		return fmt.Sprintf("the heap grew from %d to %d bytes", before.heap, after.heap)
	case before.resident > 0 && cycles >= 1000 && after.resident > before.resident+bound:
		return fmt.Sprintf("the resident memory grew from %d to %d bytes", before.resident, after.resident)
	case after.goroutines > before.goroutines+max(cycles/20, 2):
		return fmt.Sprintf("there are %d goroutines, were %d", after.goroutines, before.goroutines)
	case after.files > before.files+max(cycles/20, 2):
		return fmt.Sprintf("there are %d open files, were %d", after.files, before.files)
	}
	return ""
}

// What a model has is given back when it is unloaded: in cycles of loading, a request
// and unloading, memory, goroutines and open files stay as they are. A model that leaves a
// hundredth of itself behind each time is found.
func TestUnloadReturnsMemory(t *testing.T) {
	cycles, few := 15, 10
	if nightly() {
		cycles = 1000
	}
	prep := data.Preprocess{Channels: 3, Width: 32, Height: 32, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	m, err := resnet.New("wrn-16-4", 10, resnet.Options{Weights: resnet.WeightsOnly{Preprocess: &prep}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	m = nil
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept [][]byte // by the model that leaks
	leak := false
	src := Source{Name: "wide", Open: func(context.Context) (*resnet.Model, error) {
		if leak {
			kept = append(kept, make([]byte, info.Size()/100))
		}
		return resnet.Open(path, resnet.Options{Batch: 8, Threads: 1})
	}}
	s, web := start(t, Options{Models: []Source{src}, Control: true})
	file := picturePNG(t, 1, 8, 8)
	run := func(n int) (before, after held) {
		before = holds(t)
		for range n {
			if err := s.unloadModel("wide"); err != nil {
				t.Fatal(err)
			}
			if err := s.loadModel(t.Context(), "wide", false); err != nil {
				t.Fatal(err)
			}
			ask(t, "POST", web.URL+"/v1/classify", "", file, 200, nil)
		}
		return before, holds(t)
	}
	run(5)
	var before, after held
	for turn := 1; ; turn++ {
		began := time.Now()
		before, after = run(cycles)
		t.Logf("%d cycles of a model of %d bytes in %v: %+v, then %+v", cycles, info.Size(), time.Since(began), before, after)
		what := leaked(before, after, cycles, info.Size())
		if what == "" {
			break
		}
		if turn == 3 { // what the tests before have left ends once, a leak does not
			t.Errorf("%s in %d cycles of a model of %d bytes", what, cycles, info.Size())
			break
		}
	}
	leak = true
	if before, after = run(few); leaked(before, after, few, info.Size()) == "" {
		t.Errorf("a hundredth of the model leaked in each of %d cycles, and was not found: %+v, then %+v", few, before, after)
	}
	runtime.KeepAlive(kept)
}
