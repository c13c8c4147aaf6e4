package train

import (
	"fmt"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/term"
)

// logger writes the progress of a run to a Log: on a terminal a bar that is redrawn
// and one line per epoch, elsewhere only lines, in a long epoch one every
// plainEvery.
type logger struct {
	Log
	terminal bool
	width    int
	classes  int // with up to five, the top-5 accuracy is always 100 %

	head        string // "epoch 3/40" or "evaluating"
	done, total int    // samples
	start       time.Time
	from        int           // samples that were done before start
	wait        time.Duration // for data, since start
	drawn       time.Time
}

const (
	drawEvery  = 100 * time.Millisecond
	plainEvery = 30 * time.Second
)

func newLogger(l Log) *logger {
	lg := &logger{Log: l}
	if l.W != nil {
		lg.terminal, lg.width = term.IsTerminal(l.W), term.Width(l.W)
	}
	return lg
}

func (l *logger) send(e Event) {
	if l.Event != nil {
		l.Event(e)
	}
}

func (l *logger) line(text string) {
	if l.W == nil {
		return
	}
	l.clear()
	fmt.Fprintln(l.W, text)
}

func (l *logger) clear() {
	if l.terminal && !l.drawn.IsZero() {
		fmt.Fprint(l.W, "\r\x1b[K")
		l.drawn = time.Time{}
	}
}

func (l *logger) write(kind, text string) {
	l.line(text)
	l.send(Event{Kind: kind, Note: text})
}

func (l *logger) begin(format string, args ...any) { l.write("start", fmt.Sprintf(format, args...)) }
func (l *logger) note(format string, args ...any)  { l.write("note", fmt.Sprintf(format, args...)) }

func (l *logger) count(head string, done, total int) {
	l.head, l.done, l.from, l.total = head, done, done, total
	l.start, l.wait = time.Now(), 0
	l.drawn = time.Time{}
	if !l.terminal {
		l.drawn = l.start
	}
}

func (l *logger) startEpoch(epoch, epochs, done, total int) {
	l.count(fmt.Sprintf("epoch %d/%d", epoch, epochs), done, total)
}

func (l *logger) startEval(total int) { l.count("evaluating", 0, total) }

func (l *logger) endEpoch() {
	if l.W != nil {
		l.clear()
	}
}

// step logs an update; sums are the epoch's figures so far.
func (l *logger) step(r StepRecord, sums Metrics, samples int) {
	l.send(Event{Kind: "step", Step: &r})
	l.advance(samples, fmt.Sprintf("loss %.4f · %s · lr %.3g", sums.Loss, sums.text(), r.LR))
}

// waited adds time spent waiting for data.
func (l *logger) waited(d time.Duration) { l.wait += d }

func (l *logger) evaluated(samples int) { l.advance(samples, "") }

func (l *logger) advance(samples int, figures string) {
	l.done += samples
	if l.W == nil {
		return
	}
	now := time.Now()
	if l.terminal && now.Sub(l.drawn) >= drawEvery {
		l.drawn = now
		fmt.Fprint(l.W, "\r\x1b[K"+fit(l.bar(now, figures), l.width-1))
	} else if !l.terminal && now.Sub(l.drawn) >= plainEvery {
		l.drawn = now
		fmt.Fprintln(l.W, strings.Join(l.parts(now, figures), " · "))
	}
}

func (l *logger) bar(now time.Time, figures string) string {
	width, full := 20, 0
	if l.width < 110 {
		width = 10
	}
	if l.total > 0 {
		full = min(l.done, l.total) * width / l.total
	}
	parts := l.parts(now, figures)
	return parts[0] + " " + strings.Repeat("█", full) + strings.Repeat("░", width-full) + " " + strings.Join(parts[1:], " · ")
}

func (l *logger) parts(now time.Time, figures string) []string {
	parts := []string{l.head, term.Count(l.done) + "/" + term.Count(l.total)}
	elapsed := now.Sub(l.start)
	if n := l.done - l.from; n > 0 && elapsed > 0 {
		left := time.Duration(float64(elapsed) / float64(n) * float64(l.total-l.done))
		parts = append(parts, term.Duration(left)+" left", fmt.Sprintf("%s img/s", term.Count(int(float64(n)/elapsed.Seconds()+0.5))))
	}
	if figures != "" { // last, as a narrow terminal cuts off the end
		parts = append(parts, figures, "data_wait "+share(float64(l.wait)/float64(max(elapsed, 1))))
	}
	return parts
}

// fit cuts a text to a number of columns.
func fit(s string, columns int) string {
	if r := []rune(s); columns > 0 && len(r) > columns {
		return string(r[:columns])
	}
	return s
}

// epoch logs the end of an epoch.
func (l *logger) epoch(r EpochRecord, epochs int, best bool, p pace, left time.Duration) {
	l.line(fmt.Sprintf("epoch %d/%d: ", r.Epoch, epochs) + l.figures(r, epochs, best, p, left))
	l.send(Event{Kind: "epoch", Epoch: &r, DataWait: &p.wait})
}

// partial logs an epoch that is not at its end.
func (l *logger) partial(r EpochRecord, epochs int, best bool, p pace, left time.Duration) {
	l.note("a part of epoch %d/%d: %s", r.Epoch, epochs, l.figures(r, epochs, best, p, left))
}

// figures is what epoch and partial print of a record.
func (l *logger) figures(r EpochRecord, epochs int, best bool, p pace, left time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "train loss %.4f", r.Train.Loss)
	if r.Train.Detection != nil {
		fmt.Fprintf(&b, " (%s)", r.Train.text())
	} else if r.Train.Top5 > 0 || r.Train.PixelAccuracy > 0 || r.Train.Gauge != nil {
		fmt.Fprintf(&b, ", %s", r.Train.text())
	}
	if v := r.Val; v != nil {
		b.WriteString(" · ")
		if v.Detection == nil && v.KNN == nil {
			fmt.Fprintf(&b, "val loss %.4f, ", v.Loss)
		}
		b.WriteString(v.text())
		if v.Detection == nil && v.MAP == 0 && v.PixelAccuracy == 0 && v.KNN == nil && l.classes > 5 {
			fmt.Fprintf(&b, ", top-5 %s", term.Percent(v.Top5))
		}
		if best {
			b.WriteString(" (best)")
		}
	}
	fmt.Fprintf(&b, " · lr %.3g · %s img/s · data_wait %s", r.LR, term.Count(int(p.rate+0.5)), share(p.wait))
	if r.Epoch < epochs {
		fmt.Fprintf(&b, " · %s left", term.Duration(left))
	}
	return b.String()
}

// share writes a share of time in percent.
func share(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }
