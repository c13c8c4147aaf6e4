// Command vec writes the assembly of the element-wise kernels of package
// kernel (everything but GEMM) and the Go file that declares them. Run it by
// `go generate` in internal/kernel; the output is committed.
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

const generator = "internal/kernel/_asm/vec"

func main() {
	log.SetFlags(0)
	flags := flag.NewFlagSet("vec", flag.ExitOnError)
	out := flags.String("out", "..", "`directory` to write to")
	if err := flags.Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	var stubs strings.Builder
	for _, i := range []isa{avx512, avx2} {
		for _, f := range []struct {
			stem string
			make func(e *emit)
		}{
			{"batchnorm", batchNorm}, {"elementwise", elementwise}, {"optim", optim},
			{"exp", expFunctions}, {"pool", pool}, {"move", move}, {"dropout", dropout},
			{"winograd", winograd}, {"winograd_weights", winogradWeights}, {"winograd_grad", winogradGrad}, {"winograd_stride2", winogradStride2},
		} {
			e := newEmit(i)
			f.make(e)
			file, err := e.Result()
			if err != nil {
				log.Fatalf("%s %s: %v", f.stem, i.name, err)
			}
			if err := pass.Compile.Execute(file); err != nil {
				log.Fatalf("%s %s: %v", f.stem, i.name, err)
			}
			cfg := printer.Config{Name: generator, Pkg: "kernel"}
			asm, err := printer.NewGoAsm(cfg).Print(file)
			if err != nil {
				log.Fatal(err)
			}
			write(*out, f.stem+"_"+strings.ToLower(i.name)+"_amd64.s", asm)
			decls, err := printer.NewStubs(cfg).Print(file)
			if err != nil {
				log.Fatal(err)
			}
			text := string(decls)
			if stubs.Len() > 0 {
				_, text, _ = strings.Cut(text, "package kernel\n")
			}
			stubs.WriteString(text)
		}
	}
	write(*out, "vec_stubs_amd64.go", []byte(stubs.String()))
}

func write(dir, name string, text []byte) {
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
