package tensor

import "fmt"

// Layout is the order in which the elements of a tensor lie in memory. The
// shape is given in N, C, H, W order whatever the layout.
type Layout uint8

const (
	// NCHW is row-major order: the last axis of the shape varies fastest. It is
	// the order of all tensors but pictures, whatever their rank.
	NCHW Layout = iota
	// NHWC has the channels of a pixel side by side, as picture files and the
	// kernels have them. Only float32 tensors of rank 4 have it.
	NHWC
)

// String returns "NCHW" or "NHWC".
func (l Layout) String() string {
	switch l {
	case NCHW:
		return "NCHW"
	case NHWC:
		return "NHWC"
	}
	return fmt.Sprintf("layout(%d)", uint8(l))
}

// NewNHWC returns a float32 tensor of zeros of shape [n c h w] whose elements
// lie in NHWC order. It panics if an extent is negative.
func NewNHWC(n, c, h, w int) *Tensor {
	t := New(n, c, h, w)
	t.layout = NHWC
	return t
}

// FromNHWC wraps data, whose elements lie in NHWC order, without copying, as a
// tensor of shape [n c h w]. It returns an error if the number of elements does
// not fit the shape.
func FromNHWC(data []float32, n, c, h, w int) (*Tensor, error) {
	t, err := FromFloat32(data, n, c, h, w)
	if err != nil {
		return nil, err
	}
	t.layout = NHWC
	return t, nil
}

// Layout returns the order in which the elements lie in memory.
func (t *Tensor) Layout() Layout { return t.layout }

// In returns the tensor with its elements in the order l: t itself if they are
// in that order already, else a copy. It returns an error if l is NHWC and t is
// not a float32 tensor of rank 4.
func (t *Tensor) In(l Layout) (*Tensor, error) {
	switch {
	case l == t.layout:
		return t, nil
	case len(t.shape) != 4 || t.dtype != Float32 || l > NHWC:
		return nil, fmt.Errorf("tensor: %v cannot be laid out as %v; only float32 tensors of rank 4 can", t, l)
	}
	if err := t.Load(); err != nil {
		return nil, err
	}
	c, hw := t.shape[1], t.shape[2]*t.shape[3]
	out := New(t.shape...)
	out.layout = l
	size := c * hw
	for n := range t.shape[0] {
		from, to := t.Float32s()[n*size:(n+1)*size], out.f32[n*size:(n+1)*size]
		for k := range c {
			for i := range hw {
				if l == NHWC {
					to[i*c+k] = from[k*hw+i]
				} else {
					to[k*hw+i] = from[i*c+k]
				}
			}
		}
	}
	return out, nil
}
