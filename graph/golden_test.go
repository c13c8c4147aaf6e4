package graph_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// TestGoldens compares every operator's value and gradient, computed by the
// reference interpreter, with PyTorch's in float64.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/ops/*.safetensors")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) {
			tensors, meta := golden.Load(t, file)
			var a golden.Attrs
			meta.Decode(t, "attrs", &a)
			if err := graph.Try(func() { compareGolden(t, meta["op"], a, tensors) }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func compareGolden(t *testing.T, op string, a golden.Attrs, tensors map[string]*tensor.Tensor) {
	const rtol, atol = 1e-5, 1e-6
	g := &graph.Graph{}
	feeds := map[string]*tensor.Tensor{}
	input := func(name string) *graph.Value {
		x, ok := tensors[name]
		if !ok {
			return nil
		}
		v, err := g.Input(name, graph.Type{DType: x.DType(), Shape: x.Shape()})
		if err != nil {
			t.Fatal(err)
		}
		feeds[name] = x
		return v
	}
	var in []*graph.Value
	for v := input("in.0"); v != nil; v = input(fmt.Sprintf("in.%d", len(in))) {
		in = append(in, v)
	}
	out := a.Optimize(g, op, in)
	if out == nil {
		out = a.Apply(g, op, in)
	}
	if out == nil {
		t.Fatalf("the test does not know operation %q", op)
	}

	var loss *graph.Value
	if dout := input("dout.0"); dout != nil {
		loss = g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, out[0], dout))
	}
	var wrt []*graph.Value
	var names []string
	for i := range in {
		if name := fmt.Sprintf("din.%d", i); tensors[name] != nil {
			wrt, names = append(wrt, in[i]), append(names, name)
		}
	}
	var grads []*graph.Value
	if loss != nil {
		var err error
		if grads, err = g.Gradients(loss, wrt); err != nil {
			t.Fatal(err)
		}
	}

	r, err := ref.Run(g, nil, feeds)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		name := fmt.Sprintf("out.%d", i)
		if tensors[name] == nil {
			t.Fatalf("no %s", name)
		}
		golden.Close(t, name, r.Value(v), tensors[name], rtol, atol)
	}
	if tensors[fmt.Sprintf("out.%d", len(out))] != nil {
		t.Errorf("the golden has more than %d outputs", len(out))
	}
	for i, v := range grads {
		golden.Close(t, names[i], r.Value(v), tensors[names[i]], rtol, atol)
	}
}

// TestGoldensCoverEveryFunction fails when an element-wise function or a
// reduction is added without a golden.
func TestGoldensCoverEveryFunction(t *testing.T) {
	has := []graph.UnaryFn{graph.LeakyRelu, graph.Gelu}
	for _, u := range golden.Unary {
		has = append(has, u.Fn)
	}
	for fn := graph.UnaryFn(0); !strings.HasPrefix(fn.String(), "UnaryFn("); fn++ {
		if !slices.Contains(has, fn) {
			t.Errorf("no golden of %v", fn)
		}
	}
	for fn := graph.BinaryFn(0); !strings.HasPrefix(fn.String(), "BinaryFn("); fn++ {
		found := false
		for _, have := range golden.Binary {
			found = found || have == fn
		}
		if !found {
			t.Errorf("no golden of %v", fn)
		}
	}
}
