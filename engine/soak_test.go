package engine_test

import (
	"testing"

	"github.com/resnet-go/resnet/internal/enginetest"
)

func TestSoak(t *testing.T) {
	for seed := uint64(100); seed < 112; seed++ {
		enginetest.CompareRandom(t, compiler(2, false), seed, 3000)
	}
}
