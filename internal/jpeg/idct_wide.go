package jpeg

// wideRow is set in the rows of a block with coefficients out of range.
const wideRow = 1 << 8

// outOfRange reports whether a coefficient is by far more than samples of 8 bits
// give, which only those of damaged data are.
func outOfRange(v int32) bool {
	const most = 4096
	return uint32(v+most) > 2*most
}

// coefficient returns a dequantized coefficient, of 16 bits as in libjpeg-turbo,
// and wideRow if it is out of range.
func coefficient(v, q int32) (int32, uint) {
	v = int32(int16(v * q))
	if outOfRange(v) {
		return v, wideRow
	}
	return v, 0
}

// The constants of libjpeg's transform, in 13 bits.
const (
	fix0298 = 2446  // 0.298631336
	fix0390 = 3196  // 0.390180644
	fix0541 = 4433  // 0.541196100
	fix1175 = 9633  // 1.175875602
	fix1501 = 12299 // 1.501321110
	fix1961 = 16069 // 1.961570560
	fix2053 = 16819 // 2.053119869
	fix3072 = 25172 // 3.072711026
)

// idct8Wide is the transform as libjpeg-turbo's vector code computes it (that of
// jidctint.c): sums of two coefficients wrap around in 16 bits and what is kept
// between columns and rows saturates, which decides what damaged data look like.
func idct8Wide(b *block, rows uint, dst []uint8, stride int) {
	var ws block
	for x := range 8 {
		if rows&^wideRow == 1 {
			for y := range 8 {
				ws[8*y+x] = int32(int16(b[x] << passBits))
			}
			continue
		}
		var in [8]int32
		for y := range in {
			in[y] = int32(int16(b[8*y+x]))
		}
		eight(&in, constBits-passBits)
		for y, v := range in {
			ws[8*y+x] = v
		}
	}
	for y := range 8 {
		row := (*[8]int32)(ws[8*y:])
		eight(row, constBits+passBits+3)
		for x, v := range row {
			dst[y*stride+x] = clip(v)
		}
	}
}

// eight is one dimension of idct8Wide.
func eight(v *[8]int32, bits uint) {
	wrap := func(a, b int32) int32 { return int32(int16(a + b)) }
	e0, e1 := wrap(v[0], v[4])<<constBits, wrap(v[0], -v[4])<<constBits
	e3 := v[2]*(fix0541+fix0765) + v[6]*fix0541
	e2 := v[2]*fix0541 + v[6]*(fix0541-fix1847)
	t0, t3, t1, t2 := e0+e3, e0-e3, e1+e2, e1-e2

	s, t := wrap(v[3], v[7]), wrap(v[1], v[5])
	z3, z4 := s*(fix1175-fix1961)+t*fix1175, s*fix1175+t*(fix1175-fix0390)
	o0 := v[7]*(fix0298-fix0899) - v[1]*fix0899 + z3
	o1 := v[5]*(fix2053-fix2562) - v[3]*fix2562 + z4
	o2 := v[3]*(fix3072-fix2562) - v[5]*fix2562 + z3
	o3 := v[1]*(fix1501-fix0899) - v[7]*fix0899 + z4

	saturate := func(x int32) int32 { return max(-1<<15, min(descale(x, bits), 1<<15-1)) }
	*v = [8]int32{
		saturate(t0 + o3), saturate(t1 + o2), saturate(t2 + o1), saturate(t3 + o0),
		saturate(t3 - o0), saturate(t2 - o1), saturate(t1 - o2), saturate(t0 - o3),
	}
}
