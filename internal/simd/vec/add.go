package vec

// AddTo adds src to dst, of the same length.
func AddTo(dst, src []float32) { axpy(dst, src[:len(dst)], 1) }
