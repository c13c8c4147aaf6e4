package train

import (
	"strings"
	"testing"
	"time"
)

func TestProgressBar(t *testing.T) {
	var out strings.Builder
	l := &logger{Log: Log{W: &out}, terminal: true, width: 120}
	l.startEpoch(3, 40, 1000, 50000)
	l.start = l.start.Add(-2 * time.Second)
	l.step(StepRecord{LR: 0.1}, Metrics{Loss: 1.25, Top1: 0.5}, 24000)
	line := out.String()
	for _, want := range []string{"\r\x1b[K", "epoch 3/40 ██████████░░░░░░░░░░ 25,000/50,000", "loss 1.2500", "top-1 50.00%", "lr 0.1", "img/s", "2.1s left"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %q", want, line)
		}
	}
	if n := len([]rune(strings.TrimPrefix(line, "\r\x1b[K"))); n > 119 {
		t.Errorf("the line has %d columns of 120", n)
	}
	out.Reset()
	l.step(StepRecord{}, Metrics{}, 100)
	if out.Len() > 0 {
		t.Errorf("drawn again at once: %q", out.String())
	}
	l.note("a note")
	if got := out.String(); got != "\r\x1b[Ka note\n" {
		t.Errorf("a note over the bar is %q", got)
	}
	// A narrow terminal gets a cut line, not a second one.
	l.width, l.drawn = 30, time.Time{}
	out.Reset()
	l.step(StepRecord{}, Metrics{}, 100)
	if n := len([]rune(strings.TrimPrefix(out.String(), "\r\x1b[K"))); n != 29 {
		t.Errorf("%d columns of 30", n)
	}
}

func TestPlainLinesAreRare(t *testing.T) {
	var out strings.Builder
	l := &logger{Log: Log{W: &out}}
	l.startEpoch(1, 2, 0, 1000)
	l.step(StepRecord{}, Metrics{}, 10)
	if out.Len() > 0 {
		t.Errorf("a line at once: %q", out.String())
	}
	l.drawn = l.drawn.Add(-plainEvery)
	l.step(StepRecord{}, Metrics{}, 10)
	if got := out.String(); !strings.HasPrefix(got, "epoch 1/2 · 20/1,000 · ") || strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\r█") {
		t.Errorf("%q", got)
	}
}
