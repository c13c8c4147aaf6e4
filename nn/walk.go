package nn

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// tree holds the modules and parameters that reflection finds under a module.
type tree struct {
	modules []namedModule     // pre-order; the root has path ""
	params  []Entry           // in state-dict order
	names   map[*Param]string // the first path of each
	paths   map[ident]string  // likewise for modules
	errs    []string

	placed map[string][]namedModule // modules without an identity, by the path of the module around them

	open map[ident]bool // the modules around the one being visited, to stop at cycles
}

type namedModule struct {
	path   string
	module Module
}

// ident is a module's identity: its address. The type is part of it, since a
// struct has the same address as its first field.
type ident struct {
	t reflect.Type
	p uintptr
}

// identify returns m's identity; ok is false if it has none because it is kept
// by value or has no size (Go may give all variables without size one address).
// Such modules are found by their place in the tree.
func identify(m Module) (id ident, ok bool) {
	v := reflect.ValueOf(m)
	switch v.Kind() {
	case reflect.Pointer:
		ok = !v.IsNil() && v.Type().Elem().Size() > 0
	case reflect.Slice:
		ok = v.Len() > 0
	case reflect.Map:
		ok = !v.IsNil()
	}
	if !ok {
		return ident{}, false
	}
	return ident{v.Type(), v.Pointer()}, true
}

// mayBe reports whether two modules without identity may be the same one.
func mayBe(a, b Module) bool {
	t := reflect.TypeOf(a)
	if t != reflect.TypeOf(b) {
		return false
	}
	if t.Kind() == reflect.Pointer || !t.Comparable() { // comparing them proves nothing
		return true
	}
	return a == b
}

// isEmpty reports whether m is a slice or map without elements: nothing inside
// needs a path.
func isEmpty(m Module) bool {
	v := reflect.ValueOf(m)
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// Modules returns the modules of m by path, pre-order, m itself first with the
// path "". Nil fields are left out.
func Modules(m Module) iter.Seq2[string, Module] {
	return func(yield func(string, Module) bool) {
		for _, n := range walk(m).modules {
			if !yield(n.path, n.module) {
				return
			}
		}
	}
}

// Check returns an error if m's parameters do not have unique, unambiguous keys:
// two parameters with one key, a module or parameter in an unexported field, a
// parameter without a shape, a module inside itself. [Init], [Load] and [Trace]
// call it.
func Check(m Module) error {
	_, err := checkedWalk(m)
	return err
}

func checkedWalk(m Module) (*tree, error) {
	t := walk(m)
	if len(t.errs) > 0 {
		return nil, fmt.Errorf("nn: %T cannot be used: %s", m, few(t.errs))
	}
	return t, nil
}

func walk(m Module) *tree {
	t := &tree{names: map[*Param]string{}, paths: map[ident]string{}, placed: map[string][]namedModule{}, open: map[ident]bool{}}
	if isNil(m) {
		t.errf("", "the module is nil")
		return t
	}
	t.module("", m)
	keys := map[string]*Param{}
	for _, e := range t.params {
		if p, ok := keys[e.Name]; ok && p != e.Param {
			t.errf(e.Name, "two parameters have this key")
		}
		keys[e.Name] = e.Param
		for _, d := range e.Param.Shape {
			if d < 1 {
				t.errf(e.Name, "the shape %v has an extent below 1", e.Param.Shape)
				break
			}
		}
	}
	return t
}

func (t *tree) errf(path, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if path != "" {
		s = path + ": " + s
	}
	t.errs = append(t.errs, s)
}

func (t *tree) module(path string, m Module) {
	id, ok := identify(m)
	if ok {
		if t.open[id] {
			t.errf(path, "the module is inside itself, first as %q", t.paths[id])
			return
		}
		t.open[id] = true
		defer delete(t.open, id)
		if _, seen := t.paths[id]; !seen {
			t.paths[id] = path
		}
	}
	t.modules = append(t.modules, namedModule{path, m})
	v := reflect.ValueOf(m)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var f fields
	t.inside(&f, path, v)
	t.add(path, &f)
}

// fields collects the parts of a module, because in a state dict parameters come
// before buffers and both before the modules in fields.
type fields struct {
	params, buffers []Entry
	children        []namedModule
}

// add adds the parts of the module at path to the tree.
func (t *tree) add(path string, f *fields) {
	for _, e := range slices.Concat(f.params, f.buffers) {
		t.params = append(t.params, e)
		if _, ok := t.names[e.Param]; !ok {
			t.names[e.Param] = e.Name
		}
	}
	for _, c := range f.children {
		if _, ok := identify(c.module); !ok {
			t.placed[path] = append(t.placed[path], c)
		}
		t.module(c.path, c.module)
	}
}

// inside collects from the parts of v: fields, elements.
func (t *tree) inside(f *fields, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			sf := v.Type().Field(i)
			key, tagged := sf.Tag.Lookup("key")
			if key == "-" || !mayHold(sf.Type, nil) {
				continue
			}
			if !sf.IsExported() && !(sf.Anonymous && sf.Type.Kind() == reflect.Struct) {
				t.errf(join(path, sf.Name), "the field of %v is not exported, so that its parts have no key; export it or tag it `key:\"-\"`", v.Type())
				continue
			}
			switch {
			case tagged:
				t.part(f, join(path, key), v.Field(i))
			case sf.Anonymous: // as Go promotes the fields of an embedded struct
				t.embedded(f, path, v.Field(i))
			default:
				t.part(f, join(path, fieldKey(sf.Name)), v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		if mayHold(v.Type().Elem(), nil) {
			for i := range v.Len() {
				t.part(f, join(path, strconv.Itoa(i)), v.Index(i))
			}
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && mayHold(v.Type().Elem(), nil) {
			values := map[string]reflect.Value{}
			for it := v.MapRange(); it.Next(); {
				values[it.Key().String()] = it.Value()
			}
			for _, k := range slices.Sorted(maps.Keys(values)) {
				t.part(f, join(path, k), values[k])
			}
		}
	}
}

// embedded collects from an embedded field, whose parts have the path of the
// struct around it.
func (t *tree) embedded(f *fields, path string, v reflect.Value) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Pointer {
			if p, ok := v.Interface().(*Param); ok {
				f.param(path, p)
				return
			}
		}
		if m, ok := v.Interface().(Module); ok {
			f.children = append(f.children, namedModule{path, m})
			return
		}
		v = v.Elem()
	}
	if m, ok := addressed(v); ok {
		f.children = append(f.children, namedModule{path, m})
		return
	}
	t.inside(f, path, v)
}

// part collects one field or element: a parameter, a module, or something that
// holds them.
func (t *tree) part(f *fields, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return
		}
	}
	if v.Type() == paramType {
		f.param(path, v.Interface().(*Param))
		return
	}
	if m, ok := v.Interface().(Module); ok {
		if !isNil(m) {
			f.children = append(f.children, namedModule{path, m})
		}
		return
	}
	if m, ok := addressed(v); ok {
		f.children = append(f.children, namedModule{path, m})
		return
	}
	if v.Kind() == reflect.Pointer { // a group of modules without a Forward of our form
		id := ident{v.Type(), v.Pointer()}
		if t.open[id] {
			t.errf(path, "the %v is inside itself", v.Type())
			return
		}
		t.open[id] = true
		defer delete(t.open, id)
		v = v.Elem()
	}
	t.inside(f, path, v)
}

func (f *fields) param(path string, p *Param) {
	if p.Buffer {
		f.buffers = append(f.buffers, Entry{path, p})
	} else {
		f.params = append(f.params, Entry{path, p})
	}
}

// addressed returns v's address as a module, for structs that are kept by value.
func addressed(v reflect.Value) (Module, bool) {
	if v.Kind() != reflect.Struct || !v.CanAddr() || !v.Addr().CanInterface() {
		return nil, false
	}
	m, ok := v.Addr().Interface().(Module)
	return m, ok
}

var (
	paramType  = reflect.TypeFor[*Param]()
	moduleType = reflect.TypeFor[Module]()
)

// mayHold reports whether a value of type typ can hold modules or parameters.
// seen stops recursive types.
func mayHold(typ reflect.Type, seen map[reflect.Type]bool) bool {
	if typ == paramType || typ.Implements(moduleType) || reflect.PointerTo(typ).Implements(moduleType) {
		return true
	}
	if seen[typ] {
		return false
	}
	if seen == nil {
		seen = map[reflect.Type]bool{}
	}
	seen[typ] = true
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return mayHold(typ.Elem(), seen)
	case reflect.Map:
		return typ.Key().Kind() == reflect.String && mayHold(typ.Elem(), seen)
	case reflect.Struct:
		if typ == paramType.Elem() {
			return false
		}
		for i := range typ.NumField() {
			if mayHold(typ.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

func isNil(m Module) bool {
	if m == nil {
		return true
	}
	v := reflect.ValueOf(m)
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Func:
		return v.IsNil()
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// under reports whether path is prefix or lies below it.
func under(path, prefix string) bool {
	return prefix == "" || path == prefix || (len(path) > len(prefix) && path[len(prefix)] == '.' && strings.HasPrefix(path, prefix))
}
