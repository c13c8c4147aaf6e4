package nn_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Filters are set as PyTorch's dirac_ sets them; the others are what rest has drawn.
func TestDiracEqualsPyTorch(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "dirac.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]float32
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) < 4 {
		t.Fatalf("%d cases", len(want))
	}
	for name, w := range want {
		var shape tensor.Shape
		for d := range strings.SplitSeq(name, "x") {
			n, err := strconv.Atoi(d)
			if err != nil {
				t.Fatal(err)
			}
			shape = append(shape, n)
		}
		x := tensor.New(shape...)
		nn.Dirac(nn.Constant(7))(x, nil)
		if !slices.Equal(x.Float32s(), w) {
			t.Errorf("%s: %v, want %v", name, x.Float32s(), w)
		}
	}
}

// A convolution with "same" padding that begins so gives its input, and the filters
// beyond have the numbers that they have without.
func TestDiracIsTheIdentity(t *testing.T) {
	conv := nn.NewConv2d(3, 5, 3, nn.Padding(1), nn.NoBias())
	conv.Weight.Init = nn.HeNormal(nn.FanOut)
	if err := nn.Init(conv, 4); err != nil {
		t.Fatal(err)
	}
	random := slices.Clone(conv.Weight.Value.Float32s())
	conv.Weight.Init = nn.Dirac(nn.HeNormal(nn.FanOut))
	if err := nn.Init(conv, 4); err != nil {
		t.Fatal(err)
	}
	w := conv.Weight.Value.Float32s()
	if !slices.Equal(w[3*27:], random[3*27:]) {
		t.Error("the filters beyond the input's channels are not as without Dirac")
	}
	tr, err := nn.Trace(conv, nn.TraceOptions{Input: graph.F32(1, 3, 4, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if s := tr.Output.Shape; !s.Equal(tensor.Shape{1, 5, 4, 4}) {
		t.Fatalf("output %v", s)
	}
	for k := range 3 {
		for c := range 3 {
			for p := range 9 {
				want := float32(0)
				if k == c && p == 4 {
					want = 1
				}
				if got := w[(k*3+c)*9+p]; got != want {
					t.Errorf("filter %d, channel %d, number %d is %v, want %v", k, c, p, got, want)
				}
			}
		}
	}
}
