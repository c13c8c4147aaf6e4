package pytorch

import (
	"encoding/binary"
	"slices"
	"strings"
)

// object is an instance of a Python class that this package does not know, or
// what a function gave that it does not know. Nothing of the class is run: an
// object is the data that the pickle has about it.
type object struct {
	class string  // module.name of the class or function
	state any     // what Python would give to __setstate__, or its __dict__
	items *dict   // entries, of a class that is a dictionary
	made  *global // the function that would make a tensor, if it got storages
}

// dangerous are the modules, and the objects of other modules, whose functions do
// harm when Python calls them. No training program saves them beside weights, so a
// pickle that names one is refused as a whole.
var (
	dangerousModules = []string{"os", "posix", "nt", "subprocess", "sys", "pty", "socket", "shutil", "runpy", "importlib", "code", "codeop",
		"ctypes", "_ctypes", "marshal", "pickle", "_pickle", "cPickle", "commands", "popen2", "webbrowser", "pip", "bdb", "pdb", "timeit", "cProfile", "profile"}
	dangerousNames = []string{"torch.storage._load_from_bytes", "torch.load", "torch.serialization.load", "torch.hub.load", "torch.jit.load",
		"torch.ops.load_library", "torch.utils.cpp_extension.load", "numpy.load", "numpy.testing._private.utils.runstring"}
	// harmless are the objects of the module builtins that honest pickles name.
	harmless = []string{"set", "frozenset", "list", "dict", "tuple", "int", "float", "str", "bool", "complex", "bytes", "bytearray", "slice", "range",
		"xrange", "object", "type", "NoneType", "unicode", "long", "Ellipsis", "NotImplemented", "print", "len", "max", "min", "sum", "abs"}
)

// harms reports whether an object is one that a pickle must not name.
func harms(module, name string) bool {
	switch module {
	case "builtins", "__builtin__", "__builtins__":
		return !slices.Contains(harmless, name) && !strings.HasSuffix(name, "Error") && !strings.HasSuffix(name, "Exception") && !strings.HasSuffix(name, "Warning")
	}
	for at := module; ; { // os.path is a part of os
		if slices.Contains(dangerousModules, at) {
			return true
		}
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	full := module + "." + name
	for part := range strings.SplitSeq(name, ".") { // such as function.__globals__
		if strings.HasPrefix(part, "__") && strings.HasSuffix(part, "__") {
			return true
		}
	}
	return slices.Contains(dangerousNames, full)
}

// unknown returns the global for an object that is not in globals.
func unknown(module, name string) (*global, error) {
	if harms(module, name) {
		return nil, &GlobalError{Module: module, Name: name}
	}
	g := &global{name: module + "." + name, foreign: true}
	g.call = func(_ *unpickler, args tuple) (any, error) {
		o := &object{class: g.name}
		for _, a := range args {
			if _, ok := a.(*storage); ok {
				o.made = g
			}
		}
		return o, nil
	}
	return g, nil
}

// reconstruct is copyreg._reconstructor(class, base, state), by which protocols 0
// and 1 make objects, and copyreg.__newobj__(class, …).
func reconstruct(p *unpickler, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, badf("an object is made of no class")
	}
	class, ok := args[0].(*global)
	if !ok {
		return nil, badf("an object is made of something that is not a class")
	}
	return p.call(class, args[1:])
}

// member is getattr: of a class and a name, by which Python writes members of an
// enumeration and methods, it gives an object; anything else is refused.
func member(module string) func(*unpickler, tuple) (any, error) {
	return func(_ *unpickler, args tuple) (any, error) {
		if len(args) == 2 {
			class, ok := args[0].(*global)
			name, isText := args[1].(string)
			if ok && isText && class.foreign && name != "" {
				return &object{class: class.name}, nil
			}
		}
		return nil, &GlobalError{Module: module, Name: "getattr"}
	}
}

// first gives the first argument: functions that mark a value and give it back.
func first(_ *unpickler, args tuple) (any, error) {
	if len(args) == 0 {
		return &object{}, nil
	}
	return args[0], nil
}

// encoded is _codecs.encode(text, "latin1"), as which Python 3 writes bytes in
// protocol 2.
func encoded(p *unpickler, args tuple) (any, error) {
	if len(args) == 2 && (args[1] == "latin1" || args[1] == "latin-1") {
		if s, ok := args[0].(string); ok {
			if err := p.copying(len(s)); err != nil {
				return nil, err
			}
			return latin1(s)
		}
	}
	return &object{class: "_codecs.encode"}, nil
}

// latin1 returns the bytes that a text stands for.
func latin1(s string) (any, error) {
	b := make(rawBuf, 0, len(s))
	for _, r := range s {
		if r > 255 {
			return nil, badf("a text of bytes has the letter %q", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

// contents returns the tensors, by name, that an object holds: of a module of
// torch.nn its parameters, buffers and modules; of any other object, such as those
// of TorchScript, its attributes and entries.
func (o *object) contents() *dict {
	d := &dict{}
	put := func(from any, skip func(name string) bool) {
		sub, ok := from.(*dict)
		if !ok {
			return
		}
		for k, v := range sub.all() {
			name, ok := k.(string)
			if _, taken := d.get(name); !ok || taken || v == nil || skip != nil && skip(name) {
				continue
			}
			d.set(k, v) // cannot fail: a text that is not taken
		}
	}
	state := o.state
	if t, ok := state.(tuple); ok && len(t) == 2 { // (__dict__, slots)
		state = t[0]
	}
	if attrs, ok := state.(*dict); ok {
		parameters, isModule := attrs.get("_parameters")
		if modules, ok := attrs.get("_modules"); ok && isModule {
			buffers, _ := attrs.get("_buffers")
			without, _ := attrs.get("_non_persistent_buffers_set")
			put(parameters, nil)
			put(buffers, func(name string) bool {
				l, ok := without.(*list)
				return ok && slices.Contains(l.items, any(name))
			})
			put(modules, nil)
			return d
		}
		put(attrs, nil)
	}
	if o.items != nil {
		put(o.items, nil)
	}
	return d
}

// array returns the tensor that is a NumPy array, which is in the pickle itself;
// nil if o is something else.
func (o *object) array() *view {
	t, ok := o.state.(tuple) // version, shape, dtype, order, bytes
	if !ok || len(t) != 5 || !strings.HasPrefix(o.class, "numpy.") || !strings.HasSuffix(o.class, ".multiarray._reconstruct") {
		return nil
	}
	dims, ok1 := ints(t[1])
	kind, ok2 := t[2].(*object)
	fortran, _ := t[3].(bool)
	var data []byte
	switch b := t[4].(type) {
	case rawBuf:
		data = b
	case string: // of Python 2
		data = []byte(b)
	default:
		return nil
	}
	if !ok1 || !ok2 {
		return nil
	}
	d, order, ok := kind.numpyType()
	if !ok {
		return nil
	}
	stride := make([]int64, len(dims))
	n := int64(1)
	for i := range dims {
		a := len(dims) - 1 - i
		if fortran {
			a = i
		}
		stride[a] = n
		if dims[a] < 0 || dims[a] > maxNumel || dims[a] > 0 && n > maxNumel/dims[a] {
			return nil
		}
		n *= max(dims[a], 1)
	}
	s := &storage{key: "array", dtype: d, numel: int64(len(data)) / sizes[d], inline: data, big: order == ">"}
	shape := make(tuple, len(dims))
	steps := make(tuple, len(dims))
	for i := range dims {
		shape[i], steps[i] = dims[i], stride[i]
	}
	v, err := newView(s, d, s.numel, int64(0), shape, steps)
	if err != nil {
		return nil
	}
	return v.(*view)
}

// numpyTypes are NumPy's codes of element types.
var numpyTypes = map[string]DType{"f8": Float64, "f4": Float32, "f2": Float16, "i8": Int64, "i4": Int32, "i2": Int16, "i1": Int8,
	"u8": UInt64, "u4": UInt32, "u2": UInt16, "u1": UInt8, "b1": Bool}

// numpyType returns the element type of a numpy.dtype and its byte order.
func (o *object) numpyType() (DType, string, bool) {
	if o.class != "numpy.dtype" && !strings.HasPrefix(o.class, "numpy.dtype.") {
		return "", "", false
	}
	d, ok := numpyTypes[o.code()]
	t, isTuple := o.state.(tuple)
	order := "<"
	if isTuple && len(t) > 1 {
		order, _ = t[1].(string)
	}
	return d, order, ok
}

// code is the first argument of numpy.dtype, kept in items.
func (o *object) code() string {
	if o.items == nil {
		return ""
	}
	c, _ := o.items.get("code")
	s, _ := c.(string)
	return s
}

// numpyDType is numpy.dtype(code, …).
func numpyDType(_ *unpickler, args tuple) (any, error) {
	o := &object{class: "numpy.dtype"}
	if len(args) > 0 {
		if code, ok := args[0].(string); ok {
			o.items = &dict{}
			if err := o.items.set("code", code); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// swap turns elements of a big-endian file around.
func swap(b []byte, size int64) {
	switch size {
	case 2:
		for i := 0; i+2 <= len(b); i += 2 {
			binary.LittleEndian.PutUint16(b[i:], binary.BigEndian.Uint16(b[i:]))
		}
	case 4:
		for i := 0; i+4 <= len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
		}
	case 8:
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], binary.BigEndian.Uint64(b[i:]))
		}
	}
}
