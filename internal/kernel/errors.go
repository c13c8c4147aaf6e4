package kernel

import "strconv"

// panicLen reports a call whose slices do not fit each other: always a bug of
// the caller, since shapes are checked when a graph is built.
func panicLen(got, want int, what string) {
	panic("kernel: " + what + ": length " + strconv.Itoa(got) + ", want " + strconv.Itoa(want))
}

const (
	badOp   = "kernel: unknown operation"
	badRank = "kernel: more than 6 dimensions"
	badArgs = "kernel: arguments do not fit each other"
)
