package conv

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/simd/gemm"
)

// Conv is the geometry of a two-dimensional convolution:
//
//	y[n][oh][ow][k] = Σ_{r,s,c} x[n][oh*StrideH+r*DilH-PadTop][ow*StrideW+s*DilW-PadLeft][g*C/Groups+c] * w[r][s][c][k]
//
// with g = k / (K/Groups), c in 0..C/Groups-1 and x zero outside its bounds.
// x is [N][H][W][C], w is [R][S][C/Groups][K] (HWIO) and y is
// [N][OutH][OutW][K], all dense. A linear layer is a 1x1 convolution; see
// [Linear].
type Conv struct {
	N, H, W, C, K, R, S                  int // images, input height, width, channels, output channels, kernel height, width
	StrideH, StrideW                     int
	PadTop, PadLeft, PadBottom, PadRight int
	DilH, DilW                           int // 1 is an undilated kernel
	Groups                               int
	Precision                            gemm.Precision // operand type of the multiplications; the zero value is float32
}

// Linear returns the convolution that is a fully connected layer of n rows:
// x is [n][in], w is [in][out] and y is [n][out].
func Linear(n, in, out int) Conv {
	return Conv{N: n, H: 1, W: 1, C: in, K: out, R: 1, S: 1, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
}

// maxFloats bounds the tensors of one call, so that byte offsets and products
// of sizes stay far inside an int.
const maxFloats = 1 << 38

var errTooLarge = errors.New("more than 2^38 floats")

// Check returns an error that names the first field that makes no sense.
func (c Conv) Check() error {
	for _, f := range []struct {
		name   string
		v, min int
	}{
		{"N", c.N, 1}, {"H", c.H, 1}, {"W", c.W, 1}, {"C", c.C, 1}, {"K", c.K, 1}, {"R", c.R, 1}, {"S", c.S, 1},
		{"StrideH", c.StrideH, 1}, {"StrideW", c.StrideW, 1}, {"DilH", c.DilH, 1}, {"DilW", c.DilW, 1},
		{"PadTop", c.PadTop, 0}, {"PadLeft", c.PadLeft, 0}, {"PadBottom", c.PadBottom, 0}, {"PadRight", c.PadRight, 0},
		{"Groups", c.Groups, 1},
	} {
		if f.v < f.min {
			return fmt.Errorf("convolution: %s is %d, want at least %d", f.name, f.v, f.min)
		}
		if f.v > 1<<30 {
			return fmt.Errorf("convolution: %s is %d, want at most 2^30", f.name, f.v)
		}
	}
	if err := c.Precision.Check(); err != nil {
		return fmt.Errorf("convolution: %w", err)
	}
	if c.C%c.Groups != 0 {
		return fmt.Errorf("convolution: C=%d is not divisible by Groups=%d", c.C, c.Groups)
	}
	if c.K%c.Groups != 0 {
		return fmt.Errorf("convolution: K=%d is not divisible by Groups=%d", c.K, c.Groups)
	}
	if kh, h := (c.R-1)*c.DilH+1, c.H+c.PadTop+c.PadBottom; kh > h {
		return fmt.Errorf("convolution: kernel height %d (R=%d, DilH=%d) is above the padded input height %d", kh, c.R, c.DilH, h)
	}
	if kw, w := (c.S-1)*c.DilW+1, c.W+c.PadLeft+c.PadRight; kw > w {
		return fmt.Errorf("convolution: kernel width %d (S=%d, DilW=%d) is above the padded input width %d", kw, c.S, c.DilW, w)
	}
	for _, t := range []struct {
		name string
		dims [4]int
	}{
		{"x", [4]int{c.N, c.H + c.PadTop + c.PadBottom, c.W + c.PadLeft + c.PadRight, c.C}},
		{"w", [4]int{c.R, c.S, c.C, c.K + 15}},
		{"y", [4]int{c.N, c.OutH(), c.OutW(), c.K}},
	} {
		n := 1
		for _, d := range t.dims {
			if n *= d; n > maxFloats {
				return fmt.Errorf("convolution: %s %v: %w", t.name, t.dims, errTooLarge)
			}
		}
	}
	return nil
}

// OutH returns the height of the output.
func (c Conv) OutH() int { return (c.H+c.PadTop+c.PadBottom-(c.R-1)*c.DilH-1)/c.StrideH + 1 }

// OutW returns the width of the output.
func (c Conv) OutW() int { return (c.W+c.PadLeft+c.PadRight-(c.S-1)*c.DilW-1)/c.StrideW + 1 }

// XLen returns the number of floats of the input.
func (c Conv) XLen() int { return c.N * c.H * c.W * c.C }

// YLen returns the number of floats of the output.
func (c Conv) YLen() int { return c.N * c.OutH() * c.OutW() * c.K }

// WLen returns the number of floats of the weights.
func (c Conv) WLen() int { return c.R * c.S * c.C / c.Groups * c.K }

// FLOPs returns the floating-point operations of one forward convolution, a
// multiplication and an addition counted as two and padding taken as input.
func (c Conv) FLOPs() int64 { return 2 * int64(c.YLen()) * int64(c.R*c.S*c.C/c.Groups) }

// unpadded1x1 reports whether each output pixel is made of the input pixel at
// the same place, so that the pixels of all images are one long row.
func (c Conv) unpadded1x1() bool {
	return c.R == 1 && c.S == 1 && c.StrideH == 1 && c.StrideW == 1 && c.PadTop|c.PadLeft|c.PadBottom|c.PadRight == 0
}

// Geometry names what the time of a convolution depends on, such as
// "n8 14x14x256 3x3 k512 s2 p1": images, height, width and channels of the
// input, kernel, output channels, and what is not the default of stride, padding
// (one for all sides, or top, left, bottom, right), dilation and groups.
func (c Conv) Geometry() string {
	var b strings.Builder
	fmt.Fprintf(&b, "n%d %dx%dx%d %dx%d k%d", c.N, c.H, c.W, c.C, c.R, c.S, c.K)
	list := func(name string, usual int, values ...int) {
		first, same := values[0], true
		text := make([]string, len(values))
		for i, v := range values {
			same = same && v == first
			text[i] = strconv.Itoa(v)
		}
		switch {
		case same && first == usual:
		case same:
			fmt.Fprintf(&b, " %s%d", name, first)
		default:
			fmt.Fprintf(&b, " %s%s", name, strings.Join(text, ","))
		}
	}
	list("s", 1, c.StrideH, c.StrideW)
	list("p", 0, c.PadTop, c.PadLeft, c.PadBottom, c.PadRight)
	list("d", 1, c.DilH, c.DilW)
	list("g", 1, c.Groups)
	return b.String()
}
