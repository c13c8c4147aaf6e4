package nn

import "github.com/resnet-go/resnet/graph"

// This file goes on with ops.go: comparisons, indices and boxes.

// Detach is x, through which no gradient flows.
func (c *Context) Detach(x *graph.Value) *graph.Value { return c.Op1(graph.Detach{}, x) }

// Compare is 1 where the comparison of a and b holds, else 0, broadcasting.
func (c *Context) Compare(fn graph.CompareFn, a, b *graph.Value) *graph.Value {
	return c.Op1(graph.Compare{Fn: fn}, a, b)
}

// Where is a where cond is not 0, else b, broadcasting.
func (c *Context) Where(cond, a, b *graph.Value) *graph.Value {
	return c.Op1(graph.Where{}, cond, a, b)
}

// ToFloat converts int64 to float32.
func (c *Context) ToFloat(x *graph.Value) *graph.Value { return c.Op1(graph.ToFloat{}, x) }

// OneHot is 1 at the class of each int64 label and 0 elsewhere along a new last axis.
func (c *Context) OneHot(labels *graph.Value, classes int) *graph.Value {
	return c.Op1(graph.OneHot{Classes: classes}, labels)
}

// Gather takes slices of x along axis by int64 indices.
func (c *Context) Gather(x, index *graph.Value, axis int) *graph.Value {
	return c.Op1(graph.Gather{Axis: axis}, x, index)
}

// GatherElements takes elements of x along axis by int64 indices, as PyTorch's gather.
func (c *Context) GatherElements(x, index *graph.Value, axis int) *graph.Value {
	return c.Op1(graph.GatherElements{Axis: axis}, x, index)
}

// TopK finds the k largest elements along axis, and their int64 indices.
func (c *Context) TopK(x *graph.Value, k, axis int) (values, indices *graph.Value) {
	out := c.Op(graph.TopK{K: k, Axis: axis}, x)
	return out[0], out[1]
}

// ArgMax is the int64 index of the largest element along axis, which vanishes.
func (c *Context) ArgMax(x *graph.Value, axis int) *graph.Value {
	return c.Op1(graph.ArgMax{Axis: axis}, x)
}

// RoIAlign samples boxes [K 5] of image, x1, y1, x2, y2 from x [N C H W].
func (c *Context) RoIAlign(x, boxes *graph.Value, op graph.RoIAlign) *graph.Value {
	return c.Op1(op, x, boxes)
}
