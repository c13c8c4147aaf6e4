//go:build !linux

package kernel

import "time"

var processStart = time.Now()

// threadTime returns the time since the start of the process.
func threadTime() time.Duration { return time.Since(processStart) }
