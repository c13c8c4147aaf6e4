package serve

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// A model opened with BatchInvariant gives the bits of a picture alone in mixed batches,
// too, and is computed in batches. For 64 x 64, resnet18's algorithms of batches differ
// from those of one picture otherwise, so that 6 of the 7 pictures have other bits.
func TestMixedBatchesHaveTheBitsOfSinglePictures(t *testing.T) {
	p := data.Preprocess{Channels: 3, Width: 64, Height: 64, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	m, err := resnet.New("resnet18", 1, resnet.Options{Batch: 8, Compute: resnet.Compute{BatchInvariant: true}, Weights: resnet.WeightsOnly{Preprocess: &p}})
	if err != nil {
		t.Fatal(err)
	}
	s, web := start(t, Options{Models: []Source{Of("m", m)}, SameBits: true})
	in, err := s.hold("m", "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.drop()
	pictures := map[string][]byte{}
	var alone []answer
	for i := range 7 {
		pictures[fmt.Sprint(i)] = picturePNG(t, i, 60+i, 70)
		var a answer
		ask(t, "POST", web.URL+"/v1/embed", "", pictures[fmt.Sprint(i)], 200, &a)
		alone = append(alone, a)
	}
	// While this job holds the model, all the others come together.
	began, gate := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := in.queue.do(&job{ctx: t.Context(), n: 1, run: func(context.Context) error { close(began); <-gate; return nil }}); err != nil {
			t.Error(err)
		}
	})
	<-began
	wg.Go(func() { defer close(gate); until(t, func() bool { return in.queue.length() == 7 }) })
	body, kind := form(t, pictures)
	var together answer
	ask(t, "POST", web.URL+"/v1/embed", kind, body, 200, &together)
	wg.Wait()
	for i, a := range alone {
		if !slices.Equal(a.Results[0].Embedding, together.Results[i].Embedding) {
			t.Errorf("picture %d has other bits in a mixed batch", i)
		}
	}
	if batches := in.stats.snapshot().batches; !slices.ContainsFunc(batches, func(b batchTally) bool { return b.Rows == 7 }) {
		t.Errorf("batches are %v, must have one of 7 pictures", batches)
	}
}
