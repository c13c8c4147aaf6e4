package pytorch

import (
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// storage is a block of elements of a file that tensors are views of.
type storage struct {
	key   string
	dtype DType // "" is bytes without type; views give it
	numel int64 // elements, or bytes if there is no type
	// inline has the bytes of an array that is in the pickle itself; big is set if
	// their order is big-endian.
	inline []byte
	big    bool
	// root is the storage that this is a part of, beginning at element first:
	// a form of views in the oldest files. nil for all others.
	root  *storage
	first int64
}

// view is a tensor: element (i, j, …) is the storage's at offset + i*stride[0]
// + j*stride[1] + ….
type view struct {
	storage *storage
	dtype   DType
	offset  int64
	shape   tensor.Shape
	stride  []int64
}

// global is a Python object that a pickle may name.
type global struct {
	name string // module.name
	// call makes a value; nil if the object is not a function.
	call func(p *unpickler, args tuple) (any, error)
	// foreign is set for an object that is not in globals.
	foreign bool
	// storage is set for a class of storages, whose elements have type dtype ("" for
	// bytes without type). Otherwise dtype is the type that an object such as
	// torch.float32 names.
	storage bool
	dtype   DType
}

// globals are the Python objects whose meaning is known, by module.name. All
// others become [object] values, see unknown.
var globals = func() map[string]*global {
	m := map[string]*global{}
	add := func(g global) { m[g.name] = &g }
	for name, d := range storageTypes {
		add(global{name: "torch." + name, storage: true, dtype: d})
	}
	add(global{name: "torch.storage.UntypedStorage", storage: true})
	add(global{name: "torch.storage._UntypedStorage", storage: true})
	for d := range sizes {
		add(global{name: "torch." + string(d), dtype: d})
	}
	add(global{name: "torch._utils._rebuild_tensor", call: rebuild(4, 4)})
	add(global{name: "torch._utils._rebuild_tensor_v2", call: rebuild(6, 7)})
	add(global{name: "torch._utils._rebuild_tensor_v3", call: rebuildV3})
	add(global{name: "torch._utils._rebuild_parameter", call: parameter(3)})
	add(global{name: "torch._utils._rebuild_parameter_with_state", call: parameter(4)})
	add(global{name: "torch._tensor._rebuild_from_type_v2", call: rebuildFromType})
	add(global{name: "torch.Tensor"})
	add(global{name: "torch.Size", call: size})
	add(global{name: "collections.OrderedDict", call: orderedDict})
	add(global{name: "collections.Counter", call: orderedDict})
	for _, name := range []string{"torch.nn.parameter.Parameter", "torch.nn.Parameter", "torch.nn.parameter.Buffer", "torch.autograd.variable.Variable", "torch.autograd.Variable"} {
		add(global{name: name, call: first})
	}
	add(global{name: "torch.jit._pickle.restore_type_tag", call: first})
	for _, module := range []string{"copyreg", "copy_reg"} {
		for _, name := range []string{"_reconstructor", "__newobj__", "__newobj_ex__"} {
			add(global{name: module + "." + name, call: reconstruct})
		}
	}
	add(global{name: "collections.defaultdict", call: func(*unpickler, tuple) (any, error) { return &dict{}, nil }})
	for _, name := range []string{"builtins", "__builtin__"} {
		add(global{name: name + ".getattr", call: member(name)})
		add(global{name: name + ".set", call: first})
		add(global{name: name + ".frozenset", call: first})
	}
	add(global{name: "_codecs.encode", call: encoded})
	add(global{name: "numpy.dtype", call: numpyDType})
	return m
}()

// storageTypes are the classes of typed storages in module torch.
var storageTypes = map[string]DType{
	"DoubleStorage": Float64, "FloatStorage": Float32, "HalfStorage": Float16, "BFloat16Storage": BFloat16,
	"LongStorage": Int64, "IntStorage": Int32, "ShortStorage": Int16, "CharStorage": Int8,
	"ByteStorage": UInt8, "BoolStorage": Bool, "UInt16Storage": UInt16, "UInt32Storage": UInt32, "UInt64Storage": UInt64,
	"ComplexFloatStorage": complex64, "ComplexDoubleStorage": complex128,
	"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
}

// rebuild makes a tensor of (storage, offset, size, stride, …).
func rebuild(least, most int) func(*unpickler, tuple) (any, error) {
	return func(_ *unpickler, a tuple) (any, error) {
		if len(a) < least || len(a) > most {
			return nil, badf("a tensor is built of %d values, not %d", len(a), least)
		}
		s, ok := a[0].(*storage)
		if !ok {
			return nil, badf("a tensor is built of something that is not a storage")
		}
		if s.dtype == "" {
			return nil, badf("a tensor is built of a storage without element type")
		}
		return newView(s, s.dtype, s.numel, a[1], a[2], a[3])
	}
}

// rebuildV3 makes a tensor of (storage, offset, size, stride, requires_grad,
// hooks, dtype[, metadata]).
func rebuildV3(_ *unpickler, a tuple) (any, error) {
	if len(a) < 7 || len(a) > 8 {
		return nil, badf("a tensor is built of %d values, not 7", len(a))
	}
	s, ok := a[0].(*storage)
	g, isType := a[6].(*global)
	if !ok || !isType || g.storage || g.dtype == "" {
		return nil, badf("a tensor is not built of a storage and an element type")
	}
	numel := s.numel
	switch {
	case s.dtype == "":
		numel /= sizes[g.dtype]
	case s.dtype != g.dtype:
		return nil, badf("a tensor of %s is built of a storage of %s", g.dtype, s.dtype)
	}
	return newView(s, g.dtype, numel, a[1], a[2], a[3])
}

// rebuildFromType makes a tensor of (function, class, arguments, state).
func rebuildFromType(p *unpickler, a tuple) (any, error) {
	if len(a) != 4 {
		return nil, badf("a tensor is built of %d values, not 4", len(a))
	}
	f, ok := a[0].(*global)
	args, isTuple := a[2].(tuple)
	if !ok || !isTuple || f.call == nil || f.name == "torch._tensor._rebuild_from_type_v2" {
		return nil, badf("a tensor is not built by a function of tensors")
	}
	v, err := f.call(p, args)
	if err != nil {
		return nil, err
	}
	if _, ok := v.(*view); !ok {
		return nil, badf("a tensor is built by %s", f.name)
	}
	return v, nil
}

// parameter makes torch.nn.Parameter's tensor of (tensor, …).
func parameter(n int) func(*unpickler, tuple) (any, error) {
	return func(_ *unpickler, a tuple) (any, error) {
		if len(a) != n {
			return nil, badf("a parameter is built of %d values, not %d", len(a), n)
		}
		v, ok := a[0].(*view)
		if !ok {
			return nil, badf("a parameter is built of something that is not a tensor")
		}
		return v, nil
	}
}

func newView(s *storage, d DType, available int64, offset, size, stride any) (any, error) {
	shape, ok1 := ints(size)
	strides, ok2 := ints(stride)
	first, ok3 := offset.(int64)
	if !ok1 || !ok2 || !ok3 || len(shape) != len(strides) {
		return nil, badf("a tensor's offset, size and stride are not whole numbers of one rank of at most %d", maxRank)
	}
	v := &view{storage: s, dtype: d, offset: first, stride: strides, shape: make(tensor.Shape, len(shape))}
	for i, n := range shape {
		if n < 0 || n > maxNumel || strides[i] < 0 {
			return nil, badf("a tensor has size %v and stride %v", shape, strides)
		}
		v.shape[i] = int(n)
	}
	n, ok := numel(v.shape)
	if !ok {
		return nil, badf("a tensor of size %v is too large", shape)
	}
	if first >= 0 && n == 0 {
		v.offset = 0 // a slice of nothing may begin anywhere, and PyTorch reads it
		return v, nil
	}
	if first < 0 || first > available {
		return nil, badf("a tensor begins at element %d of a storage of %d", first, available)
	}
	if v.span(available) > available-first {
		return nil, badf("a tensor of size %v, stride %v at element %d is beyond its storage of %d elements", shape, strides, first, available)
	}
	return v, nil
}

// span returns the number of elements from the view's first to its last, or
// limit+1 if that is more than limit.
func (v *view) span(limit int64) int64 {
	last := int64(0)
	for i, n := range v.shape {
		steps := int64(n) - 1
		if steps > 0 && v.stride[i] > 0 {
			if steps > limit/v.stride[i] {
				return limit + 1
			}
			last += steps * v.stride[i] // each at most limit
			if last > limit {
				return limit + 1
			}
		}
	}
	return last + 1
}

// contiguous reports whether the elements follow one another in row-major order.
func (v *view) contiguous() bool {
	want := int64(1)
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] == 1 {
			continue
		}
		if v.stride[i] != want {
			return false
		}
		want *= int64(v.shape[i])
	}
	return true
}

// numel returns the number of elements, and false beyond maxNumel.
func numel(shape tensor.Shape) (int64, bool) {
	if slices.Contains(shape, 0) {
		return 0, true
	}
	n := int64(1)
	for _, d := range shape {
		if int64(d) > maxNumel/n {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}

// ints returns the numbers of a tuple, which is of at most maxRank.
func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxRank {
		return nil, false
	}
	xs := make([]int64, len(t))
	for i, x := range t {
		if xs[i], ok = x.(int64); !ok {
			return nil, false
		}
	}
	return xs, true
}

// size is torch.Size: a tuple.
func size(_ *unpickler, a tuple) (any, error) {
	if len(a) == 1 {
		if t, ok := a[0].(tuple); ok {
			return t, nil
		}
	}
	return nil, badf("torch.Size is not built of a tuple")
}

// orderedDict makes a dictionary, of pairs or of a dictionary if given.
func orderedDict(p *unpickler, a tuple) (any, error) {
	d := &dict{}
	if len(a) == 0 {
		return d, nil
	}
	switch v := a[0].(type) {
	case *dict:
		if err := p.copying(v.len()); err != nil {
			return nil, err
		}
		for k, value := range v.all() {
			if err := d.set(k, value); err != nil {
				return nil, err
			}
		}
		return d, nil
	case *list:
		if err := p.copying(len(v.items)); err != nil {
			return nil, err
		}
		for _, pair := range v.items {
			var kv []any
			switch p := pair.(type) {
			case tuple:
				kv = p
			case *list:
				kv = p.items
			}
			if len(kv) != 2 {
				return nil, badf("a dictionary is built of something that is not a pair")
			}
			if err := d.set(kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return nil, badf("a dictionary is built of something that is not a list or a dictionary")
}
