package resnet

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestWithHead: the new last layer's scores are those of the linear classifier, of a
// classifier's features and of a backbone's, also after the model was saved.
func TestWithHead(t *testing.T) {
	ds := pictures(t, []string{"x", "y", "z"}, 9)
	for name, m := range map[string]*Model{
		"classifier": open(t, filledFile(t, nil), Options{Batch: 4}),
		"backbone":   backbone(t),
	} {
		seen := 0
		s, err := m.EmbedDataset(t.Context(), ds, EvaluateOptions{Progress: func(n int) { seen += n }})
		if err != nil {
			t.Fatal(err)
		}
		if seen != 9 || len(s.Index) != 9 || s.Labels[4] != 1 || s.Classes != 3 {
			t.Fatalf("%s: %d seen, %+v", name, seen, s)
		}
		one, err := m.Embed(t.Context(), Image(picture(5, 32, 32)))
		if err != nil {
			t.Fatal(err)
		}
		d := s.X.Shape()[1]
		for j, v := range s.X.Float32s()[5*d : 6*d] {
			if math.Abs(float64(v-one[j])) > 1e-4*(1+math.Abs(float64(v))) {
				t.Fatalf("%s: feature %d is %v, and %v of the dataset", name, j, one[j], v)
			}
		}
		head, err := features.FitLinear(s.Set, features.LinearOptions{})
		if err != nil {
			t.Fatal(err)
		}
		full, err := m.WithHead(head, Description{Name: "new", Classes: ds.Classes()})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "new.safetensors")
		if err := full.Save(path); err != nil {
			t.Fatal(err)
		}
		want, err := head.Classify(s.X)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ds.Len() {
			r, err := open(t, path, Options{}).Classify(t.Context(), Image(picture(i, 32, 32)))
			if err != nil || r[0].Index != want[i] || r[0].Class != ds.Classes()[want[i]] {
				t.Errorf("%s: picture %d: %v, want class %d: %v", name, i, r, want[i], err)
			}
		}
		head.W = tensor.New(3, d+1)
		if _, err := m.WithHead(head, Description{}); err == nil || !strings.Contains(err.Error(), "features") {
			t.Errorf("%s: a head of another width: %v", name, err)
		}
	}
}

// backbone is a network without a last layer.
func backbone(t *testing.T) *Model {
	t.Helper()
	net, err := models.New("resnet8-cifar", models.Classes(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	m, err := FromModule(net, Description{Preprocess: prep}, Options{Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
