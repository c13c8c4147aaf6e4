package cpu

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestCrowds(t *testing.T) {
	for _, c := range []struct {
		core     Core
		n, pitch int
		want     bool
	}{
		{Core{}, 28, 4096, false}, // not known
		{Zen4, 14, 4096, true},
		{Zen4, 8, 4096, false},
		{Zen4, 14, 8192, true},
		{Zen4, 14, 2048, false}, // 7 of them in each of two sets
		{Zen4, 28, 2048, true},
		{Zen4, 14, 4096 + 64, false},
		{Zen4, 14, 3 * 1024, false},
		{Zen4, 14, 4, false}, // neighboring floats
		{Core{L1Bytes: 48 << 10, L1Ways: 12}, 12, 4096, false},
		{Core{L1Bytes: 48 << 10, L1Ways: 12}, 13, 4096, true},
	} {
		if got := c.core.Crowds(c.n, c.pitch); got != c.want {
			t.Errorf("%+v: Crowds(%d, %d) is %v", c.core, c.n, c.pitch, got)
		}
	}
}

// What CPUID says is what Linux has read there.
func TestDetectedCaches(t *testing.T) {
	if Detected == (Core{}) {
		t.Skipf("nothing is read on %s", runtime.GOARCH)
	}
	dirs, _ := filepath.Glob("/sys/devices/system/cpu/cpu0/cache/index*")
	if len(dirs) == 0 {
		t.Skip("this system does not list the caches of processor 0")
	}
	read := func(dir, name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skip(err)
		}
		return strings.TrimSpace(string(b))
	}
	number := func(s string) int {
		n, err := strconv.Atoi(strings.TrimSuffix(s, "K"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var want Core
	for _, dir := range dirs {
		if read(dir, "type") == "Data" && read(dir, "level") == "1" {
			want.L1Bytes, want.L1Ways = number(read(dir, "size"))<<10, number(read(dir, "ways_of_associativity"))
		}
	}
	got := Detected
	got.HalfWidth = false
	if got != want {
		t.Errorf("CPUID says %+v, Linux %+v", got, want)
	}
}
