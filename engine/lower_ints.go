package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
)

// intValues is an int64 value of a plan that no caller feeds.
type intValues struct {
	size  int
	fixed []int64 // of a constant or a variable, or nil
}

// intsOf returns the slot in run.i64 that holds v.
func (c *compiler) intsOf(v *graph.Value) (slot int, err error) {
	slot, ok := c.ints[v]
	if !ok {
		return 0, fmt.Errorf("the engine has no integers of %v", v)
	}
	return slot, nil
}

// outInts makes room for an int64 value, in each run anew.
func (c *compiler) outInts(v *graph.Value) (slot int) {
	slot = c.addInts(intValues{size: v.Shape.Numel()})
	c.ints[v] = slot
	return slot
}

// fixedInts makes a slot of numbers that runs only read.
func (c *compiler) fixedInts(data []int64) (slot int) {
	return c.addInts(intValues{len(data), data})
}

func (c *compiler) addInts(v intValues) (slot int) {
	c.plan.ints = append(c.plan.ints, v)
	return c.plan.ports + len(c.plan.ints) - 1
}
