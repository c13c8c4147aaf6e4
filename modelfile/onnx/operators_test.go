package onnx

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

var update = flag.Bool("update", false, "rewrite docs/onnx-operators.md and committed models")

// The official operator tests come with Debian's libonnx-testdata.
const nodeTests = "/usr/share/libonnx-testdata/data/node"

const operatorsDoc = "../../docs/onnx-operators.md"

// outcome is what came of one official test.
type outcome struct {
	name string
	how  string // "engine and reference", "folded", or "" if it did not pass
	why  string // why it did not pass
}

// TestOperators runs every official test of every operator, by the engine and
// by the reference interpreter, and compares the list with the committed one.
func TestOperators(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(nodeTests, "test_*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Skip("no official operator tests: install Debian's package libonnx-testdata")
	}
	got := report(runNodeTests(t, dirs))
	if *update {
		if err := os.MkdirAll(filepath.Dir(operatorsDoc), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(operatorsDoc, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(operatorsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		w := strings.Split(string(want), "\n")
		for _, line := range strings.Split(got, "\n") {
			if !slices.Contains(w, line) {
				t.Errorf("new line: %s", line)
			}
		}
		t.Errorf("docs/onnx-operators.md is not what the tests give; if that is meant, run go test ./modelfile/onnx -run TestOperators -update")
	}
}

// TestNewOperators runs the tests of the newest ONNX, which Debian does not package. A
// wrong result is an error, an operator or form that is not read is listed with -v.
func TestNewOperators(t *testing.T) {
	python, dir := peer.Python(t, "onnx"), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, "testdata/gen/node_tests.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dirs, err := filepath.Glob(filepath.Join(dir, "test_*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal("no tests in", dir, err)
	}
	read, passed, unread := 0, 0, 0
	for op, os := range runNodeTests(t, dirs) {
		if _, ok := operators[op]; !ok {
			unread += len(os)
			continue
		}
		for _, o := range os {
			read++
			if o.how != "" {
				passed++
			} else {
				t.Logf("%s: %s", o.name, o.why)
			}
		}
	}
	t.Logf("%d of %d tests of operators that are read pass; %d tests are of others or write an operator out", passed, read, unread)
}

// runNodeTests returns what came of each test, by operator.
func runNodeTests(t *testing.T, dirs []string) map[string][]outcome {
	outcomes := map[string][]outcome{}
	for _, dir := range dirs {
		op, o := runNodeTest(t, dir)
		outcomes[op] = append(outcomes[op], o)
	}
	return outcomes
}

// runNodeTest runs one test: a model of usually one node, inputs and outputs.
func runNodeTest(t *testing.T, dir string) (op string, o outcome) {
	o.name = strings.TrimPrefix(filepath.Base(dir), "test_")
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	proto, err := (&decoder{}).model(data)
	if err != nil {
		t.Fatal(err)
	}
	op = testedOp(o.name, proto)
	for i, s := range proto.opsets {
		// Some tests were never renewed, since opset 7 did not change their operators.
		if s.domain == "" && s.version < MinOpset {
			proto.opsets[i].version = MinOpset
		}
	}
	m, err := fromProto(proto, newExternal())
	if err != nil {
		o.why = reason(err)
		return op, o
	}
	sets, _ := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	for _, set := range sets {
		how, err := runSet(m, set, same)
		if err != nil {
			o.why = reason(err)
			var wrong *wrongError
			if errors.As(err, &wrong) {
				t.Errorf("%s: %v", o.name, err)
			}
			return op, o
		}
		o.how = how
	}
	return op, o
}

// testedOp is the operator under test: of a test "expanded" into the
// operator's definition by others, the one whose name the test begins with.
func testedOp(name string, p *modelProto) string {
	if !strings.Contains(name, "_expanded") && len(p.graph.nodes) == 1 {
		return p.graph.nodes[0].op
	}
	return "definitions by other operators"
}

func reason(err error) string {
	var ns *NotStaticError
	if errors.As(err, &ns) {
		return "an input must be known when the model is loaded"
	}
	var ge *graph.Error
	if errors.As(err, &ge) {
		err = ge.Err
	}
	s := err.Error()
	if strings.HasPrefix(s, "opset ") {
		_, s, _ = strings.Cut(s, ": ")
	}
	return strings.TrimPrefix(s, "onnx: ")
}

type wrongError struct{ error }

func wrong(format string, args ...any) error { return &wrongError{fmt.Errorf(format, args...)} }

func runSet(m *Model, set string, same func(got, want *static) error) (how string, err error) {
	var values []*static
	for i := range m.inputs {
		s, err := readPB(filepath.Join(set, fmt.Sprintf("input_%d.pb", i)))
		if err != nil {
			return "", err
		}
		if m.inputs[i].elem == elemBFloat16 && s.elem == elemUint16 { // so in ONNX 1.12
			for _, x := range s.i {
				s.f = append(s.f, half(elemBFloat16, uint16(x)))
			}
			s.elem = elemBFloat16
		}
		values = append(values, s)
	}
	// Floating-point inputs are fed; what must be known beforehand is given so.
	clear(m.fixed)
	for {
		types := map[string]graph.Type{}
		feeds := map[string]*tensor.Tensor{}
		for i, v := range m.inputs {
			if m.fixed[v.name] == nil {
				if slices.Contains([]int(values[i].shape), 0) {
					m.fixed[v.name] = values[i]
					continue
				}
				x, err := values[i].tensor()
				if err != nil {
					return "", err
				}
				types[v.name], feeds[v.name] = graph.Type{DType: x.DType(), Shape: x.Shape()}, x
			}
		}
		g, outs, err := m.graph(types)
		var ns *NotStaticError
		if errors.As(err, &ns) {
			i := slices.IndexFunc(m.inputs, func(v *valueProto) bool { return v.name == ns.Input })
			if i < 0 || m.fixed[ns.Input] != nil {
				return "", err
			}
			m.fixed[ns.Input] = values[i]
			continue
		}
		if err != nil {
			return "", err
		}
		return checkOutputs(m, g, outs, feeds, set, same)
	}
}

func checkOutputs(m *Model, g *graph.Graph, outs []value, feeds map[string]*tensor.Tensor, set string, same func(got, want *static) error) (how string, err error) {
	how = "folded"
	for i, v := range outs {
		if v.dyn != nil {
			how = "computed"
			g.Output(fmt.Sprint(i), v.dyn)
		}
	}
	vars, values := engine.NewVars(), map[string]*tensor.Tensor{}
	for name, p := range m.Params {
		if err := vars.Set(name, p.Value); err != nil {
			return "", wrong("variable: %w", err)
		}
		values[name] = p.Value
	}
	p, err := engine.Compile(g, vars, engine.Options{})
	if err != nil {
		return "", wrong("compile: %w", err)
	}
	var in, got []*tensor.Tensor
	for _, port := range p.Inputs() {
		in = append(in, feeds[port.Name])
	}
	for _, port := range p.Outputs() {
		got = append(got, tensor.New(port.Shape...))
	}
	if err := p.Run(in, got); err != nil {
		return "", wrong("run: %w", err)
	}
	r, err := ref.Run(g, values, feeds)
	if err != nil {
		return "", wrong("reference: %w", err)
	}
	for i, v := range outs {
		want, err := readPB(filepath.Join(set, fmt.Sprintf("output_%d.pb", i)))
		if err != nil {
			return "", err
		}
		if v.elem == elemBFloat16 && want.elem == elemUint16 {
			for _, x := range want.i {
				want.f = append(want.f, half(elemBFloat16, uint16(x)))
			}
			want.elem, want.i = elemBFloat16, nil
		}
		if v.dyn == nil {
			if err := same(v.st, want); err != nil {
				return "", wrong("output %d, folded: %w", i, err)
			}
			continue
		}
		for who, x := range map[string]*tensor.Tensor{"engine": got[0], "reference": r.Value(v.dyn)} {
			s := &static{elem: v.elem, shape: x.Shape(), f: x.Float32s()}
			if !v.elem.isFloat() { // integers that the graph has as float32
				s.f, s.i = nil, make([]int64, x.Numel())
				for j, f := range x.Float32s() {
					s.i[j] = int64(f)
				}
			}
			if err := same(s, want); err != nil {
				return "", wrong("output %d by the %s: %w", i, who, err)
			}
		}
		got = got[1:]
	}
	return how, nil
}

// same compares with the tolerance of the official test runner, rtol 1e-3 and
// atol 1e-7, half precision as wide as it is.
func same(got, want *static) error {
	if !got.shape.Equal(want.shape) || got.elem.isFloat() != want.elem.isFloat() {
		return fmt.Errorf("got %v%v, want %v%v", got.elem, got.shape, want.elem, want.shape)
	}
	for i, w := range want.f {
		g := got.f[i]
		atol := 1e-7 // of the official runner; sums that cancel need a little more
		if want.elem != elemFloat && want.elem != elemDouble {
			atol = 1e-2
		}
		if d := math.Abs(float64(g - w)); !(d <= atol+1e-3*math.Abs(float64(w))) && g != w && !(g != g && w != w) {
			return fmt.Errorf("element %d is %g, want %g", i, g, w)
		}
	}
	for i, w := range want.i {
		if got.i[i] != w {
			return fmt.Errorf("element %d is %d, want %d", i, got.i[i], w)
		}
	}
	return nil
}

func readPB(path string) (*static, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tp, err := (&decoder{}).tensor(field{num: 1, typ: 2, b: data})
	if err != nil {
		return nil, err
	}
	return newExternal().decode(tp)
}

// report writes the list.
func report(outcomes map[string][]outcome) string {
	var b strings.Builder
	var ops []string
	passed, total := 0, 0
	for op, os := range outcomes {
		ops = append(ops, op)
		slices.SortFunc(os, func(a, b outcome) int { return strings.Compare(a.name, b.name) })
		for _, o := range os {
			total++
			if o.how != "" {
				passed++
			}
		}
	}
	slices.Sort(ops)
	b.WriteString("# ONNX operators\n\n" +
		"Made by `go test ./modelfile/onnx -run TestOperators -update` from the official operator tests (ONNX 1.12, Debian's\n" +
		"`libonnx-testdata`); do not edit. *Computed* tests run by the engine and by the reference interpreter, both of\n" +
		"which must give the official outputs (relative 1e-3, absolute 1e-7). *Folded* ones need no computing at run time: their\n" +
		"inputs are known when the model is loaded, as shapes are.\n\n")
	fmt.Fprintf(&b, "Passed: %d of %d tests.\n\n## Operators that are read\n\n| operator | computed | folded | not passed |\n| --- | --- | --- | --- |\n", passed, total)
	listed := func(op string) bool { _, ok := operators[op]; return ok }
	var none []string
	for _, op := range Operators() {
		if outcomes[op] == nil {
			none = append(none, op)
		}
	}
	for _, op := range ops {
		if !listed(op) {
			continue
		}
		computed, folded := 0, 0
		for _, o := range outcomes[op] {
			switch o.how {
			case "computed":
				computed++
			case "folded":
				folded++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", op, computed, folded, len(outcomes[op])-computed-folded)
	}
	fmt.Fprintf(&b, "\nRead, but without a test of their own in ONNX 1.12: %s.\n", strings.Join(none, ", "))
	b.WriteString("\n## Tests of these operators that do not pass, and why\n\n| test | why |\n| --- | --- |\n")
	for _, op := range ops {
		for _, o := range outcomes[op] {
			if listed(op) && o.how == "" {
				fmt.Fprintf(&b, "| %s | %s |\n", o.name, strings.ReplaceAll(o.why, "|", "\\|"))
			}
		}
	}
	b.WriteString("\n## Definitions by other operators\n\nTests that write an operator out in others; one passes if all of these are read.\n\n")
	for _, op := range ops {
		if op != "definitions by other operators" {
			continue
		}
		var yes, no []string
		for _, o := range outcomes[op] {
			if o.how != "" {
				yes = append(yes, o.name)
			} else {
				no = append(no, o.name)
			}
		}
		fmt.Fprintf(&b, "Passed (%d): %s.\n\nNot passed (%d): %s.\n", len(yes), strings.Join(yes, ", "), len(no), strings.Join(no, ", "))
	}
	b.WriteString("\n## Operators that are not read\n\n")
	var not []string
	for _, op := range ops {
		if !listed(op) && op != "definitions by other operators" {
			not = append(not, fmt.Sprintf("%s (%d)", op, len(outcomes[op])))
		}
	}
	b.WriteString("With the number of their tests: " + strings.Join(not, ", ") + ".\n")
	return b.String()
}
