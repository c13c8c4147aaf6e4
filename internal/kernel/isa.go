package kernel

import "github.com/resnet-go/resnet/internal/cpu"

// Which instruction sets the kernels of this package use. Built with the tag
// purego all stay false. Tests flip them to run each variant; nothing else
// writes them after start-up.
var (
	useAVX2   = haveAsm && cpu.AVX2
	useAVX512 = haveAsm && cpu.AVX512
	useNEON   = haveAsm && cpu.NEON
)

// ISA returns the name of the widest instruction set in use: "avx512", "avx2",
// "neon" or "generic".
func ISA() string {
	switch {
	case useAVX512:
		return "avx512"
	case useAVX2:
		return "avx2"
	case useNEON:
		return "neon"
	}
	return "generic"
}
