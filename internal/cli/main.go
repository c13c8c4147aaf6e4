// Package cli is the command line of the program resnet: one file per command.
// It is apart from the program so that a nested module can build one with more engines.
package cli

import (
	"context"
	"fmt"
	"os"
	"time"
)

// grace is how long a command may take to end after a signal. A command that
// waits for input, or for a slow disk, would not end by itself.
const grace = 1500 * time.Millisecond

// Main executes the command line of the process and exits.
func Main() {
	ctx := stopOnSignal(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }()
	select {
	case c := <-code:
		os.Exit(c)
	case <-ctx.Done():
	}
	if saving.Load() { // it ends after its step; a second signal ends it at once
		os.Exit(<-code)
	}
	select {
	case c := <-code:
		os.Exit(c)
	case <-time.After(grace):
		stopped := interruptionOf(ctx)
		fmt.Fprintf(os.Stderr, "resnet: %s\n", stopped)
		os.Exit(stopped.code)
	}
}
