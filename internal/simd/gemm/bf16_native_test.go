package gemm

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// forceEnv has the tests of a process use the bfloat16 instructions although the
// processor does not list them.
const forceEnv = "RESNET_TEST_FORCE_BF16"

func init() {
	if isa.HaveAsm && isa.UseAVX512 && os.Getenv(forceEnv) != "" {
		isa.HaveBF16 = true
	}
}

// The instructions themselves give the bits of the Go reference, also where the
// processor has them and a virtual machine hides that: a child process tries.
// A processor that lacks them ends it by an illegal instruction.
func TestBF16NativeInChild(t *testing.T) {
	if isa.HaveBF16 || !isa.HaveAsm || !isa.UseAVX512 {
		t.Skip("the other tests cover it, or there is no AVX-512")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBF16(MicroKernels|Packing|Conv)$/^(native|avx512)$/bf16native", "-test.v")
	cmd.Env = append(os.Environ(), forceEnv+"=1")
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case strings.Contains(text, "SIGILL"):
		t.Skip("this processor has no AVX512-BF16")
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case !strings.Contains(text, "--- PASS: TestBF16MicroKernels/native"):
		t.Fatalf("the tests did not run:\n%s", out)
	}
	t.Log("run on a processor that has AVX512-BF16 and does not list it")
}
