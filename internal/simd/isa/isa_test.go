package isa_test

import (
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestRequiredInstructionSets(t *testing.T) {
	all := isatest.Required()
	if len(all) == 0 {
		t.Skip("RESNET_REQUIRE_ISA is not set")
	}
	have := map[string]bool{"avx2": isa.UseAVX2, "avx512": isa.UseAVX512, isatest.VNNI: isa.UseVNNI, "neon": isa.UseNEON}
	for _, name := range all {
		on, known := have[name]
		if !known {
			t.Errorf("RESNET_REQUIRE_ISA: unknown instruction set %q", name)
		} else if !on {
			t.Errorf("%s is not in use, %s is", name, isa.ISA())
		}
	}
}
