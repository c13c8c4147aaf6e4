//go:build race

package imaging

// With the race detector, sync.Pool forgets some of what it is given.
const poolsForget = true
