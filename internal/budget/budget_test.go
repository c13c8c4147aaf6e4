package budget

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	defer Set(0)
	if Total() < 64<<20 {
		t.Errorf("this machine has %d bytes", Total())
	}
	for _, c := range []struct {
		need, size, set int64
		want            string // part of the error
	}{
		{need: 1, size: 0},
		{need: Base, size: 0},
		{need: Base + 1, size: 0, want: "64 times"},
		{need: math.MaxInt64, size: -1, want: "this machine"},
		{need: math.MaxInt64, size: math.MaxInt64 / 2, want: "this machine"},
		{need: math.MaxInt64, size: 1, set: math.MaxInt64},
		{need: 2 << 20, size: 1, set: 1 << 20, want: "2 MiB of memory, more than the limit of 1 MiB (set by --max-memory)"},
	} {
		Set(c.set)
		err := File("the thing", c.need, c.size)
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--max-memory") || !strings.Contains(err.Error(), "the thing needs") {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
