// Package membound measures, in tests and fuzz targets, how much memory a
// parser of untrusted bytes asks for.
package membound

import "runtime"

// Slack is the memory that a parser may take even for the smallest input: buffers
// of the decompressors, tables.
const Slack = 4 << 20

// Over calls parse and returns the bytes that it allocated, garbage included,
// and whether they are more than base plus times the size of its input.
// Allocations of other goroutines at the same time are counted too.
func Over(base, times, size int, parse func()) (used uint64, over bool) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parse()
	runtime.ReadMemStats(&after)
	used = after.TotalAlloc - before.TotalAlloc
	return used, used > uint64(base)+uint64(times)*uint64(size)
}
