// Package boxes has the arithmetic of rectangles that object detection needs:
// overlap, the coding of a box relative to an anchor, anchors, the matching of
// anchors with objects, sampling, and non-maximum suppression.
//
// All of it is what torchvision 0.29 computes, in float32 and in its order of
// operations, because an overlap that rounds to the other side of a threshold
// changes which detections are kept.
package boxes

import "math"

// Box is an axis-parallel rectangle in pixels: from X1 to X2 and from Y1 to Y2,
// without the +1 that counts pixels. A Box with X2 < X1 or Y2 < Y1 is degenerate:
// its sides are negative.
type Box struct {
	X1 float32 `json:"x1"`
	Y1 float32 `json:"y1"`
	X2 float32 `json:"x2"`
	Y2 float32 `json:"y2"`
}

// W returns the width.
func (b Box) W() float32 { return b.X2 - b.X1 }

// H returns the height.
func (b Box) H() float32 { return b.Y2 - b.Y1 }

// Area returns the width times the height.
func (b Box) Area() float32 { return float32(b.W() * b.H()) } // converted: not fused with a sum

// Clip returns the part of b within a picture of width w and height h.
func (b Box) Clip(w, h float32) Box {
	return Box{clamp(b.X1, w), clamp(b.Y1, h), clamp(b.X2, w), clamp(b.Y2, h)}
}

// clamp returns x within 0 to hi. A NaN stays, so that no step hides that a
// network has computed one.
func clamp(x, hi float32) float32 {
	switch {
	case x < 0:
		return 0
	case x > hi:
		return hi
	}
	return x
}

// Scale returns b with the coordinates multiplied by x and y: the box in a picture
// that was resized by these ratios.
func (b Box) Scale(x, y float32) Box { return Box{b.X1 * x, b.Y1 * y, b.X2 * x, b.Y2 * y} }

// Finite reports whether no coordinate is NaN or infinite.
func (b Box) Finite() bool {
	s := b.X1 - b.X1 + (b.Y1 - b.Y1) + (b.X2 - b.X2) + (b.Y2 - b.Y2) // NaN or 0
	return s == 0
}

// intersection returns the area that a and b share.
func intersection(a, b Box) float32 {
	w := min(a.X2, b.X2) - max(a.X1, b.X1)
	h := min(a.Y2, b.Y2) - max(a.Y1, b.Y1)
	return float32(max(w, 0) * max(h, 0))
}

// IoU returns the intersection of a and b over their union, NaN for two boxes
// without an area.
func IoU(a, b Box) float32 {
	inter := intersection(a, b)
	return inter / (a.Area() + b.Area() - inter)
}

// GIoU returns IoU less the part of the smallest box around a and b that neither
// covers (Rezatofighi et al. 2019, "Generalized Intersection over Union"): from -1,
// far apart, to 1, equal.
func GIoU(a, b Box) float32 {
	inter := intersection(a, b)
	union := a.Area() + b.Area() - inter
	w := max(a.X2, b.X2) - min(a.X1, b.X1)
	h := max(a.Y2, b.Y2) - min(a.Y1, b.Y1)
	hull := float32(max(w, 0) * max(h, 0))
	return inter/union - (hull-union)/hull
}

// Coder writes a box as four numbers relative to another, its anchor or proposal:
// the distance of the centers over the anchor's size, and the logarithm of the
// ratio of the sizes (Girshick et al. 2014, "Rich feature hierarchies", appendix
// C), each times a weight.
type Coder struct {
	// Weights of dx, dy, dw and dh: {1, 1, 1, 1} for anchors, {10, 10, 5, 5} for
	// proposals.
	Weights [4]float32
}

// MaxLogRatio bounds dw and dh from above when they are decoded: no box is more
// than 62.5 times as wide or high as its anchor.
var MaxLogRatio = float32(math.Log(1000. / 16))

// Encode returns dx, dy, dw, dh of box relative to anchor. Both must have positive
// sides.
func (c Coder) Encode(box, anchor Box) [4]float32 {
	aw, ah := anchor.W(), anchor.H()
	ax, ay := anchor.X1+float32(0.5*aw), anchor.Y1+float32(0.5*ah)
	w, h := box.W(), box.H()
	x, y := box.X1+float32(0.5*w), box.Y1+float32(0.5*h)
	return [4]float32{
		c.Weights[0] * (x - ax) / aw,
		c.Weights[1] * (y - ay) / ah,
		c.Weights[2] * float32(math.Log(float64(w/aw))),
		c.Weights[3] * float32(math.Log(float64(h/ah))),
	}
}

// Decode returns the box that d = dx, dy, dw, dh describes relative to anchor.
func (c Coder) Decode(d [4]float32, anchor Box) Box {
	aw, ah := anchor.W(), anchor.H()
	ax, ay := anchor.X1+float32(0.5*aw), anchor.Y1+float32(0.5*ah)
	dx, dy := d[0]/c.Weights[0], d[1]/c.Weights[1]
	dw, dh := min(d[2]/c.Weights[2], MaxLogRatio), min(d[3]/c.Weights[3], MaxLogRatio)
	x, y := float32(dx*aw)+ax, float32(dy*ah)+ay
	w := float32(0.5 * float32(float32(math.Exp(float64(dw)))*aw))
	h := float32(0.5 * float32(float32(math.Exp(float64(dh)))*ah))
	return Box{x - w, y - h, x + w, y + h}
}
