package isatest

import (
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Int8ISAs runs f with each set of instructions that integer kernels have.
func Int8ISAs(t *testing.T, f func(t *testing.T)) {
	avx512, avx2, vnni := isa.UseAVX512, isa.UseAVX2, isa.UseVNNI
	defer func() { isa.UseAVX512, isa.UseAVX2, isa.UseVNNI = avx512, avx2, vnni }()
	for _, c := range []struct {
		name               string
		avx512, avx2, vnni bool
	}{
		{"vnni", true, true, true}, {"avx512", true, true, false}, {"avx2", false, true, false}, {"generic", false, false, false},
	} {
		if c.avx512 && !avx512 || c.avx2 && !avx2 || c.vnni && !vnni {
			t.Logf("%s: not on this machine", c.name)
			continue
		}
		isa.UseAVX512, isa.UseAVX2, isa.UseVNNI = c.avx512, c.avx2, c.vnni
		t.Run(c.name, f)
	}
}
