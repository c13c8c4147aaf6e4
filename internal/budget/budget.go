// Package budget bounds the memory that a file or an option may ask for. It is asked
// before the memory is allocated, so that a small hostile file, or a wrong size, is
// an error instead of the end of the process.
package budget

import (
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// What is read from a file, or computed for one picture of the size that a file
// asks for, may take Base bytes plus Times the size of the file.
const (
	Base  = 1 << 30
	Times = 64
)

// Operator is how many bytes an operator of a graph takes while the graph is compiled, at
// most: measured with long graphs of operators that compute next to nothing.
const Operator = 3 << 10

// Error is a demand for more memory than may be used.
type Error struct {
	What  string // that needs it
	Need  int64  // bytes
	Limit int64  // bytes
	Why   string // of the limit
}

// Error names both numbers, and the flag that raises the limit.
func (e *Error) Error() string {
	return fmt.Sprintf("%s needs %s of memory, more than the limit of %s (%s): raise it by --max-memory, if this is wanted", e.What, text(e.Need), text(e.Limit), e.Why)
}

func text(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

var chosen atomic.Int64

// Set sets the limit of this process for everything, in bytes. 0 restores the usual
// limits.
func Set(bytes int64) { chosen.Store(max(0, bytes)) }

// File returns an error if what a file of size bytes asks for is more than
// Base + Times*size bytes or than the machine has. The size of what does not come
// from a file is negative: only the machine's memory counts.
func File(what string, need, size int64) error {
	limit, why := machineLimit(), "the memory of this machine"
	if n := chosen.Load(); n > 0 {
		limit, why = n, "set by --max-memory"
	} else if size >= 0 && size < (math.MaxInt64-Base)/Times && Base+Times*size < limit {
		limit, why = Base+Times*size, fmt.Sprintf("1 GiB and %d times the file's %s", Times, text(size))
	}
	if need <= limit {
		return nil
	}
	return &Error{What: what, Need: need, Limit: limit, Why: why}
}

// Machine returns an error if need bytes are more than the machine has, or than was
// set.
func Machine(what string, need int64) error { return File(what, need, -1) }

// Total returns the bytes of memory that the process can use: the machine's, or
// those that its container or GOMEMLIMIT allows. It is 0 if that is not known.
func Total() int64 { return total() }

var total = sync.OnceValue(func() int64 {
	n := int64(math.MaxInt64)
	if m := physical(); m > 0 {
		n = m
	}
	if m := container(); m > 0 {
		n = min(n, m)
	}
	if m := debug.SetMemoryLimit(-1); m > 0 {
		n = min(n, m)
	}
	if n == math.MaxInt64 {
		return 0
	}
	return n
})

// machineLimit returns the bytes that one demand may have.
func machineLimit() int64 {
	if n := Total(); n > 0 {
		return n
	}
	return math.MaxInt64
}
