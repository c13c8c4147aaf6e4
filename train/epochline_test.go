package train

import (
	"strings"
	"testing"
)

// The columns of the line of an epoch stay when a figure reaches 100 %.
func TestEpochLineKeepsItsColumns(t *testing.T) {
	for _, c := range []struct {
		classes int
		top5    float64
		want    bool
	}{{10, 0.99, true}, {10, 1, true}, {10, 0, true}, {5, 1, false}, {2, 1, false}} {
		var out strings.Builder
		l := &logger{Log: Log{W: &out}, classes: c.classes}
		l.epoch(EpochRecord{Epoch: 1, Val: &Metrics{Top1: 0.5, Top5: c.top5}}, 2, false, pace{}, 0)
		if got := strings.Contains(out.String(), "top-5"); got != c.want {
			t.Errorf("%d classes, top-5 of %g: %s", c.classes, c.top5, out.String())
		}
	}
}
