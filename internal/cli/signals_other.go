//go:build !unix

package cli

import (
	"os"
	"syscall"
)

// stopSignals ask the program to end.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

const sigPipe = syscall.Signal(13)

// ignorePipe does nothing: only Unix kills a program that writes to a closed pipe.
func ignorePipe() {}

// ignored returns false: WebAssembly has no signals, and Windows none that are
// ignored from the start.
func ignored(os.Signal) bool { return false }
