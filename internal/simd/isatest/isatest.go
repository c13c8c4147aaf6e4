package isatest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// level is a set of instructions that kernels choose by.
type level struct{ avx2, avx512, vnni, neon bool }

// VNNI is the level of AVX-512 with 8-bit dot products, which integer kernels
// alone use.
const VNNI = "avx512vnni"

// levels has the name of each as RESNET_REQUIRE_ISA has it.
var levels = []struct {
	name string
	level
}{
	{"generic", level{}},
	{"avx2", level{avx2: true}},
	{"avx512", level{avx2: true, avx512: true}},
	{VNNI, level{avx2: true, avx512: true, vnni: true}},
	{"neon", level{neon: true}},
}

func current() level {
	return level{avx2: isa.UseAVX2, avx512: isa.UseAVX512, vnni: isa.UseVNNI, neon: isa.UseNEON}
}

func (l level) use() {
	isa.UseAVX2, isa.UseAVX512, isa.UseVNNI, isa.UseNEON = l.avx2, l.avx512, l.vnni, l.neon
}

// within reports whether a machine with has can run l.
func (l level) within(has level) bool {
	return (!l.avx2 || has.avx2) && (!l.avx512 || has.avx512) && (!l.vnni || has.vnni) && (!l.neon || has.neon)
}

// EachISA runs f once for every instruction set of this machine and once for
// the portable kernels. VNNI is among them only where extra names it: only tests
// of integer kernels need to run once more for it.
func EachISA(t *testing.T, f func(t *testing.T), extra ...string) {
	t.Helper()
	has := current()
	t.Cleanup(has.use)
	for _, l := range levels {
		if l.name == VNNI && !slices.Contains(extra, VNNI) {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			if !l.within(has) {
				if slices.Contains(Required(), l.name) {
					t.Fatalf("RESNET_REQUIRE_ISA names %s, which this machine or build does not have", l.name)
				}
				t.Skipf("this machine or build has no %s", l.name)
			}
			l.use()
			f(t)
		})
	}
	has.use()
}

// Required returns the instruction sets that the environment variable
// RESNET_REQUIRE_ISA names, separated by commas: CI names those of its processor
// as the system reports them, so that a mistake in detecting them cannot leave
// kernels untested.
func Required() []string {
	return strings.FieldsFunc(os.Getenv("RESNET_REQUIRE_ISA"), func(r rune) bool { return r == ',' || r == ' ' })
}
