package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the columns of the terminal w, or 80 if w is none.
func Width(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// Progress shows how far a counted job is: a line that is drawn again in place
// on a terminal, and nothing elsewhere, where a log would only grow. A nil
// Progress shows nothing. It may be used by many goroutines at once.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	what  string
	total int
	bytes bool // they are bytes
	done  int
	start time.Time
	drawn time.Time
}

// NewProgress returns the progress of total things called what, shown on w; nil
// if w is no terminal or quiet is set.
func NewProgress(w io.Writer, quiet bool, what string, total int) *Progress {
	if quiet || !IsTerminal(w) {
		return nil
	}
	return &Progress{w: w, what: what, total: total, start: time.Now()}
}

// NewByteProgress is [NewProgress] for bytes; a total of 0 is unknown.
func NewByteProgress(w io.Writer, quiet bool, what string, total int64) *Progress {
	p := NewProgress(w, quiet, what, int(total))
	if p != nil {
		p.bytes = true
	}
	return p
}

// Add counts n more things as done.
func (p *Progress) Add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if now := time.Now(); now.Sub(p.drawn) > 100*time.Millisecond {
		p.drawn = now
		fmt.Fprint(p.w, "\r\x1b[K"+p.line(now))
	}
}

// Close removes the line.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *Progress) line(now time.Time) string {
	const width = 20
	share := 0.0
	if p.total > 0 {
		share = min(float64(p.done)/float64(p.total), 1)
	}
	full := int(share * width)
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	count := Count[int]
	if p.bytes {
		count = Bytes[int]
	}
	if p.total <= 0 {
		return fmt.Sprintf("%s %s", p.what, count(p.done))
	}
	s := fmt.Sprintf("%s %s %s/%s", bar, p.what, count(p.done), count(p.total))
	if elapsed := now.Sub(p.start); p.done > 0 && elapsed > time.Second {
		rate := float64(p.done) / elapsed.Seconds()
		left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second))
		s += fmt.Sprintf(" · %s/s · %s left", count(int(rate)), Duration(left))
	}
	return s
}
