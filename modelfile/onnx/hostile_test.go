package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// file makes a model of the given nodes: input "x", output "y".
func file(opset int64, nodes []*nodeProto, inits ...*tensorProto) *modelProto {
	dims := []int64{-1, 2, 4, 4}
	names := []string{"n", "", "", ""}
	return &modelProto{irVersion: 8, opsets: []opsetProto{{"", opset}}, graph: &graphProto{
		nodes: nodes, initializers: inits,
		inputs:  []*valueProto{{name: "x", elem: elemFloat, known: true, dims: dims, names: names}},
		outputs: []*valueProto{{name: "y", elem: elemFloat}},
	}}
}

func op(name string, in []string, attrs ...*attrProto) *nodeProto {
	return &nodeProto{name: "the node", op: name, in: in, out: []string{"y"}, attrs: attrs}
}

func floatsOf(name string, v []float32, dims ...int64) *tensorProto {
	return &tensorProto{name: name, dims: dims, elem: elemFloat, raw: rawFloats(v), hasRaw: true}
}

func intsOf(name string, v ...int64) *tensorProto {
	return &tensorProto{name: name, dims: []int64{int64(len(v))}, elem: elemInt64, raw: rawInts(v), hasRaw: true}
}

func bytesOf(m *modelProto) []byte {
	return bytes.Join(m.encode().parts, nil)
}

// use decodes a model and writes its graph.
func use(data []byte) error {
	m, err := Decode(data)
	if err != nil {
		return err
	}
	_, err = m.Graph(map[string]graph.Type{"x": graph.F32(3, 2, 4, 4)})
	return err
}

// TestErrors sees that what cannot be read is refused with the node, the
// operator and the opset.
func TestErrors(t *testing.T) {
	huge := &tensorProto{name: "w", dims: []int64{1 << 40, 1 << 40}, elem: elemFloat, raw: []byte{1}, hasRaw: true}
	long := &tensorProto{name: "w", dims: []int64{1 << 20}, elem: elemFloat, raw: []byte{1, 2, 3, 4}, hasRaw: true}
	for _, c := range []struct {
		name string
		m    *modelProto
		want []string
	}{
		{"a value given twice", file(13, []*nodeProto{op("Relu", []string{"x"}), op("Neg", []string{"x"})}), []string{"the node", "Neg", `"y"`, "given before"}},
		{"the input given again", file(13, []*nodeProto{{name: "again", op: "Relu", in: []string{"x"}, out: []string{"x"}}, op("Neg", []string{"x"})}), []string{"again", `"x"`, "given before"}},
		{"an initializer given again", file(13, []*nodeProto{{name: "again", op: "Relu", in: []string{"x"}, out: []string{"w"}}, op("Neg", []string{"w"})}, floatsOf("w", []float32{1}, 1)), []string{"again", `"w"`, "given before"}},
		{"Concat of one input", file(13, []*nodeProto{op("Concat", []string{"x"}, &attrProto{name: "axis", kind: attrInt, i: 7})}), []string{"the node", "Concat", "axis"}},
		{"an attribute of an older opset", file(13, []*nodeProto{op("Clip", []string{"x"}, &attrProto{name: "min", kind: attrFloat, f: 0})}), []string{"the node", "Clip", "opset 13", `"min"`, "none"}},
		{"an attribute of a newer opset", file(10, []*nodeProto{op("Cast", []string{"x"}, &attrProto{name: "to", kind: attrInt, i: 1}, &attrProto{name: "saturate", kind: attrInt, i: 1})}), []string{"the node", "Cast", `"saturate"`, "it has to"}},
		{"a mistyped attribute", file(13, []*nodeProto{op("Softmax", []string{"x"}, &attrProto{name: "axs", kind: attrInt, i: 1})}), []string{"the node", "Softmax", `"axs"`, "it has axis"}},
		{"unknown operator", file(13, []*nodeProto{op("NonMaxSuppression", []string{"x"})}), []string{"the node", "NonMaxSuppression", "13"}},
		{"another domain", file(13, []*nodeProto{{name: "f", op: "Conv", domain: "com.microsoft.nchwc", in: []string{"x"}, out: []string{"y"}}}), []string{"com.microsoft.nchwc.Conv", "basic"}},
		{"onnxruntime's", file(13, []*nodeProto{{name: "f", op: "Attention", domain: "com.microsoft", in: []string{"x"}, out: []string{"y"}}}), []string{"com.microsoft.Attention", "basic"}},
		{"other classifiers", file(13, []*nodeProto{{name: "f", op: "SVMClassifier", domain: "ai.onnx.ml", in: []string{"x"}, out: []string{"y"}}}), []string{"ai.onnx.ml.SVMClassifier", "only networks"}},
		{"scale of the graph", file(13, []*nodeProto{op("QuantizeLinear", []string{"x", "x"})}), []string{"the node", "the scale", "known"}},
		{"integers", file(13, []*nodeProto{op("QLinearConv", []string{"x", "s"})}), []string{"the node", "QLinearConv"}},
		{"old", file(6, []*nodeProto{op("Relu", []string{"x"})}), []string{"opset 6", "7 to"}},
		{"missing value", file(13, []*nodeProto{op("Add", []string{"x", "gone"})}), []string{"the node", "Add", "opset 13", "gone"}},
		{"inputs", file(13, []*nodeProto{op("Conv", []string{"x"})}), []string{"the node", "Conv", "1 inputs"}},
		{"shape", file(13, []*nodeProto{op("Reshape", []string{"x", "s"})}, intsOf("s", 7)), []string{"the node", "Reshape", "[3 2 4 4]", "7"}},
		{"kernel", file(13, []*nodeProto{op("MaxPool", []string{"x"}, attrIs("kernel_shape", 9, 9))}), []string{"the node", "9x9"}},
		{"axis", file(13, []*nodeProto{op("Softmax", []string{"x"}, attrI("axis", 7))}), []string{"axis 7"}},
		{"huge", file(13, []*nodeProto{op("Add", []string{"x", "w"})}, huge), []string{`"w"`, "1099511627776"}},
		{"truncated", file(13, []*nodeProto{op("Add", []string{"x", "w"})}, long), []string{`"w"`, "4 bytes"}},
		{"fills memory", file(13, []*nodeProto{
			{op: "ConstantOfShape", in: []string{"s"}, out: []string{"c"}}, op("Add", []string{"x", "c"}),
		}, intsOf("s", 1<<27, 1<<27)), []string{"larger than"}},
		{"grows", file(13, []*nodeProto{
			{op: "ConstantOfShape", in: []string{"s"}, out: []string{"c"}}, op("Add", []string{"x", "c"}),
		}, intsOf("s", 245, 262148)), []string{"computes more than"}},
		{"division by zero", file(13, []*nodeProto{
			{op: "Div", in: []string{"a", "b"}, out: []string{"c"}}, op("Reshape", []string{"x", "c"}),
		}, intsOf("a", 1), intsOf("b", 0)), []string{"division by zero"}},
		{"outside", file(13, []*nodeProto{op("Add", []string{"x", "w"})}, &tensorProto{name: "w", dims: []int64{1}, elem: elemFloat, location: 1,
			external: []entryProto{{"location", "../secret"}}}), []string{`"w"`, "folder"}},
	} {
		err := use(bytesOf(c.m))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not mention %q", c.name, err, w)
			}
		}
	}
	if err := use([]byte("not a model")); !errors.Is(err, errDamaged) {
		t.Errorf("text: %v", err)
	}
}

// TestExternalStaysInside tries to read files outside the model's folder.
func TestExternalStaysInside(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "models")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, rawFloats(make([]float32, 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(inside, "link")); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(filepath.Join(inside, "good"), rawFloats(make([]float32, 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	for location, ok := range map[string]bool{
		"good": true, "./good": true, "../secret": false, secret: false, "link": false, "a/../../secret": false, ".": false, "": false, "gone": false,
	} {
		w := &tensorProto{name: "w", dims: []int64{32}, elem: elemFloat, location: 1, external: []entryProto{
			{"location", location}, {"offset", "16"}, {"length", "128"},
		}}
		path := filepath.Join(inside, "m.onnx")
		m := file(13, []*nodeProto{op("Reshape", []string{"w", "s"})}, w, intsOf("s", 4, 8))
		if err := os.WriteFile(path, bytesOf(m), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); (err == nil) != ok {
			t.Errorf("%q: %v", location, err)
		}
	}
	for _, e := range [][2]string{{"offset", "-1"}, {"offset", "999"}, {"length", "999"}, {"length", "-5"}, {"offset", "x"}, {"offset", "9223372036854775807"}} {
		w := &tensorProto{name: "w", dims: []int64{32}, elem: elemFloat, location: 1, external: []entryProto{{"location", "good"}, {e[0], e[1]}}}
		x := newExternal()
		x.dir = inside
		if _, err := x.decode(w); err == nil {
			t.Errorf("%v: no error", e)
		}
	}
}

// TestDeepNesting refuses graphs in graphs without end.
func TestDeepNesting(t *testing.T) {
	g := &chunks{}
	for range 1000 {
		attr := &chunks{}
		attr.message(6, g)
		n := &chunks{}
		n.message(5, attr)
		g = &chunks{}
		g.message(1, n)
	}
	m := &chunks{}
	m.message(7, g)
	b := bytes.Join(m.parts, nil)
	if err := use(b); !errors.Is(err, errDamaged) {
		t.Errorf("got %v", err)
	}
}

// TestMemory bounds what reading a small file may take: a million empty nodes
// are refused, not built.
func TestMemory(t *testing.T) {
	m := &chunks{}
	m.data(7, bytes.Repeat([]byte{1<<3 | 2, 0}, maxMessages+10))
	b := bytes.Join(m.parts, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := use(b); !errors.Is(err, errDamaged) {
		t.Errorf("got %v", err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 400<<20 {
		t.Errorf("a file of %d bytes took %d", len(b), used)
	}
}

// TestManyOperators sees that a small file cannot become a graph that fills the memory:
// an Erf is 23 operators of ours.
func TestManyOperators(t *testing.T) {
	budget.Set(64 << 20)
	defer budget.Set(0)
	for n, want := range map[int]string{100: "", 2000: "--max-memory"} {
		var nodes []*nodeProto
		x := "x"
		for i := range n {
			y := fmt.Sprint("y", i)
			nodes = append(nodes, &nodeProto{name: y, op: "Erf", in: []string{x}, out: []string{y}})
			x = y
		}
		err := use(bytesOf(file(13, append(nodes, op("Neg", []string{x})))))
		var over *budget.Error
		if (want == "") != (err == nil) || err != nil && (!errors.As(err, &over) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d times Erf: %v", n, err)
		}
	}
}

// TestIf takes the branch that the shape of the input chooses, as PyTorch
// writes for squeeze.
func TestIf(t *testing.T) {
	branch := func(name, op string) *attrProto {
		return &attrProto{name: name, kind: attrGraph, g: &graphProto{
			nodes:   []*nodeProto{{op: op, in: []string{"x"}, out: []string{name}}},
			outputs: []*valueProto{{name: name}},
		}}
	}
	p := file(13, []*nodeProto{
		{op: "Shape", in: []string{"x"}, out: []string{"s"}},
		{op: "Gather", in: []string{"s", "one"}, out: []string{"c"}},
		{op: "Equal", in: []string{"c", "two"}, out: []string{"b"}},
		op("If", []string{"b"}, branch("then_branch", "Relu"), branch("else_branch", "Sigmoid")),
	}, intsOf("one", 1), intsOf("two", 2))
	m, err := fromProto(p, newExternal())
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Graph(map[string]graph.Type{"x": graph.F32(3, 2, 4, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := g.Outputs[0].Value.Node.Op.(graph.Unary); !ok || u.Fn != graph.Relu {
		t.Errorf("got %v", g.Outputs[0].Value)
	}
}

// TestGelu sees that GELU written in small operators is recognized, in both
// orders, and that what only looks like it is left alone.
func TestGelu(t *testing.T) {
	for _, c := range []struct {
		half  float32
		early bool
		want  bool
	}{{0.5, false, true}, {0.5, true, true}, {0.25, false, false}, {0.25, true, false}} {
		nodes := []*nodeProto{
			{op: "Div", in: []string{"x", "root"}, out: []string{"a"}},
			{op: "Erf", in: []string{"a"}, out: []string{"b"}},
			{op: "Add", in: []string{"one", "b"}, out: []string{"c"}},
		}
		if c.early {
			nodes = append(nodes, &nodeProto{op: "Mul", in: []string{"x", "half"}, out: []string{"d"}}, op("Mul", []string{"d", "c"}))
		} else {
			nodes = append(nodes, &nodeProto{op: "Mul", in: []string{"x", "c"}, out: []string{"d"}}, op("Mul", []string{"d", "half"}))
		}
		m, err := fromProto(file(13, nodes, floatsOf("root", []float32{1.4142135}), floatsOf("one", []float32{1}), floatsOf("half", []float32{c.half})), newExternal())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(m.proto.graph.nodes) == 1; got != c.want {
			t.Errorf("%+v: recognized %v", c, got)
		}
	}
}

// TestFixed gives an input a value.
func TestFixed(t *testing.T) {
	p := file(13, []*nodeProto{op("Reshape", []string{"x", "s"})})
	p.graph.inputs = append(p.graph.inputs, &valueProto{name: "s", elem: elemInt64})
	m, err := fromProto(p, newExternal())
	if err != nil {
		t.Fatal(err)
	}
	trace := func() error {
		_, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(3, 2, 4, 4)})
		return err
	}
	if err := trace(); err == nil || !strings.Contains(err.Error(), "2 inputs (x, s)") {
		t.Errorf("two inputs: %v", err)
	}
	s, _ := tensor.FromInt64([]int64{-1, 16}, 2)
	if err := m.Fix("s", s); err != nil {
		t.Fatal(err)
	}
	if err := trace(); err != nil {
		t.Error(err)
	}
}

// FuzzDecode reads hostile files: no panic, and what is accepted can be
// written as a graph or refused.
func FuzzDecode(f *testing.F) {
	one := make([]float32, 2)
	for _, p := range []*modelProto{
		file(13, []*nodeProto{op("Slice", []string{"x", "s", "e", "a", "t"})}, intsOf("s", -1), intsOf("e", -9), intsOf("a", 1), intsOf("t", -1)),
		file(13, []*nodeProto{op("Split", []string{"x", "s"}, attrI("axis", 1))}, intsOf("s", 1, 1)),
		file(13, []*nodeProto{op("Pad", []string{"x", "p"}, attrS("mode", "reflect"))}, intsOf("p", 0, 0, 1, 1, 0, 0, 1, 1)),
		file(13, []*nodeProto{op("Resize", []string{"x", "", "r"}, attrS("mode", "cubic"))}, floatsOf("r", []float32{1, 1, 2, 2}, 4)),
		file(13, []*nodeProto{op("Tile", []string{"x", "r"})}, intsOf("r", 1, 2, 1, 1)),
		file(13, []*nodeProto{op("Expand", []string{"x", "r"})}, intsOf("r", 1, 2, 1, 1)),
		file(11, []*nodeProto{op("ConvTranspose", []string{"x", "w"}, attrIs("strides", 2, 2))}, floatsOf("w", make([]float32, 8), 2, 1, 2, 2)),
		file(13, []*nodeProto{{op: "Range", in: []string{"a", "b", "a"}, out: []string{"c"}}, op("Gather", []string{"x", "c"}, attrI("axis", 2))},
			&tensorProto{name: "a", elem: elemInt64, raw: rawInts([]int64{1}), hasRaw: true}, &tensorProto{name: "b", elem: elemInt64, raw: rawInts([]int64{3}), hasRaw: true}),
		file(13, []*nodeProto{{op: "ConstantOfShape", in: []string{"s"}, out: []string{"c"}}, op("Add", []string{"x", "c"})}, intsOf("s", 4, 4)),
		file(18, []*nodeProto{op("ReduceMean", []string{"x", "a"})}, intsOf("a", -1, 2)),
		file(13, []*nodeProto{op("MaxPool", []string{"x"}, attrIs("kernel_shape", 2, 2), attrIs("dilations", 2, 1), attrI("ceil_mode", 1))}),
		file(9, []*nodeProto{
			{op: "Conv", in: []string{"x", "w"}, out: []string{"c"}, attrs: []*attrProto{attrIs("pads", 1, 1, 1, 1), attrI("group", 2)}},
			{op: "BatchNormalization", in: []string{"c", "g", "b", "m", "v"}, out: []string{"n"}},
			{op: "Add", in: []string{"n", "x"}, out: []string{"a"}}, op("Clip", []string{"a"}, attrF("min", 0), attrF("max", 6)),
		}, floatsOf("w", make([]float32, 18), 2, 1, 3, 3), floatsOf("g", one, 2), floatsOf("b", one, 2), floatsOf("m", one, 2), floatsOf("v", one, 2)),
		file(13, []*nodeProto{op("MatMul", []string{"x", "w"})}, floatsOf("w", make([]float32, 8), 4, 2)),
	} {
		f.Add(bytesOf(p))
		hostile.Add(f, hostile.Protobuf(bytesOf(p)))
	}
	for _, name := range []string{"retinanet_resnet18_fpn_v2", "maskrcnn_resnet18_fpn"} {
		m, err := models.New(name, func(c *models.Config) { // channels so few that the file is small
			c.Width, c.Classes, c.Detection.Channels = 1, 2, 32
			if c.Detection.BoxFeatures > 0 {
				c.Detection.BoxFeatures, c.Detection.Channels = 1, 1
			}
		})
		if err != nil {
			f.Fatal(err)
		}
		initialize(f, m, 1)
		var b bytes.Buffer
		if err := Write(&b, m, SaveOptions{KeepBatchNorm: true}); err != nil {
			f.Fatal(err)
		}
		back, err := Decode(b.Bytes())
		if err != nil {
			f.Fatal(err)
		}
		if _, _, err := back.Detector(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *Model
		used, over := membound.Over(membound.Slack, 512, len(data), func() { m, _ = Decode(data) })
		if over {
			t.Errorf("a file of %d bytes took %d", len(data), used)
		}
		if m == nil {
			return
		}
		if m.FindsObjects() {
			_, _, _ = m.Detector()
		}
		in, err := m.Input(2, 8)
		if err != nil || in.Shape.Numel() > 1<<20 {
			return
		}
		v, err := m.onlyInput()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Graph(map[string]graph.Type{v.name: in}); err != nil {
			return
		}
		if err := nn.Check(m); err != nil {
			return
		}
		if _, err := nn.Trace(m, nn.TraceOptions{Input: in, Training: true}); err != nil {
			return
		}
	})
}
