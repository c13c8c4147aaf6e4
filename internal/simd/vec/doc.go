// Package vec has the kernels over arrays: element-wise functions, normalization,
// pooling, softmax, reductions, losses, optimizers, moves between layouts, dropout,
// and conversions to bytes.
//
// Arrays are flat float32 with channels last: rows x c, where a row is a pixel. Three
// loops cover nearly all of them:
//
//	flat   for i := range y            { y[i] = f(x[i]) }
//	rows   for r … for ch …            { y[r][ch] = f(x[r][ch], k[ch]) }
//	sums   for r … for ch …            { out[ch] += f(x[r][ch]) }
//
// Each file has the exported functions, what chooses a kernel, and the generic loops,
// which define the results. vec_amd64.go, vec_arm64.go and vec_noasm.go are generated:
// a function with the suffix Asm calls the kernel of the instruction set in use, and
// is called only where [isa.Lanes] (or a flag of package isa) reports one. The kernels
// do the last elements of an array themselves, except those over channels of pooling,
// which leave to Go what is no whole vector ([isa.Vectorized]).
//
// Work is cut into pieces by shape alone (pieces.go), and the order of each sum is
// part of its kernel's contract, so results do not depend on the number of threads.
package vec
