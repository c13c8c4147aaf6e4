// Package layout reads the argument structs of the assembly from the Go files
// that declare them, so that generators name fields and never type offsets.
package layout

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// module is the import path of the folder that holds the packages of simd.
const module = "github.com/resnet-go/resnet/"

// Struct is the memory layout of a struct. The fields of an embedded struct
// belong to it by their own names, as in Go.
type Struct struct {
	name   string
	size   int
	fields []field
}

type field struct {
	name string
	off  int
}

// Of returns the layout of the struct name of package internal/simd/pkg. It is
// the same on amd64 and arm64, whose types have equal sizes and alignments. The
// working directory must be internal/simd/_asm.
func Of(pkg, name string) Struct {
	l := loader{fset: token.NewFileSet(), loaded: map[string]*types.Package{}}
	p, err := l.Import(module + "internal/simd/" + pkg)
	if err != nil {
		panic(fmt.Sprintf("layout of %s.%s: %v", pkg, name, err))
	}
	obj := p.Scope().Lookup(name)
	if obj == nil {
		panic(fmt.Sprintf("layout: package %s declares no %s", pkg, name))
	}
	t, ok := obj.Type().Underlying().(*types.Struct)
	if !ok {
		panic(fmt.Sprintf("layout: %s.%s is a %v, must be a struct", pkg, name, obj.Type()))
	}
	s := Struct{name: name, size: int(sizes.Sizeof(t))}
	s.add(t, 0)
	return s
}

var sizes = types.SizesFor("gc", "amd64")

func (s *Struct) add(t *types.Struct, base int) {
	vars := make([]*types.Var, t.NumFields())
	for i := range vars {
		vars[i] = t.Field(i)
		if vars[i].Type() == types.Typ[types.Invalid] {
			panic(fmt.Sprintf("layout: the type of %s.%s is unknown: it may use nothing from outside of this module", s.name, vars[i].Name()))
		}
	}
	for i, off := range sizes.Offsetsof(vars) {
		if inner, ok := vars[i].Type().Underlying().(*types.Struct); ok && vars[i].Embedded() {
			s.add(inner, base+int(off))
			continue
		}
		s.fields = append(s.fields, field{vars[i].Name(), base + int(off)})
	}
}

// Offset returns the offset in bytes of a field. It panics if there is no such
// field: a generator cannot go on without it.
func (s Struct) Offset(name string) int {
	for _, f := range s.fields {
		if f.name == name {
			return f.off
		}
	}
	panic(fmt.Sprintf("layout: %s has no field %s", s.name, name))
}

// Size returns the size of the struct in bytes.
func (s Struct) Size() int { return s.size }

// Checks returns Go declarations that fail to compile where a field is not at
// the offset that the generator used: the assembly is then out of date.
func (s Struct) Checks() string {
	var b strings.Builder
	fmt.Fprintf(&b, "// The assembly reads %s by these offsets. A constant index out of range\n// here means that a field has moved: run go generate.\nvar (\n", s.name)
	for _, f := range s.fields {
		fmt.Fprintf(&b, "_ = [1]struct{}{}[unsafe.Offsetof(%s{}.%s)-%d]\n", s.name, f.name, f.off)
	}
	b.WriteString(")\n\n")
	return b.String()
}

// loader type-checks packages of this module without function bodies. It takes
// packages of the standard library as empty, so that a run takes milliseconds:
// expressions that use them are invalid, which Of refuses in a field.
type loader struct {
	fset   *token.FileSet
	loaded map[string]*types.Package
}

func (l *loader) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if p := l.loaded[path]; p != nil {
		return p, nil
	}
	inside, ok := strings.CutPrefix(path, module)
	if !ok {
		p := types.NewPackage(path, filepath.Base(path))
		p.MarkComplete()
		l.loaded[path] = p
		return p, nil
	}
	dir := filepath.Join("..", "..", "..", filepath.FromSlash(inside))
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no Go files in %s", dir)
	}
	target := build.Default
	target.GOOS, target.GOARCH, target.CgoEnabled = "linux", "amd64", false
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(filepath.Base(name), "_stubs_") {
			continue
		}
		if ok, err := target.MatchFile(dir, filepath.Base(name)); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		f, err := parser.ParseFile(l.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	config := types.Config{IgnoreFuncBodies: true, Importer: l, Sizes: sizes, Error: func(error) {}}
	p, _ := config.Check(path, l.fset, files, nil) // errors are about what the standard library would declare
	l.loaded[path] = p
	return p, nil
}
