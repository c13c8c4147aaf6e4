package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// importer writes the file's nodes as operators of a graph.
type importer struct {
	m        *Model
	g        *graph.Graph
	c        *nn.Context // nil outside a trace
	training bool
	param    func(*nn.Param) *graph.Value
	running  func(*nn.Param) *graph.Value // a running statistic

	vals    map[string]value
	names   map[*graph.Value]*nn.Param // parameters that are in use
	used    map[string]bool            // names that are taken by a node, or wanted
	consts  map[*static]*graph.Value
	batch   int // of this trace
	written int // that the file declares, 0 if dynamic
	folded  int // elements computed from constants so far
}

// value is what a name in the file stands for: a value of the graph, or a
// tensor that is known already.
type value struct {
	dyn  *graph.Value
	st   *static
	elem elemType
}

// NotStaticError is an input of an operator whose value is not known when the
// graph is written, but must be: as an initializer, computed from shapes, or given
// by [Model.Fix].
type NotStaticError struct {
	Input string // the value's name in the file
	What  string // what the operator uses it for
}

// Error implements error.
func (e *NotStaticError) Error() string {
	return fmt.Sprintf("%s, %q, must be known when the model is loaded", e.What, e.Input)
}

// run evaluates what the wanted values need on the graph's inputs, and returns
// them. Mistakes are panics with a *graph.Error, see graph.Try.
func (im *importer) run(inputs map[string]*graph.Value, wanted []string) []value {
	im.vals, im.consts = map[string]value{}, map[*static]*graph.Value{}
	im.names = map[*graph.Value]*nn.Param{}
	nodes := im.m.proto.graph.nodes
	lives := live(nodes, wanted)
	im.used = usedNames(nodes, lives, wanted)
	for _, v := range im.m.inputs {
		if inputs[v.name] != nil || im.used[v.name] || im.m.fixed[v.name] != nil {
			im.input(v, inputs[v.name])
		}
	}
	for _, p := range nodes {
		if lives[p] {
			im.node(p)
		}
	}
	return im.outputs(wanted)
}

// usedNames are the names that live nodes take, or that are wanted.
func usedNames(nodes []*nodeProto, lives map[*nodeProto]bool, wanted []string) map[string]bool {
	used := map[string]bool{}
	var use func(nodes []*nodeProto)
	use = func(nodes []*nodeProto) {
		for _, n := range nodes {
			if lives != nil && !lives[n] {
				continue
			}
			for _, name := range n.in {
				used[name] = true
			}
			for _, a := range n.attrs {
				if a.g != nil {
					outer := lives
					lives = nil // all of a branch
					use(a.g.nodes)
					lives = outer
					for _, o := range a.g.outputs {
						used[o.name] = true
					}
				}
			}
		}
	}
	use(nodes)
	for _, w := range wanted {
		used[w] = true
	}
	return used
}

func (im *importer) input(v *valueProto, x *graph.Value) {
	fail := func(err error) { panic(&graph.Error{Op: "ONNX input " + v.name, Err: err}) }
	if s := im.m.fixed[v.name]; s != nil {
		im.vals[v.name] = value{st: s, elem: s.elem}
		return
	}
	switch {
	case v.other != "":
		fail(fmt.Errorf("it is %s, not a tensor", v.other))
	case v.elem != 0 && !v.elem.isFloat() && im.m.main == nil && (x == nil || x.DType != tensor.Float32):
		fail(fmt.Errorf("it is of type %v, and the graph computes with floating point alone: %w", v.elem, &NotStaticError{v.name, "the input"}))
	case x == nil:
		fail(fmt.Errorf("it is not fed"))
	case v.elem != 0 && v.elem.bytes() == 0:
		fail(fmt.Errorf("it is of type %v, which is not supported", v.elem))
	case x.DType != tensor.Float32:
		fail(fmt.Errorf("it is fed with %v, it must be float32", x.Type))
	}
	if v.known {
		fits := len(v.dims) == len(x.Shape)
		for a := 0; fits && a < len(v.dims); a++ {
			fits = v.dims[a] < 0 || int(v.dims[a]) == x.Shape[a] || a == 0 && len(v.dims) > 1
		}
		if !fits {
			fail(fmt.Errorf("it is fed with %v, the file declares %v", x.Shape, v.dims))
		}
		if len(v.dims) > 1 && v.dims[0] > 0 && im.batch == 0 {
			im.batch, im.written = x.Shape[0], int(v.dims[0])
		}
	}
	elem := v.elem
	if elem == 0 { // not declared
		elem = elemFloat
	}
	im.vals[v.name] = value{dyn: x, elem: elem}
}

// nodes evaluates the nodes of a branch and returns its outputs.
func (im *importer) nodes(g *graphProto) []value {
	for _, p := range g.nodes {
		im.node(p)
	}
	names := make([]string, len(g.outputs))
	for i, o := range g.outputs {
		names[i] = o.name
	}
	return im.outputs(names)
}

func (im *importer) outputs(names []string) []value {
	out := make([]value, len(names))
	for i, name := range names {
		v, ok := im.lookup(name)
		if !ok {
			err := im.m.unread[name]
			if err == nil {
				err = errors.New("no node makes it")
			}
			panic(&graph.Error{Op: "ONNX output " + name, Err: err})
		}
		out[i] = v
	}
	return out
}

// integers is a tensor of integers that DequantizeLinear reads, as float32.
type integers struct {
	*tensor.Tensor
	elem elemType
}

// lookup returns what a name stands for. Parameters enter the graph when they
// are first used.
func (im *importer) lookup(name string) (value, bool) {
	if v, ok := im.vals[name]; ok {
		return v, true
	}
	if s, ok := im.m.consts[name]; ok {
		return value{st: s, elem: s.elem}, true
	}
	if q, ok := im.m.integers[name]; ok {
		v := value{dyn: im.g.Const(q.Tensor), elem: q.elem}
		im.vals[name] = v
		return v, true
	}
	if p, ok := im.m.Params[name]; ok {
		v := value{dyn: im.param(p), elem: elemFloat}
		im.names[v.dyn] = p
		im.vals[name] = v
		return v, true
	}
	return value{}, false
}

// dynamic returns the value as one of the graph's.
func (im *importer) dynamic(v value) *graph.Value {
	if v.dyn != nil {
		return v.dyn
	}
	if c, ok := im.consts[v.st]; ok {
		return c
	}
	for _, d := range v.st.shape {
		if d < 1 {
			panic(&graph.Error{Op: "ONNX constant", Err: fmt.Errorf("it is empty: shape %v", v.st.shape)})
		}
	}
	t, err := tensor.FromFloat32(v.st.floats(), v.st.shape...)
	if err != nil {
		panic(&graph.Error{Op: "ONNX constant", Err: err})
	}
	c := im.g.Const(t)
	im.consts[v.st] = c
	return c
}

// node is a node of the file during its translation.
type node struct {
	*nodeProto
	*importer
	path string
	ins  []value
}

func (im *importer) node(p *nodeProto) {
	n := &node{nodeProto: p, importer: im, path: im.m.paths[p]}
	if n.path == "" {
		n.path = p.name
	}
	def, ok := operators[p.key()]
	if !ok {
		n.failf("operator %s is not supported", p.key())
	}
	n.ins = make([]value, len(p.in))
	given := 0
	for i, name := range p.in {
		if name == "" {
			continue // left out
		}
		v, ok := im.lookup(name)
		if err := im.m.unread[name]; !ok && err != nil {
			n.failf("its input %q: %w", name, err)
		}
		if !ok {
			n.failf("its input %q is made by no node before it", name)
		}
		n.ins[i] = v
		given = i + 1
	}
	if given < def.min || given > def.max || len(p.out) < 1 {
		n.failf("it has %d inputs and %d outputs, want %d to %d inputs", given, len(p.out), def.min, def.max)
	}
	for i := range def.min {
		n.must(i)
	}
	if err := budget.File("the file's graph", budget.Operator*int64(len(im.g.Nodes)), im.m.proto.size); err != nil {
		n.failf("%w", err)
	}
	defer im.g.SetPath(im.g.SetPath(n.path))
	if l, x := im.m.Layers[n.path], n.firstDynamic(); im.c != nil && l != nil && im.m.paths[p] != "" && x != nil {
		im.c.CallFunc(l, x, func() *graph.Value {
			def.fn(n)
			return im.vals[p.out[0]].dyn
		})
		return
	}
	def.fn(n)
}

// firstDynamic returns the first input that is computed at run time, nil if all
// are known.
func (n *node) firstDynamic() *graph.Value {
	for i := range n.ins {
		if x := n.ins[i].dyn; x != nil {
			return x
		}
	}
	return nil
}

func isONNX(domain string) bool { return domain == "" || domain == "ai.onnx" }

func domainPrefix(domain string) string {
	if isONNX(domain) {
		return ""
	}
	return domain + "."
}

// version returns the opset by which the node is read: the model's, or its
// function's.
func (n *node) version() int64 { return n.m.version(n.nodeProto) }

func (m *Model) version(p *nodeProto) int64 {
	if p.version > 0 {
		return p.version
	}
	return m.opset
}

// failf stops with an error that names the node, its operator and the opset.
func (n *node) failf(format string, args ...any) {
	err := fmt.Errorf("opset %d: %w", n.version(), fmt.Errorf(format, args...))
	panic(&graph.Error{Path: n.path, Op: "ONNX " + n.op, Err: err})
}

func (n *node) has(i int) bool {
	return i < len(n.ins) && (n.ins[i].dyn != nil || n.ins[i].st != nil)
}

func (n *node) must(i int) value {
	if !n.has(i) {
		n.failf("input %d is missing", i)
	}
	return n.ins[i]
}

// x returns input i as a floating-point value of the graph.
func (n *node) x(i int) *graph.Value {
	v := n.must(i)
	if !v.elem.isFloat() {
		n.failf("input %d, %q, is of type %v: only floating-point numbers are computed at run time", i, n.in[i], v.elem)
	}
	return n.dynamic(v)
}

// static returns input i, which must be known.
func (n *node) static(i int, what string) *static {
	v := n.must(i)
	if v.st == nil {
		n.failf("%w", &NotStaticError{n.in[i], what})
	}
	return v.st
}

// allStatic reports whether everything is known.
func (n *node) allStatic() bool {
	for _, v := range n.ins {
		if v.dyn != nil {
			return false
		}
	}
	return true
}

// ints returns the integers of input i, which must be known.
func (n *node) ints(i int, what string) []int64 {
	s := n.static(i, what)
	if s.elem.isFloat() {
		n.failf("%s, %q, is of type %v, not integers", what, n.in[i], s.elem)
	}
	return s.i
}

// constantsOnly fails because an operator has no form in the graph.
func (n *node) constantsOnly() {
	for i, v := range n.ins {
		if v.dyn != nil {
			n.failf("%w", &NotStaticError{n.in[i], "the operator is computed beforehand only, and its input"})
		}
	}
	n.failf("it has no form for the type %v", n.must(0).elem)
}

// number returns input i, which must be known and one number.
func (n *node) number(i int, what string) float32 {
	f := n.static(i, what).floats()
	if len(f) != 1 {
		n.failf("%s has %d elements, not one", what, len(f))
	}
	return f[0]
}

func (n *node) put(i int, v value) {
	if i < len(n.out) && n.out[i] != "" {
		if v.dyn != nil && v.dyn.Shape.Numel() > maxElements {
			n.failf("its output %v is larger than %d elements", v.dyn.Shape, maxElements)
		}
		n.vals[n.out[i]] = v
	}
}

// set makes v the first output, of the first input's type if that is of
// floating-point numbers.
func (n *node) set(v *graph.Value) {
	elem := elemFloat
	if len(n.ins) > 0 && n.ins[0].elem.isFloat() {
		elem = n.ins[0].elem
	}
	n.put(0, value{dyn: v, elem: elem})
}

// same makes v the first output, of the first input's type, which may be of whole
// numbers: for operators that move elements and do not compute with them.
func (n *node) same(v *graph.Value) { n.put(0, value{dyn: v, elem: n.ins[0].elem}) }

// moved returns input i for an operator that moves elements: unlike [node.x], it
// may be of whole numbers, which the graph holds as float32.
func (n *node) moved(i int) *graph.Value { return n.dynamic(n.must(i)) }

func (n *node) fold(s *static) { n.put(0, value{st: s, elem: s.elem}) }

// only fails if an output beyond the first is used by anything: what we do not
// compute must not be missed.
func (n *node) only(why string) {
	for i, o := range n.out {
		if i > 0 && o != "" && n.used[o] {
			n.failf("output %d, %q: %s", i, o, why)
		}
	}
}

func (n *node) attr(name string) *attrProto {
	for _, a := range n.attrs {
		if a.name == name {
			if a.ref != "" {
				n.failf("attribute %s refers to a function's", name)
			}
			return a
		}
	}
	return nil
}

func (n *node) kind(a *attrProto, kind int) {
	if a.kind != 0 && a.kind != kind {
		n.failf("attribute %s has type %d, want %d", a.name, a.kind, kind)
	}
}

func (n *node) attrInt(name string, def int64) int64 {
	a := n.attr(name)
	if a == nil {
		return def
	}
	n.kind(a, attrInt)
	return a.i
}

func (n *node) attrFloat(name string, def float32) float32 {
	a := n.attr(name)
	if a == nil {
		return def
	}
	n.kind(a, attrFloat)
	return a.f
}

func (n *node) attrString(name, def string) string {
	a := n.attr(name)
	if a == nil {
		return def
	}
	n.kind(a, attrString)
	return string(a.s)
}

// attrInts returns nil if the attribute is absent.
func (n *node) attrInts(name string) []int64 {
	a := n.attr(name)
	if a == nil {
		return nil
	}
	n.kind(a, attrInts)
	if a.ints == nil {
		return []int64{}
	}
	return a.ints
}

// small converts numbers such as strides, which must lie in [lo, hi].
func (n *node) small(what string, x []int64, lo, hi int64) []int {
	out := make([]int, len(x))
	for i, v := range x {
		if v < lo || v > hi {
			n.failf("%s %v: each must be from %d to %d", what, x, lo, hi)
		}
		out[i] = int(v)
	}
	return out
}

// axis resolves an axis that may count from the end.
func (n *node) axis(a int64, rank int) int {
	if a < -int64(rank) || a >= int64(rank) {
		n.failf("axis %d of a tensor of rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}

// position resolves a place on an axis of some extent, which may count from the end.
func (n *node) position(p int64, extent int) int {
	if p < -int64(extent) || p >= int64(extent) {
		n.failf("position %d of an axis of %d", p, extent)
	}
	if p < 0 {
		p += int64(extent)
	}
	return int(p)
}

// axes resolves axes, in order and without doubles.
func (n *node) axes(as []int64, rank int) []int {
	out := make([]int, 0, len(as))
	for _, a := range as {
		out = append(out, n.axis(a, rank))
	}
	slices.Sort(out)
	if len(slices.Compact(slices.Clone(out))) != len(out) {
		n.failf("axes %v name an axis twice", as)
	}
	return out
}

// axesOf returns axes given as an attribute before opset since, as input i from
// it on; nil if they are not given.
func (n *node) axesOf(since int64, i, rank int) []int {
	var as []int64
	if n.version() >= since {
		if !n.has(i) {
			return nil
		}
		as = n.ints(i, "the axes")
	} else if as = n.attrInts("axes"); as == nil {
		return nil
	}
	return n.axes(as, rank)
}

// Shorthands for operators.

func (n *node) do(op graph.Op, in ...*graph.Value) *graph.Value { return n.g.Must1(op, in...) }

func (n *node) unary(fn graph.UnaryFn, x *graph.Value) *graph.Value {
	return n.do(graph.Unary{Fn: fn}, x)
}

func (n *node) binary(fn graph.BinaryFn, a, b *graph.Value) *graph.Value {
	return n.do(graph.Binary{Fn: fn}, a, b)
}

func (n *node) affine(x *graph.Value, scale, shift float32) *graph.Value {
	return n.do(graph.Affine{Scale: scale, Shift: shift}, x)
}

func (n *node) reshape(x *graph.Value, shape ...int) *graph.Value {
	if x.Shape.Equal(shape) {
		return x
	}
	return n.do(graph.Reshape{Shape: tensor.Shape(shape).Clone()}, x)
}

// clip is min(max(x, lo), hi) with bounds that may be infinite or equal.
func (n *node) clip(x *graph.Value, lo, hi float32) *graph.Value {
	if lo < hi && !math.IsInf(float64(lo), 0) && !math.IsInf(float64(hi), 0) {
		return n.do(graph.Unary{Fn: graph.Clip, A: lo, B: hi}, x)
	}
	if lo == 0 && (math.IsInf(float64(hi), 1) || hi == math.MaxFloat32) {
		return n.unary(graph.Relu, x)
	}
	if !math.IsInf(float64(lo), -1) && lo != -math.MaxFloat32 {
		x = n.binary(graph.Max, x, n.g.Scalar(lo))
	}
	if !math.IsInf(float64(hi), 1) && hi != math.MaxFloat32 {
		x = n.binary(graph.Min, x, n.g.Scalar(hi))
	}
	return x
}
