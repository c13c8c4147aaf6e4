package graph_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// checkInfer infers the type of one operator on hostile types.
func checkInfer(t *testing.T, bytes []byte) {
	c := &enginetest.Choices{Bytes: bytes}
	op := enginetest.Hostile.Op(c)
	in := make([]graph.Type, c.Below(7))
	for i := range in {
		if i > 0 && c.Below(2) == 1 { // equal types, so that some get through
			in[i] = in[c.Below(i)]
			continue
		}
		in[i] = graph.Type{DType: []tensor.DType{tensor.Float32, tensor.Float32, tensor.Float32, tensor.Int64, 9}[c.Below(5)], Shape: enginetest.Hostile.Shape(c, c.Below(6))}
	}
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("%s %+v of %v panics: %v", op.Name(), op, in, r)
		}
	}()
	out, err := op.Infer(in)
	if err != nil {
		return
	}
	for _, o := range out {
		n := 1.0
		for _, d := range o.Shape {
			if d < 1 {
				t.Fatalf("%s %+v of %v gives %v", op.Name(), op, in, out)
			}
			n *= float64(d)
		}
		if n != float64(o.Shape.Numel()) && n < 1<<53 || n >= 1<<53 {
			t.Fatalf("%s %+v of %v gives %v, whose elements overflow", op.Name(), op, in, out)
		}
	}
}

func TestInferWithstandsHostileTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bytes := make([]byte, 64)
	for range 300000 {
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		checkInfer(t, bytes)
	}
}

func FuzzInfer(f *testing.F) {
	for i := range 45 {
		f.Add([]byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	}
	f.Fuzz(checkInfer)
}

// TestShapeRulesEqualWhatIsComputed runs random graphs, and the gradients of
// those that have one, on the reference interpreter, which finds the shapes
// anew from the values and compares them with the shape rules.
func TestShapeRulesEqualWhatIsComputed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	bytes := make([]byte, 4096)
	used, differentiated := map[string]int{}, 0
	for range 1500 {
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		c := enginetest.RandomCase(bytes, 60)
		for _, n := range c.Graph.Nodes {
			used[n.Op.Name()]++
		}
		for _, o := range c.Graph.Outputs {
			if i := strings.TrimPrefix(o.Name, "d"); i != o.Name {
				differentiated++
				if in := c.Inputs["in"+i]; !o.Value.Shape.Equal(in.Shape()) {
					t.Errorf("the gradient of %v has type %v", in, o.Value.Type)
				}
			}
		}
		if _, err := ref.Run(c.Graph, nil, c.Inputs); err != nil && !errors.Is(err, ref.ErrValue) {
			t.Fatal(err)
		}
	}
	if len(used) < 55 || differentiated < 300 {
		t.Errorf("only %d operators and %d gradients were tried: %v", len(used), differentiated, used)
	}
}
