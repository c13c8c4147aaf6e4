package resnet

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The most probable classes are those of a stable sort, with ties too.
func TestMostProbable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := make([]float64, r.IntN(60))
		for i := range p {
			p[i] = float64(r.IntN(12)) / 12
		}
		want := make([]int, len(p))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int {
			switch {
			case p[a] > p[b]:
				return -1
			case p[a] < p[b]:
				return 1
			}
			return 0
		})
		for _, keep := range []int{1, 2, 5, 32, 33, 100} {
			if got := mostProbable(p, keep); !slices.Equal(got, want[:min(keep, len(want))]) {
				t.Fatalf("the %d most probable of %v are %v, must be %v", keep, p, got, want[:min(keep, len(want))])
			}
		}
	}
}
