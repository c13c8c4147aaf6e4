package vec

import "unsafe"

// PieceLen is the number of float32 values in a piece of a flat element-wise
// kernel: 256 KiB, so that the two or three arrays of a kernel fit in L2, while a piece is long against the cost of handing it to
// a worker.
const PieceLen = 1 << 16

// PieceRows returns how many rows make up a piece of a rows x c array: about
// [PieceLen] values, at least 32 rows so that per-channel partial results stay
// small beside the data. It depends on the shape only, and it is a multiple of
// 8 whenever there is more than one piece.
func PieceRows(rows, c int) int {
	per := max(PieceLen/max(c, 1), 32)
	if rows <= per {
		return max(rows, 1)
	}
	n := Pieces(rows, per)
	return (Pieces(rows, n) + 7) &^ 7
}

// Pieces returns ceil(n/size), the number of pieces of the given size in n.
func Pieces(n, size int) int { return (n + size - 1) / size }

// PieceBounds returns the bounds [lo, hi) of piece i of n items cut into
// pieces of the given size.
func PieceBounds(i, size, n int) (lo, hi int) {
	return i * size, min(i*size+size, n)
}

// maxWide bounds the width that widen makes of a row.
const maxWide = 256

// widen returns k >= 1 such that k rows of c values are best handled as one
// row of k*c values. Rows of few channels would leave vector lanes idle and pay
// the loop overhead for every pixel; seen k at a time they are as long as
// others. The caller repeats its per-channel operands k times; k*c <= maxWide
// if k > 1.
func widen(c, rows int) int {
	if c >= 128 || c <= 0 {
		return 1
	}
	k := (128 + c - 1) / c
	for j := k; j*c <= maxWide; j++ {
		if j*c%16 == 0 {
			k = j
			break
		}
	}
	if rows < 4*k {
		return 1
	}
	return k
}

// aligned returns s from its first element at a multiple of 64 bytes on. Vectors
// of per-channel operands that straddle two cache lines cost half the speed.
func aligned(s []float32) []float32 {
	return s[-(uintptr(unsafe.Pointer(&s[0]))>>2)&15:]
}

// repeat fills dst with copies of row, one after the other.
func repeat(dst, row []float32) {
	for n := copy(dst, row); n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}
