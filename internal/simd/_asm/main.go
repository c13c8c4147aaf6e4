// Command _asm writes the assembly of the packages in internal/simd and the Go
// files that declare and dispatch it. Run it by `go generate ./internal/simd/isa`;
// the output is committed, and a test of package isa compares it with what this
// program writes.
//
// Kernels over arrays (elementwise.go, optim.go, batchnorm.go, exp.go) and the
// lines of Winograd's transforms are written once, for any [machine]: avx, which
// builds on avo, and neon. avo knows amd64 only, and Go's assembler lacks most
// vector instructions of arm64, so neon encodes them (neon_encode.go) and writes
// words, each with its name in a comment; a test has GNU as assemble the comments
// and compares. The micro-kernels of matrix products use every register and are
// written for each architecture: gemm.go, bf16.go, gemm8.go and neon_gemm.go.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"

	"github.com/resnet-go/resnet/internal/simd/_asm/layout"
)

const generator = "internal/simd/_asm"

func main() {
	log.SetFlags(0)
	// avo has a flag of that name in the default set.
	flags := flag.NewFlagSet("_asm", flag.ExitOnError)
	out := flags.String("out", "..", "`directory` to write to")
	if err := flags.Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	files := output{}
	files.gemms()
	files.avx()
	files.neon()
	files.dispatch("vec")
	files.dispatch("wino")
	for name, text := range files {
		path := filepath.Join(*out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// output is the text of each file, by PACKAGE/NAME.
type output map[string][]byte

// gemms writes the kernels of amd64 that are made of physical registers.
func (o output) gemms() {
	var stubs, halves stubs
	for _, i := range []*isa{avx512, avx2, bf16} {
		s := &stubs
		if i == bf16 {
			s = &halves
		}
		for _, op := range []op{nn, tn} {
			o.asm("gemm", fmt.Sprintf("gemm_%s_%s_amd64.s", op, i.suffix), func(c *build.Context) {
				for _, shape := range i.shapes(op) {
					gemmKernel(c, i, shape)
					s.kernel(i, shape)
				}
			})
		}
	}
	o.source("gemm", "gemm_stubs_amd64.go", stubs.file(gemmArgs))
	o.asm("gemm", "bf16_pack_amd64.s", packKernels)
	o.source("gemm", "bf16_stubs_amd64.go", append(halves.file(packArgs), packStubs...))
	for _, i := range []*isa{avx512, avx2} {
		o.asm("gemm8", fmt.Sprintf("gemm8_%s_amd64.s", i.suffix), func(c *build.Context) {
			gemm8Shapes(i, func(m, nz int) { gemm8Kernel(c, i, m, nz) })
			for m := 1; m <= gemm8SumRows[i]; m++ {
				gemm8Sum(c, i, m)
			}
			gemm8Store(c, i)
			if i == avx2 {
				gemm8Widen(c)
			}
		})
		o.asm("vec", fmt.Sprintf("quant_%s_amd64.s", i.suffix), func(c *build.Context) { quantKernels(c, i) })
	}
	o.source("gemm8", "gemm8_stubs_amd64.go", gemm8Stubs())
	o.source("vec", "quant_stubs_amd64.go", quantStubs())
	o.source("vec", "stats_stubs_amd64.go", []byte(header("vec")+o.asm("vec", "stats_amd64.s", statsKernels)))
	o.asm("isa", "peak_amd64.s", peakKernels)
	o.asm("isa", "bf16_peak_amd64.s", bf16PeakKernel)
	o.asm("pixels", "pixels_amd64.s", pixelKernels)
	o.asm("pixels", "jpeg_amd64.s", jpegKernels)
}

// avx writes the other kernels of amd64.
func (o output) avx() {
	decls := map[string]string{}
	for _, i := range []*isa{avx512, avx2} {
		for _, f := range []struct {
			pkg, stem string
			make      func(e *avx)
		}{
			{"vec", "batchnorm", func(e *avx) { batchNorm(e) }},
			{"vec", "elementwise", func(e *avx) { elementwise(e) }},
			{"vec", "optim", func(e *avx) { optim(e); e.sumSquares() }},
			{"vec", "exp", func(e *avx) { expFunctions(e) }},
			{"vec", "pool", (*avx).pool}, {"vec", "depthwise", (*avx).depthwise}, {"vec", "depthwise_words", (*avx).depthwiseWords}, {"vec", "move", (*avx).move}, {"vec", "dropout", (*avx).dropout},
			{"wino", "wino", (*avx).winograd}, {"wino", "wino_weights", (*avx).winogradWeights},
			{"wino", "wino_grad", (*avx).winogradGrad}, {"wino", "wino_stride2", (*avx).winogradStride2},
			{"wino", "wino_int", (*avx).winogradInt},
		} {
			e := newAVX(i)
			f.make(e)
			if len(e.ptr) == 0 { // it has no kernels for this instruction set
				continue
			}
			decls[f.pkg] += o.compile(f.pkg, f.stem+"_"+i.suffix+"_amd64.s", e.Context)
		}
	}
	for pkg, text := range decls {
		o.source(pkg, pkg+"_stubs_amd64.go", []byte(header(pkg)+text))
	}
}

// neon writes the kernels of arm64.
func (o output) neon() {
	o["gemm/gemm_neon_arm64.s"] = neonGEMMs().file()
	o["pixels/jpeg_neon_arm64.s"] = jpegNEON()
	o.source("gemm", "gemm_stubs_arm64.go", neonGEMMStubs())
	decls := map[string]string{}
	for _, f := range []struct {
		pkg, stem string
		make      func(e *neon)
	}{
		{"vec", "batchnorm", func(e *neon) { batchNorm(e) }}, {"vec", "stats", (*neon).columnStats},
		{"vec", "elementwise", func(e *neon) { elementwise(e) }},
		{"vec", "optim", func(e *neon) { optim(e); e.sumSquares() }},
		{"vec", "exp", func(e *neon) { expFunctions(e) }},
		{"vec", "pool", (*neon).pool}, {"vec", "depthwise", (*neon).depthwise}, {"vec", "move", (*neon).moves},
		{"wino", "wino", (*neon).winograd}, {"wino", "wino_train", (*neon).winogradTrain},
		{"isa", "peak", (*neon).peak},
	} {
		e := newNEON(f.stem)
		f.make(e)
		o[f.pkg+"/"+f.stem+"_neon_arm64.s"] = e.text()
		decls[f.pkg] += e.decls.String()
	}
	for pkg, text := range decls {
		o.source(pkg, pkg+"_stubs_arm64.go", []byte(header(pkg)+text))
	}
}

// asm runs f, keeps the functions that it made and returns their declarations.
func (o output) asm(pkg, name string, f func(c *build.Context)) (decls string) {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	f(c)
	return o.compile(pkg, name, c)
}

// compile keeps the functions of c and returns their declarations.
func (o output) compile(pkg, name string, c *build.Context) (decls string) {
	file, err := c.Result()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	if err := pass.Compile.Execute(file); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	cfg := printer.Config{Name: generator, Pkg: pkg}
	if o[pkg+"/"+name], err = printer.NewGoAsm(cfg).Print(file); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	text, err := printer.NewStubs(cfg).Print(file)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	_, decls, _ = strings.Cut(string(text), "package "+pkg+"\n")
	return decls
}

// source keeps a Go file.
func (o output) source(pkg, name string, text []byte) {
	text, err := format.Source(text)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	o[pkg+"/"+name] = text
}

// header is the start of a generated Go file.
func header(pkg string) string {
	return "// Code generated by " + generator + ". DO NOT EDIT.\n\n//go:build !purego\n\npackage " + pkg + "\n\n"
}

// stubs collects the Go declarations of the kernels.
type stubs struct {
	decls    bytes.Buffer
	dispatch map[string][]string // function of the dispatch → its cases
	order    []string
}

func (s *stubs) kernel(i *isa, sh shape) {
	fmt.Fprintf(&s.decls, "//go:noescape\nfunc %s(args *Args)\n\n", sh.name(i))
	fn := fmt.Sprintf("gemm%s%s", strings.ToUpper(string(sh.op)), i.name)
	if sh.split {
		fn += "Split"
	}
	if s.dispatch == nil {
		s.dispatch = map[string][]string{}
	}
	if s.dispatch[fn] == nil {
		s.order = append(s.order, fn)
	}
	s.dispatch[fn] = append(s.dispatch[fn], fmt.Sprintf("case %d<<5 | %d:\n%s(g)\n", sh.nz, sh.m, sh.name(i)))
}

// file returns the Go file of the kernels, which read their arguments from args.
func (s *stubs) file(args layout.Struct) []byte {
	var b bytes.Buffer
	b.WriteString(header("gemm") + "import \"unsafe\"\n\n" + args.Checks())
	for _, fn := range s.order {
		fmt.Fprintf(&b, "func %s(m, nz int, g *Args) {\nswitch nz<<5 | m {\n", fn)
		for _, c := range s.dispatch[fn] {
			b.WriteString(c)
		}
		fmt.Fprintf(&b, "default:\npanic(\"gemm: no micro-kernel of this shape\")\n}\n}\n\n")
	}
	b.Write(s.decls.Bytes())
	return b.Bytes()
}
