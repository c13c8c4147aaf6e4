package stablehlo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// writer writes the body of main. Its methods add an operation and return its result.
type writer struct {
	body    bytes.Buffer
	next    int
	values  map[*graph.Value]value
	scalars map[string]value // constants that were written, by their text

	bf16, highest bool // see Options
}

// value is a value of the text.
type value struct {
	name    string
	element string // f32, i64 or i1
	shape   tensor.Shape
}

func elementOf(t tensor.DType) string {
	if t == tensor.Int64 {
		return "i64"
	}
	return "f32"
}

func (v value) typeText() string {
	var b strings.Builder
	b.WriteString("tensor<")
	for _, d := range v.shape {
		fmt.Fprintf(&b, "%dx", d)
	}
	return b.String() + v.element + ">"
}

// quote writes a string as MLIR does.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, "\\%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// emit writes NAME = TEXT : (TYPES) -> TYPE; text has everything between.
func (w *writer) emit(element string, shape tensor.Shape, in []value, format string, args ...any) value {
	out := value{fmt.Sprintf("%%%d", w.next), element, shape}
	w.next++
	if len(in) == 0 {
		fmt.Fprintf(&w.body, "    %s = %s : %s\n", out.name, fmt.Sprintf(format, args...), out.typeText())
		return out
	}
	types := make([]string, len(in))
	for i, v := range in {
		types[i] = v.typeText()
	}
	fmt.Fprintf(&w.body, "    %s = %s : (%s) -> %s\n", out.name, fmt.Sprintf(format, args...), strings.Join(types, ", "), out.typeText())
	return out
}

// same writes an operation whose operands and result have one type.
func (w *writer) same(op string, in ...value) value {
	out := value{fmt.Sprintf("%%%d", w.next), in[0].element, in[0].shape}
	w.next++
	names := make([]string, len(in))
	for i, v := range in {
		names[i] = v.name
	}
	fmt.Fprintf(&w.body, "    %s = stablehlo.%s %s : %s\n", out.name, op, strings.Join(names, ", "), out.typeText())
	return out
}

func (w *writer) add(a, b value) value { return w.same("add", a, b) }
func (w *writer) sub(a, b value) value { return w.same("subtract", a, b) }
func (w *writer) mul(a, b value) value { return w.same("multiply", a, b) }
func (w *writer) div(a, b value) value { return w.same("divide", a, b) }

// literal writes a number. MLIR wants a decimal point, and bits for what is not finite.
func literal(f float32) string {
	if f32 := float64(f); math.IsNaN(f32) || math.IsInf(f32, 0) {
		return fmt.Sprintf("0x%08X", math.Float32bits(f))
	}
	text := strconv.FormatFloat(float64(f), 'e', -1, 32)
	if !strings.Contains(text, ".") {
		text = strings.Replace(text, "e", ".0e", 1)
	}
	return text
}

// fill is a constant of one number everywhere.
func (w *writer) fill(f float32, shape tensor.Shape) value {
	v := value{"", "f32", shape}
	text := fmt.Sprintf("stablehlo.constant dense<%s> : %s", literal(f), v.typeText())
	if old, ok := w.scalars[text]; ok {
		return old
	}
	v.name = fmt.Sprintf("%%%d", w.next)
	w.next++
	fmt.Fprintf(&w.body, "    %s = %s\n", v.name, text)
	w.scalars[text] = v
	return v
}

func (w *writer) scalar(f float32) value { return w.fill(f, tensor.Shape{}) }

// like is a constant of a's shape.
func (w *writer) like(a value, f float32) value { return w.fill(f, a.shape) }

// scaled is a times a number.
func (w *writer) scaled(a value, f float32) value { return w.mul(a, w.like(a, f)) }

// constant writes a tensor bit by bit.
func (w *writer) constant(t *tensor.Tensor) value {
	v := value{fmt.Sprintf("%%%d", w.next), elementOf(t.DType()), t.Shape()}
	w.next++
	var raw []byte
	if t.DType() == tensor.Int64 {
		for _, x := range t.Int64s() {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
		}
	} else {
		for _, x := range t.Float32s() {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
	}
	fmt.Fprintf(&w.body, "    %s = stablehlo.constant dense<\"0x%s\"> : %s\n", v.name, strings.ToUpper(hex.EncodeToString(raw)), v.typeText())
	return v
}

// operands returns the operands of a product, rounded if that is asked for, and the
// text of its precision, which is the given one where it must be float32's.
func (w *writer) operands(a, b value, float32s string) (value, value, string) {
	switch {
	case w.bf16:
		return w.convert(a, "bf16"), w.convert(b, "bf16"), ""
	case w.highest:
		return a, b, float32s
	}
	return a, b, ""
}

// numbers writes integers in brackets.
func numbers(ns ...int) string {
	text := make([]string, len(ns))
	for i, n := range ns {
		text[i] = strconv.Itoa(n)
	}
	return "[" + strings.Join(text, ", ") + "]"
}

// broadcast stretches a; axis i of a becomes axis dims[i].
func (w *writer) broadcast(a value, shape tensor.Shape, dims ...int) value {
	if a.shape.Equal(shape) {
		return a
	}
	return w.emit(a.element, shape, []value{a}, "stablehlo.broadcast_in_dim %s, dims = %s", a.name, numbers(dims...))
}

// stretch broadcasts as NumPy does.
func (w *writer) stretch(a value, shape tensor.Shape) value {
	dims := make([]int, len(a.shape))
	for i := range dims {
		dims[i] = len(shape) - len(a.shape) + i
	}
	return w.broadcast(a, shape, dims...)
}

// channels stretches [C] along the other axes of [N C ...].
func (w *writer) channels(a value, shape tensor.Shape) value { return w.broadcast(a, shape, 1) }

func (w *writer) reshape(a value, shape tensor.Shape) value {
	if a.shape.Equal(shape) {
		return a
	}
	return w.emit(a.element, shape, []value{a}, "stablehlo.reshape %s", a.name)
}

func (w *writer) transpose(a value, perm ...int) value {
	shape := make(tensor.Shape, len(perm))
	for i, p := range perm {
		shape[i] = a.shape[p]
	}
	return w.emit(a.element, shape, []value{a}, "stablehlo.transpose %s, dims = %s", a.name, numbers(perm...))
}

func (w *writer) convert(a value, element string) value {
	return w.emit(element, a.shape, []value{a}, "stablehlo.convert %s", a.name)
}

// compare is i1 where the comparison LT, LE, GT, GE, EQ or NE holds.
func (w *writer) compare(direction string, a, b value) value {
	kind := "FLOAT"
	if a.element != "f32" {
		kind = "SIGNED"
	}
	return w.emit("i1", a.shape, []value{a, b}, "stablehlo.compare %s, %s, %s, %s", direction, a.name, b.name, kind)
}

// choose is a where the condition holds, else b.
func (w *writer) choose(condition, a, b value) value {
	out := value{fmt.Sprintf("%%%d", w.next), a.element, a.shape}
	w.next++
	fmt.Fprintf(&w.body, "    %s = stablehlo.select %s, %s, %s : %s, %s\n", out.name, condition.name, a.name, b.name, condition.typeText(), out.typeText())
	return out
}

// reduce combines along axes by add or maximum; the axes vanish.
func (w *writer) reduce(op string, a value, axes ...int) value {
	start := w.scalar(0)
	if op == "maximum" {
		start = w.scalar(float32(math.Inf(-1)))
	}
	shape := tensor.Shape{}
	for i, d := range a.shape {
		if !slices.Contains(axes, i) {
			shape = append(shape, d)
		}
	}
	if len(axes) == 0 {
		return a
	}
	return w.emit(a.element, shape, []value{a, start}, "stablehlo.reduce(%s init: %s) applies stablehlo.%s across dimensions = %s", a.name, start.name, op, numbers(axes...))
}

// pad adds zeros along all axes.
func (w *writer) pad(a value, fill value, low, high, between []int) value {
	shape := make(tensor.Shape, len(a.shape))
	for i, d := range a.shape {
		shape[i] = low[i] + d + (d-1)*between[i] + high[i]
	}
	return w.emit(a.element, shape, []value{a, fill}, "stablehlo.pad %s, %s, low = %s, high = %s, interior = %s", a.name, fill.name, numbers(low...), numbers(high...), numbers(between...))
}

// others returns the axes of a shape but one.
func others(shape tensor.Shape, axis int) []int {
	var axes []int
	for i := range shape {
		if i != axis {
			axes = append(axes, i)
		}
	}
	return axes
}
