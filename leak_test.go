package resnet

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// openFiles returns the number of the process's open files, and false where the
// system does not list them.
func openFiles() (int, bool) {
	files, err := os.ReadDir("/proc/self/fd")
	return len(files), err == nil
}

// Models that nothing refers to any more leave nothing behind: no goroutine, no open
// file, no memory, whatever numbers of threads they were opened with.
func TestOpenLeavesNothing(t *testing.T) {
	opens := 1000
	if os.Getenv("RESNET_NIGHTLY") == "1" {
		opens = 10_000
	}
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	net, err := models.New("resnet8-cifar", models.Classes(4))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	m, err := FromModule(net, Description{Name: "resnet8-cifar", Preprocess: prep}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	var goroutines, files int
	var heap uint64
	peak := 0
	for i := range opens {
		m, err := Open(path, Options{Threads: 1 + i%4})
		if err != nil {
			t.Fatalf("open %d: %v", i, err)
		}
		if i%100 == 0 {
			if _, _, err := m.Forward(context.Background(), tensor.New(1+i%3, 3, 32, 32)); err != nil {
				t.Fatal(err)
			}
		}
		if n, ok := openFiles(); ok {
			peak = max(peak, n)
		}
		if i != 200 && i != opens-1 {
			continue
		}
		m = nil
		for range 3 {
			runtime.GC()
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		n, _ := openFiles()
		if i == 200 {
			goroutines, files, heap = runtime.NumGoroutine(), n, mem.HeapAlloc
			continue
		}
		if g := runtime.NumGoroutine(); g > goroutines {
			t.Errorf("%d goroutines after %d opens, %d after 200", g, opens, goroutines)
		}
		if n > files+2 {
			t.Errorf("%d open files after %d opens, %d after 200", n, opens, files)
		}
		if mem.HeapAlloc > heap+heap/2+4<<20 {
			t.Errorf("%d bytes in use after %d opens, %d after 200", mem.HeapAlloc, opens, heap)
		}
	}
	t.Logf("at most %d open files at a time", peak)
}
