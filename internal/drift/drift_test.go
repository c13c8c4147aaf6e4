package drift

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// draw returns the logits and the embedding of a picture.
func draw(r *rand.Rand, classes, features int, shift float64, weight func(class int) float64) (logits, embedding []float32) {
	logits, embedding = make([]float32, classes), make([]float32, features)
	total := 0.0
	for c := range classes {
		total += weight(c)
	}
	at, chosen := r.Float64()*total, 0
	for chosen < classes-1 && at >= weight(chosen) {
		at -= weight(chosen)
		chosen++
	}
	logits[chosen] = 5
	for i := range embedding {
		embedding[i] = float32(float64(i) + (1+float64(i%3))*(r.NormFloat64()+shift))
	}
	return logits, embedding
}

// Pictures like those of the reference do not drift, with ten classes or a thousand;
// others do: in what is predicted, in the embeddings, or in both.
func TestWatch(t *testing.T) {
	even := func(int) float64 { return 1 }
	for _, classes := range []int{2, 10, 1000} {
		r := rand.New(rand.NewPCG(uint64(classes), 1))
		var b Builder
		for range 2000 {
			b.Add(draw(r, classes, 64, 0, even))
		}
		text, err := json.Marshal(b.Reference())
		if err != nil {
			t.Fatal(err)
		}
		ref, err := Parse(text, classes)
		if err != nil || !reflect.DeepEqual(ref, b.Reference()) {
			t.Fatalf("%v; %v", err, ref)
		}
		if m, s := ref.Mean[4], ref.Std[4]; math.Abs(m-4) > 0.2 || math.Abs(s-2) > 0.15 {
			t.Errorf("mean %v, deviation %v, want 4 and 2", m, s)
		}
		uneven := func(c int) float64 { return float64(1 + 20*(c%2)) }
		for _, c := range []struct {
			shift                    float64
			weight                   func(int) float64
			psiLow, psiHigh, low, up float64
		}{
			{0, even, 0, 0.1, 0, 0.1},
			{1, even, 0, 0.1, 0.9, 1.1},
			{-0.5, uneven, 0.2, 10, 0.4, 0.6},
			{0, uneven, 0.2, 10, 0, 0.1},
		} {
			if classes == 1000 && c.psiLow > 0 {
				c.weight = func(c int) float64 { return float64(1 + 20*(c/500)) }
				c.psiLow = 0.02 // bins of many rare classes have some of both kinds
			}
			w := NewWatch(ref)
			if n, psi, d := w.State(); n != 0 || psi != 0 || d != 0 {
				t.Errorf("before the first picture: %d, %v, %v", n, psi, d)
			}
			if !w.Fits(classes, 64) || w.Fits(classes+1, 64) || w.Fits(classes, 63) {
				t.Error("what fits is not told")
			}
			for range 4000 { // of another kind, and forgotten
				w.Add(draw(r, classes, 64, 3, func(c int) float64 { return float64(1 - min(c, 1)) }))
			}
			for range 10 * Memory {
				w.Add(draw(r, classes, 64, c.shift, c.weight))
			}
			n, psi, d := w.State()
			if n != 4000+10*Memory || !(psi >= c.psiLow && psi <= c.psiHigh) || !(d >= c.low && d <= c.up) {
				t.Errorf("%d classes, shift %v: %d pictures, PSI %.3f, distance %.3f, want %v to %v and %v to %v", classes, c.shift, n, psi, d, c.psiLow, c.psiHigh, c.low, c.up)
			}
		}
	}
}

func TestParseRefusesWhatIsNoReference(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "{}", `{"pictures":1,"predicted":[1],"mean":[1],"std":[1]}`, `{"pictures":1,"predicted":[1,0],"mean":[1],"std":[]}`,
		`{"pictures":1,"predicted":[1,0],"mean":[1],"std":[-1]}`, `{"pictures":1,"predicted":[1,0],"mean":[1e300],"std":[1]}`, `{"pictures":0,"predicted":[1,0],"mean":[1],"std":[1]}`} {
		if r, err := Parse(json.RawMessage(text), 2); err == nil {
			t.Errorf("%s is %+v", text, r)
		}
	}
}
