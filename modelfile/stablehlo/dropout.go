package stablehlo

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// whole is a constant of one whole number everywhere.
func (w *writer) whole(element string, n uint64, shape tensor.Shape) value {
	v := value{"", element, shape}
	text := fmt.Sprintf("stablehlo.constant dense<%d> : %s", n, v.typeText())
	if old, ok := w.scalars[text]; ok {
		return old
	}
	v.name = fmt.Sprintf("%%%d", w.next)
	w.next++
	fmt.Fprintf(&w.body, "    %s = %s\n", v.name, text)
	w.scalars[text] = v
	return v
}

// halves returns the low and the high 32 bits of ui64 as ui32.
func (w *writer) halves(x value) (low, high value) {
	low = w.convert(w.same("and", x, w.whole("ui64", math.MaxUint32, x.shape)), "ui32")
	return low, w.convert(w.same("shift_right_logical", x, w.whole("ui64", 32, x.shape)), "ui32")
}

// philox returns the four words of blocks of Philox4x32-10 for counters and a key, all of
// ui32 and one shape: those of package philox.
func (w *writer) philox(counter [4]value, key [2]value) [4]value {
	c0, c1, c2, c3 := counter[0], counter[1], counter[2], counter[3]
	times := func(x value, factor uint64) (low, high value) {
		return w.halves(w.same("multiply", w.convert(x, "ui64"), w.whole("ui64", factor, x.shape)))
	}
	xor := func(a, b, c value) value { return w.same("xor", w.same("xor", a, b), c) }
	k0, k1 := key[0], key[1]
	for range 10 {
		low0, high0 := times(c0, 0xD2511F53)
		low1, high1 := times(c2, 0xCD9E8D57)
		c0, c1, c2, c3 = xor(high1, c1, k0), low1, xor(high0, c3, k1), low0
		k0 = w.add(k0, w.whole("ui32", 0x9E3779B9, k0.shape))
		k1 = w.add(k1, w.whole("ui32", 0xBB67AE85, k1.shape))
	}
	return [4]value{c0, c1, c2, c3}
}

// dropout draws the mask that graph.Dropout describes, bit by bit.
func (w *writer) dropout(o graph.Dropout, x, rng value) value {
	if o.P <= 0 {
		return x
	}
	drawn := x.shape // in memory order
	switch {
	case o.PerSample:
		drawn = x.shape[:1]
	case len(x.shape) == 4:
		drawn = tensor.Shape{x.shape[0], x.shape[2], x.shape[3], x.shape[1]}
	}
	count := drawn.Numel()
	blocks := tensor.Shape{(count + 3) / 4}
	word := func(i int) (low, high value) { // of seed or step
		one := w.reshape(w.slice(rng, graph.Slice{Axis: 0, Start: i, Count: 1, Step: 1}), tensor.Shape{})
		low, high = w.halves(w.emit("ui64", one.shape, []value{one}, "stablehlo.bitcast_convert %s", one.name))
		return w.broadcast(low, blocks), w.broadcast(high, blocks)
	}
	seedLow, seedHigh := word(0)
	stepLow, stepHigh := word(1)
	index := w.emit("ui32", blocks, nil, "stablehlo.iota dim = 0")
	words := w.philox([4]value{index, w.whole("ui32", uint64(o.Key|1<<31), blocks), stepLow, stepHigh}, [2]value{seedLow, seedHigh})
	var columns []value
	names := ""
	for i, v := range words {
		if i > 0 {
			names += ", "
		}
		c := w.reshape(v, tensor.Shape{blocks[0], 1})
		columns, names = append(columns, c), names+c.name
	}
	flat := w.reshape(w.emit("ui32", tensor.Shape{blocks[0], 4}, columns, "stablehlo.concatenate %s, dim = 1", names), tensor.Shape{4 * blocks[0]})
	bits := w.reshape(w.slice(flat, graph.Slice{Axis: 0, Count: count, Step: 1}), drawn)
	limit := uint64(min(math.RoundToEven(float64(o.P)*(1<<32)), math.MaxUint32))
	keep := w.emit("i1", drawn, []value{bits, w.whole("ui32", limit, drawn)}, "stablehlo.compare GE, %s, %s, UNSIGNED", bits.name, w.whole("ui32", limit, drawn).name)
	switch {
	case o.PerSample:
		keep = w.broadcast(keep, x.shape, 0)
	case len(x.shape) == 4:
		keep = w.transpose(keep, 0, 3, 1, 2)
	}
	return w.choose(keep, w.scaled(x, float32(1/(1-float64(o.P)))), w.like(x, 0))
}
