package features

import (
	"fmt"
	"testing"
)

// BenchmarkNearest: neighbors of all rows, 512 numbers each.
func BenchmarkNearest(b *testing.B) {
	for _, n := range []int{2000, 10_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := random(b, n, 512, 50, 1)
			for b.Loop() {
				if _, err := Nearest(x.X, 90, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
