// Command vec writes the assembly of the element-wise kernels of packages
// vec and wino and the Go file that declares them. Run it by
// `go generate` in internal/simd/gemm; the output is committed.
//
// A kernel is described once, for both instruction sets, by the functions of
// emit.go: flat (an array), rows (rows x channels with per-channel operands)
// and sums (rows x channels reduced to channels).
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

const generator = "internal/simd/_asm/vec"

func main() {
	log.SetFlags(0)
	flags := flag.NewFlagSet("vec", flag.ExitOnError)
	out := flags.String("out", "..", "`directory` to write to")
	if err := flags.Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	stubs := map[string]*strings.Builder{"vec": {}, "wino": {}}
	for _, i := range []isa{avx512, avx2} {
		for _, f := range []struct {
			stem string
			make func(e *emit)
		}{
			{"batchnorm", batchNorm}, {"elementwise", elementwise}, {"optim", optim},
			{"exp", expFunctions}, {"pool", pool}, {"move", move}, {"dropout", dropout},
			{"wino", winograd}, {"wino_weights", winogradWeights}, {"wino_grad", winogradGrad}, {"wino_stride2", winogradStride2},
		} {
			pkg := "vec"
			if strings.HasPrefix(f.stem, "wino") {
				pkg = "wino"
			}
			e := newEmit(i)
			f.make(e)
			file, err := e.Result()
			if err != nil {
				log.Fatalf("%s %s: %v", f.stem, i.name, err)
			}
			if err := pass.Compile.Execute(file); err != nil {
				log.Fatalf("%s %s: %v", f.stem, i.name, err)
			}
			cfg := printer.Config{Name: generator, Pkg: pkg}
			asm, err := printer.NewGoAsm(cfg).Print(file)
			if err != nil {
				log.Fatal(err)
			}
			write(filepath.Join(*out, pkg), f.stem+"_"+strings.ToLower(i.name)+"_amd64.s", asm)
			decls, err := printer.NewStubs(cfg).Print(file)
			if err != nil {
				log.Fatal(err)
			}
			text := string(decls)
			if stubs[pkg].Len() > 0 {
				_, text, _ = strings.Cut(text, "package "+pkg+"\n")
			}
			stubs[pkg].WriteString(text)
		}
	}
	for pkg, text := range stubs {
		write(filepath.Join(*out, pkg), pkg+"_stubs_amd64.go", []byte(text.String()))
	}
}

func write(dir, name string, text []byte) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		log.Fatal(err)
	}
}

func newEmit(i isa) *emit {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	e := &emit{Context: c, isa: i, consts: map[uint64]bool{}}
	return e
}
