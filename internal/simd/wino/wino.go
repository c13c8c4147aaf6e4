// Package wino has the transforms of Winograd's convolutions: of tiles of inputs,
// of products to outputs, of weights, and of the gradients (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308; Winograd,
// "Arithmetic Complexity of Computations", 1980).
//
// A 3x3 convolution of a tile d of t x t inputs, t = m+2, gives m x m outputs,
//
//	y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
//
// where ⊙ multiplies the t*t positions one by one. Summed over channels, each
// position is a separate matrix product, which package gemm computes:
//
//	          pixels              position 0 … t*t-1            pixels
//	inputs    ┌───────┐  [Input]   ┌───────┐  gemm   ┌───────┐  [Output]  ┌─────┐
//	t x t     │ d     │ ─────────> │ v     │ ──────> │ m     │ ─────────> │ y   │ m x m
//	tiles     └───────┘            └───────┘    ↑    └───────┘            └─────┘
//	                                       [Weights]
//
// Every function works on neighboring channels, which lie side by side; positions
// lie pos bytes apart. m is 4 (t = 6) or 2 (t = 4); convolutions of stride 2 have
// their own transforms, from 5x5 inputs to 2x2 outputs. The generic functions
// define the results. The assembly may differ from them in the last digits, except
// for the weights, which have the same bits everywhere.
package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Input transforms c channels of a tile of t x t inputs, v = BᵀdB; see
// winogradInputGeneric. tmp has [ScratchFloats].
func Input(t int, v *float32, pos int, in *InputTile, c int, tmp *float32) {
	done := isa.Vectorized(c)
	switch {
	case done == 0:
	case t == 6:
		winogradInput4Asm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
	default:
		winogradInput2Asm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
	}
	if done < c {
		winogradInputGeneric(t, v, pos, in, done, c)
	}
}

// Output transforms the products of c channels of a tile, AᵀmA, and stores them
// with the epilogue of o; see winogradOutputGeneric. tmp has [ScratchFloats].
func Output(t int, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := isa.Vectorized(c)
	switch {
	case done == 0:
	case t == 6 && o.Res == nil:
		winogradOutput4Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	case t == 6:
		winogradOutput4AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	case o.Res == nil:
		winogradOutput2Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	default:
		winogradOutput2AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	}
	if done < c {
		winogradOutputGeneric(t, m, pos, o, done, c)
	}
}
