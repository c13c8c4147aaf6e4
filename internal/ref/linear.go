package ref

import "github.com/resnet-go/resnet/tensor"

// matmul multiplies matrices or stacks of matrices, transposed where asked.
func matmul(a, b array, transA, transB bool) array {
	r := len(a.shape)
	stack := a.shape[:r-2].Numel()
	m, k := a.shape[r-2], a.shape[r-1]
	aRow, aCol := k, 1
	if transA {
		m, k = k, m
		aRow, aCol = 1, m
	}
	n := b.shape[r-1]
	bRow, bCol := n, 1
	if transB {
		n = b.shape[r-2]
		bRow, bCol = 1, k
	}
	y := zeros(append(append(tensor.Shape{}, a.shape[:r-2]...), m, n)...)
	for s := 0; s < stack; s++ {
		for i := 0; i < m; i++ {
			for j := 0; j < n; j++ {
				sum := 0.0
				for l := 0; l < k; l++ {
					sum += a.f[s*m*k+i*aRow+l*aCol] * b.f[s*k*n+l*bRow+j*bCol]
				}
				y.f[(s*m+i)*n+j] = sum
			}
		}
	}
	return y
}

// addRow adds the row b to each row of y.
func addRow(y, b array) {
	for i := range y.f {
		y.f[i] += b.f[i%len(b.f)]
	}
}
