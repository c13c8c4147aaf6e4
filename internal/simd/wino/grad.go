package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// OutputGrad transforms c channels of a tile of 4x4 gradients of outputs, AdAᵀ;
// see winogradOutputGradGeneric. tmp has [ScratchFloats].
func OutputGrad(v *float32, pos int, in *GradTile, c int, tmp *float32) {
	done := isa.Vectorized(c)
	if done > 0 {
		winogradOutputGradAsm(v, pos, &in.Rows[0], in.Pixel, in.Width, done, tmp)
	}
	if done < c {
		winogradOutputGradGeneric(v, pos, in, done, c)
	}
}

// WeightGrad transforms n columns of gradients of transformed weights, GᵀuG; see
// winogradWeightGradGeneric. tmp has [ScratchFloats].
func WeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	done := isa.Vectorized(n)
	if done > 0 {
		winogradWeightGradAsm(dw, tap, u, pos, done, tmp)
	}
	if done < n {
		winogradWeightGradGeneric(dw, tap, u, pos, done, n)
	}
}
