package metrics_test

import (
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/metrics"
)

// SureAbove is the lowest probability that a search through all of them finds.
func TestSureAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 300 {
		n, classes := 1+rng.IntN(30), 2+rng.IntN(4)
		share := rng.Float64()
		logits, labels := make([]float32, n*classes), make([]int, n)
		for i := range labels {
			labels[i] = rng.IntN(classes)
			for k := range classes {
				logits[i*classes+k] = float32(rng.IntN(5)) // so that there are equal ones
			}
			logits[i*classes+labels[i]] += float32(rng.IntN(3))
		}
		probability := func(i int) (p float64, right bool) {
			z := logits[i*classes : (i+1)*classes]
			top := metrics.ArgMax(z)
			return metrics.Softmax(z, 1)[top], top == labels[i]
		}
		want := 0.0
		for i := range n {
			p, _ := probability(i)
			all, right := 0, 0
			for k := range n {
				if q, ok := probability(k); q >= p {
					all++
					if ok {
						right++
					}
				}
			}
			if float64(right) >= share*float64(all) && (want == 0 || p < want) {
				want = p
			}
		}
		if got := metrics.SureAbove(logits, labels, classes, share); got != want {
			t.Errorf("%d answers of %d classes, share %v: %v, want %v", n, classes, share, got, want)
		}
		if want > 0 {
			found++
		}
	}
	if found < 100 || found == 300 {
		t.Errorf("%d of 300 cases have a threshold", found)
	}
	if got := metrics.SureAbove(nil, nil, 3, 0.5); got != 0 {
		t.Errorf("no answers: %v", got)
	}
}
