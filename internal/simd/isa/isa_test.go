package isa

import (
	"os"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/cpu"
)

func TestRequiredInstructionSets(t *testing.T) {
	all := strings.Fields(os.Getenv("RESNET_REQUIRE_ISA"))
	if len(all) == 0 {
		t.Skip("RESNET_REQUIRE_ISA is not set")
	}
	have := map[string]bool{"avx2": UseAVX2, "avx512": UseAVX512, "avx512vnni": cpu.AVX512VNNI, "neon": UseNEON}
	for _, isa := range all {
		on, known := have[isa]
		if !known {
			t.Errorf("RESNET_REQUIRE_ISA: unknown instruction set %q", isa)
		} else if !on {
			t.Errorf("%s is not in use, %s is", isa, ISA())
		}
	}
}
