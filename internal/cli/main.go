// Package cli is the command line of the program resnet: one file per command.
// It is apart from the program so that a nested module can build one with more engines.
package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/resnet-go/resnet/train"
)

// grace is how long a command may take to end after a signal. A command that
// waits for input, or for a slow disk, would not end by itself.
const grace = 1500 * time.Millisecond

// Ranks connects the processes of a training on several machines.
type Ranks interface {
	train.Exchange
	// Close ends the connection, when all ranks are done.
	Close() error
}

// Main executes the command line of the process and exits.
func Main() { os.Exit(MainOn(Engines{})) }

// MainOn executes the command line of a process that has more engines, and returns the
// exit code.
func MainOn(engines Engines) int {
	ctx := stopOnSignal(context.Background())
	code := make(chan int, 1)
	go func() { code <- runOn(ctx, engines, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }()
	select {
	case c := <-code:
		return c
	case <-ctx.Done():
	}
	if saving.Load() { // it ends after its step; a second signal ends it at once
		return <-code
	}
	select {
	case c := <-code:
		return c
	case <-time.After(grace):
		stopped := interruptionOf(ctx)
		fmt.Fprintf(os.Stderr, "resnet: %s\n", stopped)
		return stopped.code
	}
}
