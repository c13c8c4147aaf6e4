// Package tuning measures on this machine which algorithm computes each
// convolution of a network in the least time, and keeps the times in a file
// that later programs read.
//
// The engine chooses by a model of the machine otherwise, which is fitted to
// one processor.
package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// format names the form of the file.
const format = "resnet tuning 1"

// maxFile is the longest file that is read, in bytes: some 100,000 records.
const maxFile = 64 << 20

// Machine is what times hold for.
type Machine struct {
	CPU     string `json:"cpu"`
	ISA     string `json:"isa"`     // instruction set in use
	Kernels int    `json:"kernels"` // version of this program's kernels
}

// Here returns this machine, running this program.
func Here() Machine { return Machine{CPU: cpu.Model(), ISA: isa.ISA(), Kernels: conv.Version} }

// Record is what a file keeps of one convolution on one machine.
type Record struct {
	Machine
	Threads  int                `json:"threads"`
	Geometry string             `json:"geometry"` // see engine.Step
	MS       map[string]float64 `json:"ms"`       // by algorithm
}

type key struct {
	Machine
	threads  int
	geometry string
}

// Cache holds measured times. It is an [engine.Tuning] for this machine and
// safe for concurrent use.
type Cache struct {
	path string
	here Machine

	mu    sync.RWMutex
	times map[key]map[string]float64 // of other machines, too
}

// DefaultPath returns the file that the command resnet keeps times in:
// resnet/tuning.json in the user's folder for caches.
func DefaultPath() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("tuning: no folder for caches: %w", err)
	}
	return filepath.Join(dir, "resnet", "tuning.json"), nil
}

// Open reads the file at path. The cache can always be used: where the file is
// missing it is empty, where the file cannot be read or is no such file it is
// empty and warning is the reason; [Cache.Save] then replaces it.
func Open(path string) (c *Cache, warning error) {
	c = &Cache{path: path, here: Here()}
	c.times, warning = read(path)
	if c.times == nil {
		c.times = make(map[key]map[string]float64)
	}
	return c, warning
}

// Path returns the path of the cache's file.
func (c *Cache) Path() string { return c.path }

// Times returns what was measured on this machine, see engine.Tuning.
func (c *Cache) Times(geometry string, threads int) map[string]float64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.times[key{c.here, threads, geometry}]
}

// Len returns the number of records of this machine.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := 0
	for k := range c.times {
		if k.Machine == c.here {
			n++
		}
	}
	return n
}

// Record keeps the milliseconds that a convolution of this geometry took by
// each algorithm, instead of what was kept before. It is in the file after
// [Cache.Save].
func (c *Cache) Record(geometry string, threads int, ms map[string]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[key{c.here, threads, geometry}] = ms
}

// Save writes the file as a whole, making its folder if need be. What other
// programs have added since Open stays; of the same convolution, ours does. Two
// programs that save in the same instant leave a good file, but maybe without
// what one of them measured.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return fmt.Errorf("tuning: %w", err)
	}
	theirs, err := read(c.path)
	if err != nil {
		theirs = nil // Open has warned of it, or it was spoilt since: replaced
	}
	for k, ms := range theirs {
		if _, ok := c.times[k]; !ok {
			c.times[k] = ms
		}
	}
	if err := atomicfile.Write(c.path, c.write); err != nil {
		return fmt.Errorf("tuning: %w", err)
	}
	return nil
}

// file is the file's form.
type file struct {
	Format  string   `json:"format"`
	Records []Record `json:"records"`
}

// write writes one record a line, sorted.
func (c *Cache) write(w io.Writer) error {
	lines := make([]string, 0, len(c.times))
	for k, ms := range c.times {
		b, err := json.Marshal(Record{k.Machine, k.threads, k.geometry, ms})
		if err != nil {
			return err
		}
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(w, "{\"format\": %q, \"records\": [\n%s\n]}\n", format, strings.Join(lines, ",\n"))
	return err
}

// read returns the times of a file; none and no error if there is no file.
func read(path string) (map[key]map[string]float64, error) {
	b, err := limitread.File(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var times map[key]map[string]float64
	if err == nil {
		times, err = parse(b)
	}
	if err != nil {
		return nil, fmt.Errorf("tuning: %s is left aside: %w", path, err)
	}
	return times, nil
}

func parse(b []byte) (map[key]map[string]float64, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Format != format {
		return nil, fmt.Errorf("its format is %q, not %q", f.Format, format)
	}
	times := make(map[key]map[string]float64, len(f.Records))
	for i, r := range f.Records {
		if r.Threads < 1 || r.Geometry == "" || len(r.MS) == 0 {
			return nil, fmt.Errorf("record %d is not one of a convolution", i)
		}
		for name, ms := range r.MS {
			if !(ms > 0) || math.IsInf(ms, 0) {
				return nil, fmt.Errorf("record %d: %g ms by %q", i, ms, name)
			}
		}
		times[key{r.Machine, r.Threads, r.Geometry}] = r.MS
	}
	return times, nil
}
