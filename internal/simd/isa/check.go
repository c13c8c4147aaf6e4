package isa

import "strconv"

// panicLen reports a call whose slices do not fit each other: always a bug of
// the caller, since shapes are checked when a graph is built.
func panicLen(got, want int, what string) {
	panic("isa: " + what + ": length " + strconv.Itoa(got) + ", want " + strconv.Itoa(want))
}

// CheckLen panics unless two lengths that must agree do.
func CheckLen(got, want int, what string) {
	if got != want {
		panicLen(got, want, what)
	}
}

func CheckMinBytes(got, want int) {
	if got < want {
		panicLen(got, want, "scratch")
	}
}
