package cpu

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The levels nest, and a wider one never stands without the one below it.
func TestLevelsNest(t *testing.T) {
	if AVX512 && !AVX2 {
		t.Error("AVX512 without AVX2")
	}
	if (AVX512VNNI || AVX512BF16) && !AVX512 {
		t.Error("an AVX-512 extension without AVX512")
	}
	if s := String(); s == "" {
		t.Error("String is empty")
	}
}

// GODEBUG switches a level off. It is read at start-up, so the test runs
// itself again in a child with the variable set.
func TestGodebugSwitches(t *testing.T) {
	if want, child := os.LookupEnv("RESNET_TEST_LEVEL"); child {
		on := map[string]bool{"avx512": AVX512, "avx2": AVX2, "neon": NEON}
		if on[want] {
			t.Errorf("%s is on although GODEBUG=%q", want, os.Getenv("GODEBUG"))
		}
		if want == "avx512" && !AVX2 {
			t.Error("switching AVX-512 off took AVX2 with it")
		}
		if want == "avx2" && AVX512 {
			t.Error("AVX-512 is on although AVX2 is off")
		}
		return
	}
	for _, c := range []struct {
		level, godebug string
		on             bool
	}{
		{"avx512", "cpu.avx512f=off", AVX512},
		{"avx2", "cpu.avx2=off", AVX2},
		{"neon", "cpu.asimd=off", NEON},
	} {
		if !c.on {
			t.Logf("%s: not on this machine", c.level)
			continue
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestGodebugSwitches$")
		cmd.Env = append(os.Environ(), "GODEBUG="+c.godebug, "RESNET_TEST_LEVEL="+c.level)
		if out, err := cmd.CombinedOutput(); errors.Is(err, syscall.ENOEXEC) {
			t.Skipf("%v: the processor is emulated, run this test with GODEBUG=%s RESNET_TEST_LEVEL=%s", err, c.godebug, c.level)
		} else if err != nil {
			t.Errorf("GODEBUG=%s: %v\n%s", c.godebug, err, strings.TrimSpace(string(out)))
		}
	}
}

// TestRequired lets CI say which instruction sets must be found, so that paths
// are not left out unnoticed: RESNET_REQUIRE_ISA=avx512,avx2.
func TestRequired(t *testing.T) {
	want := os.Getenv("RESNET_REQUIRE_ISA")
	if want == "" {
		t.Skip("RESNET_REQUIRE_ISA names no instruction sets")
	}
	for name := range strings.SplitSeq(want, ",") {
		if !slices.Contains(Names(), name) {
			t.Errorf("%s is required, found are: %s", name, String())
		}
	}
}
