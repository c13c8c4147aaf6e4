// Package wino has the transforms of Winograd's convolutions: of tiles of inputs,
// of products to outputs, of weights, and of the gradients (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308; Winograd,
// "Arithmetic Complexity of Computations", 1980).
//
// A 3x3 convolution of a tile d of t x t inputs gives m x m outputs,
//
//	y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
//
// where ⊙ multiplies the p*p positions one by one. Summed over channels, each
// position is a separate matrix product, which package gemm computes:
//
//	          pixels              position 0 … p*p-1            pixels
//	inputs    ┌───────┐  [Input]   ┌───────┐  gemm   ┌───────┐  [Output]  ┌─────┐
//	t x t     │ d     │ ─────────> │ v     │ ──────> │ m     │ ─────────> │ y   │ m x m
//	tiles     └───────┘            └───────┘    ↑    └───────┘            └─────┘
//	                                       [Weights]
//
// Every function works on neighboring channels, which lie side by side; positions
// lie pos bytes apart. A [Tile] says how many inputs, positions and outputs there
// are; convolutions of stride 2 have their own transforms, from 5x5 inputs to 2x2
// outputs, and sums of products of bytes have transforms of integers (int.go). The
// generic functions define the results. The assembly may differ from
// them in the last digits, except for the weights, which have the same bits
// everywhere.
package wino

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Tile is a kind of tile of a 3x3 convolution of stride 1, by the edge of its inputs.
type Tile int

// F2, F3 and F4 are F(2x2,3x3), F(3x3,3x3) and F(4x4,3x3), whose inputs reach a
// pixel beyond the outputs on each side. Closed tiles have zeros there: a whole
// picture of up to 2x2 or 3x3 pixels with its padding. They need fewer positions, as
// nothing of the padding is multiplied.
const (
	Closed2 Tile = 2
	Closed3 Tile = 3
	F2      Tile = 4
	F3      Tile = 5
	F4      Tile = 6
)

// Closed reports whether zeros surround the tile.
func (t Tile) Closed() bool { return t <= Closed3 }

// Inputs returns the edge of the tile's inputs.
func (t Tile) Inputs() int { return int(t) }

// Outputs returns the edge of the tile's outputs.
func (t Tile) Outputs() int {
	if t.Closed() {
		return int(t)
	}
	return int(t) - 2
}

// Positions returns the edge of the square of positions of the transforms.
func (t Tile) Positions() int {
	if t.Closed() {
		return int(t) + 1
	}
	return int(t)
}

// String returns the size of the outputs and whether the tile is closed: "4x4",
// "closed 2x2".
func (t Tile) String() string {
	s := fmt.Sprintf("%dx%[1]d", t.Outputs())
	if t.Closed() {
		return "closed " + s
	}
	return s
}

// Input transforms c channels of a tile of inputs, v = BᵀdB; see
// winogradInputGeneric. tmp has [ScratchFloats].
func Input(t Tile, v *float32, pos int, in *InputTile, c int, tmp *float32) {
	done := isa.Vectorized(c)
	if done > 0 {
		rows := &in.Rows[0]
		switch t {
		case Closed2:
			winogradInputClosed2Asm(v, pos, rows, in.Pixel, in.Left, in.Right, done, tmp)
		case Closed3:
			winogradInputClosed3Asm(v, pos, rows, in.Pixel, in.Left, in.Right, done, tmp)
		case F2:
			winogradInput2Asm(v, pos, rows, in.Pixel, in.Left, in.Right, done, tmp)
		case F3:
			winogradInput3Asm(v, pos, rows, in.Pixel, in.Left, in.Right, done, tmp)
		case F4:
			winogradInput4Asm(v, pos, rows, in.Pixel, in.Left, in.Right, done, tmp)
		}
	}
	if done < c {
		winogradInputGeneric(t, v, pos, in, done, c)
	}
}

// Output transforms the products of c channels of a tile, AᵀmA, and stores them
// with the epilogue of o; see winogradOutputGeneric. tmp has [ScratchFloats].
func Output(t Tile, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := isa.Vectorized(c)
	switch {
	case done == 0:
	case o.Res != nil:
		outputAdd(t, m, pos, o, done, tmp)
	default:
		output(t, m, pos, o, done, tmp)
	}
	if done < c {
		winogradOutputGeneric(t, m, pos, o, done, c)
	}
}

// output is [Output] by assembly where nothing is added.
func output(t Tile, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	switch t {
	case Closed2:
		winogradOutputClosed2Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case Closed3:
		winogradOutputClosed3Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F2:
		winogradOutput2Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F3:
		winogradOutput3Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F4:
		winogradOutput4Asm(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	}
}

// outputAdd is [Output] by assembly where o.Res is added.
func outputAdd(t Tile, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	switch t {
	case Closed2:
		winogradOutputClosed2AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case Closed3:
		winogradOutputClosed3AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F2:
		winogradOutput2AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F3:
		winogradOutput3AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case F4:
		winogradOutput4AddAsm(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	}
}
