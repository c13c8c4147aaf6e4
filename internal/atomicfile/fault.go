package atomicfile

import (
	"io"
	"sync/atomic"
)

// fault is called before every step of [Write] and [Keep]; nil but in tests.
var fault atomic.Pointer[func(step string) error]

// Inject makes every step of writing files call f before, until restore is called:
// for tests of what is left after a full disk or a killed process. The steps are
// "create", "write", "chmod", "sync", "close", "rename", "sync folder" and "link". An
// error of f is that of the step, which is then not done; of a write, the first half
// is.
func Inject(f func(step string) error) (restore func()) {
	fault.Store(&f)
	return func() { fault.Store(nil) }
}

func step(name string) error {
	if f := fault.Load(); f != nil {
		return (*f)(name)
	}
	return nil
}

// do does a step that can be made to fail.
func do(name string, f func() error) error {
	if err := step(name); err != nil {
		return err
	}
	return f()
}

// faulty is a file whose writes fail as [Inject] wants it.
type faulty struct{ io.Writer }

func (f faulty) Write(b []byte) (int, error) {
	if err := step("write"); err != nil {
		n, _ := f.Writer.Write(b[:len(b)/2])
		return n, err
	}
	return f.Writer.Write(b)
}
