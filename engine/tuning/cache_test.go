package tuning

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/engine"
)

var _ engine.Tuning = (*Cache)(nil)

func opened(t *testing.T, path string) *Cache {
	t.Helper()
	c, warning := Open(path)
	if warning != nil {
		t.Fatal(warning)
	}
	return c
}

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "tuning.json")
	c := opened(t, path)
	if c.Len() != 0 || c.Times("a", 1) != nil {
		t.Error("an empty cache has times")
	}
	want := map[string]float64{"direct": 0.25, "winograd 4x4": 0.125}
	c.Record("a", 2, want)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}

	// Another processor, instruction set or version of the kernels is another machine.
	for _, change := range []func(*Machine){
		func(m *Machine) { m.CPU += " II" }, func(m *Machine) { m.ISA += "x" }, func(m *Machine) { m.Kernels++ },
	} {
		other := opened(t, path)
		change(&other.here)
		if other.Times("a", 2) != nil || other.Len() != 0 {
			t.Errorf("%+v gets the times of %+v", other.here, c.here)
		}
		other.Record("a", 2, map[string]float64{"direct": 1})
		if err := other.Save(); err != nil {
			t.Fatal(err)
		}
	}
	again := opened(t, path)
	if got := again.Times("a", 2); !maps.Equal(got, want) {
		t.Errorf("read %v, wrote %v", got, want)
	}
	if again.Times("a", 1) != nil || again.Times("b", 2) != nil {
		t.Error("times of other threads or another geometry")
	}
	if again.Len() != 1 || len(again.times) != 4 {
		t.Errorf("%d records here, %d in all", again.Len(), len(again.times))
	}
}

// Files that are none of ours are left aside with a warning, and replaced.
func TestCacheOfBadFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuning.json")
	for name, text := range map[string]string{
		"empty":    "",
		"no JSON":  "resnet tuning 1",
		"cut":      `{"format": "resnet tuning 1", "records": [{"cpu":`,
		"foreign":  `{"name": "something", "version": 3}`,
		"later":    `{"format": "resnet tuning 2", "records": []}`,
		"no shape": `{"format": "resnet tuning 1", "records": [{"threads": 1, "ms": {"direct": 1}}]}`,
		"no times": `{"format": "resnet tuning 1", "records": [{"threads": 1, "geometry": "a"}]}`,
		"zero":     `{"format": "resnet tuning 1", "records": [{"threads": 1, "geometry": "a", "ms": {"direct": 0}}]}`,
		"list":     `[1, 2, 3]`,
		"binary":   "\x00\xff\x00\xff",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, warning := Open(path)
		if warning == nil || !strings.Contains(warning.Error(), path) {
			t.Errorf("%s: warning %v", name, warning)
		}
		c.Record("a", 1, map[string]float64{"direct": 1})
		if err := c.Save(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := opened(t, path).Len(); n != 1 {
			t.Errorf("%s: %d records after saving", name, n)
		}
	}
	c, warning := Open(t.TempDir())
	if warning == nil {
		t.Error("a folder is read without a warning")
	}
	if err := c.Save(); err == nil {
		t.Error("a folder is written as a file")
	}
}

// Any number of programs may save at once: the file is whole at each moment,
// and what one adds later is added to what the others have.
func TestCacheOfSeveralProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuning.json")
	var wg sync.WaitGroup
	for i := range 8 {
		c := opened(t, path)
		wg.Go(func() {
			for k := range 10 {
				c.Record(strings.Repeat("x", 1+i), 1+k, map[string]float64{"direct": 1})
				if err := c.Save(); err != nil {
					t.Error(err)
				}
				if _, warning := Open(path); warning != nil {
					t.Error(warning)
				}
			}
		})
	}
	wg.Wait()
	a, b := opened(t, path), opened(t, path)
	for i, c := range []*Cache{a, b} {
		c.Record("later", 1+i, map[string]float64{"direct": 1})
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
	}
	all := opened(t, path)
	if all.Times("later", 1) == nil || all.Times("later", 2) == nil {
		t.Error("a program that saved later took away what another had saved")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format": "resnet tuning 1", "records": [{"cpu":"a","isa":"avx2","kernels":1,"threads":2,"geometry":"n1","ms":{"direct":0.5}}]}`))
	f.Add([]byte(`{"format": "resnet tuning 1", "records": [{"threads":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		times, err := parse(b)
		if err != nil {
			return
		}
		c := &Cache{times: times}
		var text strings.Builder
		if err := c.write(&text); err != nil {
			t.Fatal(err)
		}
		again, err := parse([]byte(text.String()))
		if err != nil || len(again) != len(times) {
			t.Errorf("%d records become %d: %v", len(times), len(again), err)
		}
	})
}
