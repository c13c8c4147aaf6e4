//go:build !amd64 || purego

package vec

func (q Quant) quantizeVec([]uint8, []float32) int { return 0 }

func (q Quant) dequantizeVec([]float32, []uint8) int { return 0 }

func maxBytesVec(_, _, _ []uint8) int { return 0 }
