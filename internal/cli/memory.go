package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// memoryFlag is a number of bytes, such as 8GiB, 500MB or 1000000.
type memoryFlag int64

var memoryUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1}, {"", 1},
}

// String returns the number of bytes, "" for none.
func (f *memoryFlag) String() string {
	if *f == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*f), 10)
}

// Type is the placeholder in the help.
func (f *memoryFlag) Type() string { return "size" }

// Set parses a size.
func (f *memoryFlag) Set(text string) error {
	low := strings.ToLower(strings.TrimSpace(text))
	for _, u := range memoryUnits {
		number, ok := strings.CutSuffix(low, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n*u.bytes >= 1) || n*u.bytes >= math.MaxInt64 {
			break
		}
		*f = memoryFlag(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 8GiB, 500MB or 1000000", text)
}
