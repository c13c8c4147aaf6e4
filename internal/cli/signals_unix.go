//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals ask the program to end.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

const sigPipe = syscall.SIGPIPE

// ignorePipe makes writing to a closed pipe an error. Without it, the program
// would be killed before it has saved anything.
func ignorePipe() { signal.Ignore(syscall.SIGPIPE) }

// ignored reports whether a signal was ignored when the program started.
func ignored(s os.Signal) bool { return signal.Ignored(s) }
