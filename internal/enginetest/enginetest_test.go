package enginetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// interpreter is the reference as an engine; spoil may change what it returns.
type interpreter struct {
	g     *graph.Graph
	vars  map[string]*tensor.Tensor
	spoil func(outputs []*tensor.Tensor, vars map[string]*tensor.Tensor)
}

func (m *interpreter) Run(in map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	r, err := ref.Run(m.g, m.vars, in)
	if err != nil {
		return nil, err
	}
	var out []*tensor.Tensor
	for _, o := range m.g.Outputs {
		out = append(out, r.Value(o.Value))
	}
	for _, u := range m.g.Updates {
		m.vars[u.Variable.Node.Op.(graph.Variable).Label] = r.Value(u.New)
	}
	m.spoil(out, m.vars)
	return out, nil
}

func (m *interpreter) Variable(name string) (*tensor.Tensor, error) { return m.vars[name], nil }

func interpret(spoil func(outputs []*tensor.Tensor, vars map[string]*tensor.Tensor)) Compile {
	return func(g *graph.Graph, vars map[string]*tensor.Tensor) (Machine, error) {
		return &interpreter{g, vars, spoil}, nil
	}
}

func TestCasesRun(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		if names[c.Name] {
			t.Errorf("two cases %s", c.Name)
		}
		names[c.Name] = true
		if errs := c.Check(interpret(func([]*tensor.Tensor, map[string]*tensor.Tensor) {})); len(errs) > 0 {
			t.Errorf("%s: the reference differs from itself: %v", c.Name, errs)
		}
		if len(c.Graph.Outputs)+len(c.Graph.Updates) == 0 {
			t.Errorf("%s shows nothing", c.Name)
		}
	}
}

// A comparison that accepts everything would hide every mistake of an engine.
func TestCheckFindsMistakes(t *testing.T) {
	find := func(name string) Case {
		for _, c := range Cases() {
			if c.Name == name {
				return c
			}
		}
		t.Fatalf("no case %s", name)
		return Case{}
	}
	c := find("train/basic")
	for what, spoil := range map[string]func(out []*tensor.Tensor, vars map[string]*tensor.Tensor){
		"output": func(out []*tensor.Tensor, _ map[string]*tensor.Tensor) { out[0].Float32s()[3] *= 1.05 },
		"NaN": func(out []*tensor.Tensor, _ map[string]*tensor.Tensor) {
			x := out[0].Float32s()
			x[3] = x[3] - x[3]
			x[3] /= x[3]
		},
		"update": func(_ []*tensor.Tensor, vars map[string]*tensor.Tensor) { vars["a.1.w"].Float32s()[7] += 0.01 },
	} {
		if len(c.Check(interpret(spoil))) == 0 {
			t.Errorf("Check did not find a wrong %s", what)
		}
		if len(c.CheckBits(interpret(spoil), interpret(func([]*tensor.Tensor, map[string]*tensor.Tensor) {}))) == 0 {
			t.Errorf("CheckBits did not find a wrong %s", what)
		}
	}
	frozen := find("train/frozen_body")
	change := func(_ []*tensor.Tensor, vars map[string]*tensor.Tensor) { vars["a.1.w"].Float32s()[0] += 1e-6 }
	if len(frozen.Check(interpret(change))) == 0 {
		t.Error("Check did not find a change of a variable that nothing updates")
	}
}

// TestCasesUseEveryOperator reads package graph's source, so that an operator
// cannot be added without cases.
func TestCasesUseEveryOperator(t *testing.T) {
	used := map[string]bool{}
	for _, c := range Cases() {
		for _, n := range c.Graph.Nodes {
			used[reflect.TypeOf(n.Op).Name()] = true
		}
	}
	files, err := filepath.Glob("../../graph/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of package graph: %v", err)
	}
	ops := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Infer" && !strings.HasSuffix(file, "_test.go") {
				ops[fn.Recv.List[0].Type.(*ast.Ident).Name] = true
			}
		}
	}
	if len(ops) < 40 {
		t.Errorf("found only %d operators", len(ops))
	}
	for _, op := range slices.Sorted(maps.Keys(ops)) {
		if !used[op] {
			t.Errorf("no case uses %s", op)
		}
	}
}
