package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// saving is set while a command runs that saves what it has done when it is
// interrupted, which may take longer than [grace].
var saving atomic.Bool

// interruption is the cause of a context that a signal or a closed pipe ended.
type interruption struct {
	what string
	code int // exit code: 128 and the number of the signal, as shells count
}

// Error returns what happened.
func (i interruption) Error() string { return i.what }

// errPipe is the interruption by a reader of the output that has gone away.
var errPipe = interruption{"the reader of the output has closed it", exitSignal + int(sigPipe)}

// stopOnSignal returns a context that ends at the first signal that asks the
// program to end. A second one ends the program at once. Signals that were ignored
// when the program started, as nohup does with SIGHUP, stay ignored.
func stopOnSignal(parent context.Context) context.Context {
	ctx, stop := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, s := range stopSignals {
		if !ignored(s) {
			signal.Notify(signals, s)
		}
	}
	ignorePipe()
	go func() {
		s := <-signals
		signal.Stop(signals)
		code := exitFailed
		if n, ok := s.(syscall.Signal); ok {
			code = exitSignal + int(n)
		}
		stop(interruption{"interrupted", code})
	}()
	return ctx
}

// interruptionOf returns why ctx ended.
func interruptionOf(ctx context.Context) interruption {
	var i interruption
	if !errors.As(context.Cause(ctx), &i) {
		i = interruption{"interrupted", exitSignal + int(syscall.SIGINT)}
	}
	return i
}

// output remembers the first error of a writer, because most results are printed
// without a look at the error.
type output struct {
	w      io.Writer
	failed func(error) // called with each error
	err    error       // the first
}

// Write writes to the underlying writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		o.failed(err)
	}
	return n, err
}

// Fd returns the file descriptor of the underlying file, by which package term
// finds out whether it is a terminal.
func (o *output) Fd() uintptr {
	if f, ok := o.w.(*os.File); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}
