package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// entry is a kernel of a package: its name without that of an instruction set.
type entry struct {
	name, signature string // the signature is the list of parameters
	isas            []string
}

var declaration = regexp.MustCompile(`(?m)^func (\w+?)(AVX512|AVX2|NEON)\((.*)\)$`)

var textSymbol = regexp.MustCompile(`(?m)^TEXT ·(\w+)\(SB\), NOSPLIT, \$\d+-(\d+)$`)

// dispatch writes, for each kernel of the declared ones, a function that continues
// as the kernel of the instruction set in use: a jump, which takes over the frame
// of the arguments, since a call that copies them costs as much as the transform
// of a few pixels. pkg_amd64.go and pkg_arm64.go declare these functions, and
// pkg_noasm.go where there is no assembly. All declare the same, so that the code
// that calls them needs no build tags; it calls none that the instruction set
// lacks.
func (o output) dispatch(pkg string) {
	argBytes := map[string]string{} // by symbol
	for name, text := range o {
		if strings.HasPrefix(name, pkg+"/") && strings.HasSuffix(name, ".s") {
			for _, m := range textSymbol.FindAllStringSubmatch(string(text), -1) {
				argBytes[m[1]] = m[2]
			}
		}
	}
	var list []*entry
	for name, text := range o {
		if !strings.HasPrefix(name, pkg+"/") || !strings.Contains(name, "_stubs_") {
			continue
		}
		for _, m := range declaration.FindAllStringSubmatch(string(text), -1) {
			at := slices.IndexFunc(list, func(e *entry) bool { return e.name == m[1] })
			if at < 0 {
				at = len(list)
				list = append(list, &entry{name: m[1], signature: m[3]})
			}
			e := list[at]
			if a, b := fmt.Sprint(params(e.signature)), fmt.Sprint(params(m[3])); a != b {
				panic(fmt.Sprintf("%s.%s has the parameters %s and %s", pkg, e.name, a, b))
			}
			// The shortest spelling, so that the order of the files does not matter.
			if len(m[3]) < len(e.signature) || len(m[3]) == len(e.signature) && m[3] < e.signature {
				e.signature = m[3]
			}
			e.isas = append(e.isas, m[2])
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	for _, target := range []struct {
		file, tags string
		isas       []string // the best first
	}{
		{"amd64", "!purego", []string{"AVX512", "AVX2"}},
		{"arm64", "!purego", []string{"NEON"}},
		{"noasm", "(!amd64 && !arm64) || purego", nil},
	} {
		text, asm, best := "", "", "" // best is what the assembly asks for
		for _, e := range list {
			var have []string
			for _, isa := range target.isas {
				if slices.Contains(e.isas, isa) {
					have = append(have, isa)
				}
			}
			if len(have) == 0 {
				text += fmt.Sprintf("func %sAsm(%s) { panic(noAssembly) }\n\n", e.name, e.signature)
				continue
			}
			text += fmt.Sprintf("//go:noescape\nfunc %sAsm(%s)\n\n", e.name, e.signature)
			bytes := argBytes[e.name+have[0]]
			if bytes == "" {
				panic(pkg + "." + e.name + have[0] + " is declared, but no assembly has it")
			}
			asm += fmt.Sprintf("\nTEXT ·%sAsm(SB), NOSPLIT, $0-%s\n", e.name, bytes)
			if len(have) == 2 {
				best = have[0]
				asm += "\tMOVQ ·use" + best + "(SB), AX\n\tCMPB (AX), $0\n\tJNE  2(PC)\n\tJMP  ·" + e.name + have[1] + "(SB)\n"
			}
			asm += "\tJMP  ·" + e.name + have[0] + "(SB)\n"
		}
		head, imports := strings.Replace(header(pkg), "!purego", target.tags, 1), ""
		if best != "" {
			// The assembler does not take the hyphen in the path of package isa.
			imports = "import \"github.com/resnet-go/resnet/internal/simd/isa\"\n\n"
			text = "// use" + best + " is where the assembly finds whether to use it.\n//\n//lint:ignore U1000 assembly reads it\nvar use" + best + " = &isa.Use" + best + "\n\n" + text
		}
		o.source(pkg, pkg+"_"+target.file+".go", []byte(head+imports+
			"// noAssembly is a bug of the caller, which asks for the instruction set first.\n"+
			"const noAssembly = \""+pkg+": this instruction set has no such kernel\"\n\n"+text))
		if asm != "" {
			head, _, _ := strings.Cut(head, "package")
			o[pkg+"/"+pkg+"_dispatch_"+target.file+".s"] = []byte(head + "#include \"textflag.h\"\n" + asm)
		}
	}
}
