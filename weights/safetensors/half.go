package safetensors

import "math"

// FromHalf returns the float32 of an IEEE 754 binary16 number; exact.
func FromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	f := float32(frac) * (1.0 / (1 << 24)) // zero and subnormal numbers
	return math.Float32frombits(sign | math.Float32bits(f))
}

// ToHalf rounds f to the nearest binary16 number, ties to even; what is too
// large becomes infinite.
func ToHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &^= 1 << 31
	switch {
	case b > 0xff<<23: // NaN: quiet, keeping the upper bits of its payload
		return sign | 0x7e00 | uint16(b>>13)&0x1ff
	case b >= 0x477ff000: // rounds to 2^16 or more
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal, in units of 2^-24
		u := math.RoundToEven(float64(math.Float32frombits(b)) * (1 << 24))
		return sign | uint16(u)
	}
	b += 0xfff + b>>13&1 // round to even at the 13 bits that go
	return sign | uint16((b-112<<23)>>13)
}
