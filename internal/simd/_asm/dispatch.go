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

// dispatch writes, for each kernel of the declared ones, a function that calls it
// on the instruction set in use: pkg_amd64.go, pkg_arm64.go and, where there is no
// assembly, pkg_noasm.go. All declare the same functions, so that the code that
// calls them needs no build tags; it calls none that the instruction set lacks.
func (o output) dispatch(pkg string) {
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
		text, imports := "", ""
		for _, e := range list {
			text += fmt.Sprintf("func %sAsm(%s) {\n", e.name, e.signature)
			var have []string
			for _, isa := range target.isas {
				if slices.Contains(e.isas, isa) {
					have = append(have, isa)
				}
			}
			var args []string
			for _, p := range params(e.signature) {
				args = append(args, p.name)
			}
			call := func(isa string) string { return e.name + isa + "(" + strings.Join(args, ", ") + ")\n" }
			switch len(have) {
			case 0:
				text += "panic(noAssembly)\n"
			case 1:
				text += call(have[0])
			case 2:
				imports = "import \"github.com/resnet-go/resnet/internal/simd/isa\"\n\n"
				text += "if isa.Use" + have[0] + " {\n" + call(have[0]) + "} else {\n" + call(have[1]) + "}\n"
			}
			text += "}\n\n"
		}
		o.source(pkg, pkg+"_"+target.file+".go", []byte(strings.Replace(header(pkg), "!purego", target.tags, 1)+imports+
			"// noAssembly is a bug of the caller, which asks for the instruction set first.\n"+
			"const noAssembly = \""+pkg+": this instruction set has no such kernel\"\n\n"+text))
	}
}
