package doctor

import (
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/internal/golden"
)

func TestVectorsAreThoseOfTheGoldens(t *testing.T) {
	for _, ref := range references {
		tensors, _ := golden.Load(t, filepath.Join("..", "..", "..", "models", "testdata", ref.file))
		want := tensors["eval.logits"]
		if d := ref.difference(want); d > 1e-8 { // printed with nine digits
			t.Errorf("%s: the stored logits differ from the golden ones by %g", ref.model, d)
		}
	}
}

func TestReferencesPassAndMistakesDoNot(t *testing.T) {
	for _, ref := range references {
		logits, err := ref.run(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if d := ref.difference(logits); d > tolerance {
			t.Errorf("%s: difference %g", ref.model, d)
		}
		logits.Float32s()[3] *= 1.01
		if d := ref.difference(logits); d <= tolerance {
			t.Errorf("%s: a logit 1%% off passed (%g)", ref.model, d)
		}
	}
}

func TestRun(t *testing.T) {
	r, err := Run(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.GEMMGFLOPS <= 0 || r.GEMMAllGFLOPS <= 0 || r.ImagesPerSecond != 0 || r.Threads != 1 {
		t.Errorf("report %+v", r)
	}
}
