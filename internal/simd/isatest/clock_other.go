//go:build !linux

package isatest

import "time"

var processStart = time.Now()

// ThreadTime returns the time since the start of the process.
func ThreadTime() time.Duration { return time.Since(processStart) }
