package isa

import "strconv"

// The checks panic on arguments that do not fit each other. That is always a bug of
// the caller, since shapes are checked when a graph is built and plans are made, and
// the kernels below do not look again.

func panicLen(got int, want, what string) {
	panic("isa: the length of " + what + " is " + strconv.Itoa(got) + ", must be " + want)
}

// CheckLen panics unless got is want.
func CheckLen(got, want int, what string) {
	if got != want {
		panicLen(got, strconv.Itoa(want), what)
	}
}

// CheckFloats panics unless len(s) is want.
func CheckFloats(what string, s []float32, want int) { CheckLen(len(s), want, what) }

// CheckMin panics if s is shorter than want.
func CheckMin(what string, s []float32, want int) {
	if len(s) < want {
		panicLen(len(s), "at least "+strconv.Itoa(want), what)
	}
}

// CheckMinBytes panics if scratch memory of got bytes is shorter than want.
func CheckMinBytes(got, want int) {
	if got < want {
		panicLen(got, "at least "+strconv.Itoa(want), "scratch")
	}
}
