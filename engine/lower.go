package engine

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// compiler turns the nodes of a graph into the steps of a plan.
type compiler struct {
	plan *Plan
	g    *graph.Graph
	vars *Vars

	at       map[*graph.Value]place
	ints     map[*graph.Value]int // int64 values: their slot in run.i64, see lower_ints.go
	winners  map[*graph.Value]int // MaxPool2d's second output: its slot in run.winners
	stored   map[*graph.Value]*variable
	updated  map[*graph.Value]bool // variables that the graph updates
	moved    map[converted]place   // values already brought into another layout
	packs    map[packed]*buf       // packed constant weights
	bytes    map[*graph.Value]*buf // quantized values kept as bytes, see quant_lower.go
	node     *graph.Node           // being lowered
	fast     bool                  // Options.Fast
	single   bool                  // Options.BatchInvariant
	tuning   Tuning                // Options.Tuning
	products gemm.Precision
	slabs    memory.Slabs // of packed weights
	reading  reading
	err      error // of reading a deferred constant

	use   readers
	wants map[*graph.Value]layout // see wanted
}

// isRead reports whether an operator reads v.
func (c *compiler) isRead(v *graph.Value) bool {
	return slices.ContainsFunc(c.use[v], func(n *graph.Node) bool { return n != nil })
}

// place is where a value lies.
type place struct {
	buf    *buf
	layout layout
}

type converted struct {
	value  *graph.Value
	layout layout
}

func newCompiler(g *graph.Graph, vars *Vars, opt Options) *compiler {
	return &compiler{
		plan: &Plan{pool: parallel.Shared(opt.Threads), arenas: &vars.arenas}, g: g, vars: vars, fast: opt.Fast, single: opt.BatchInvariant, tuning: opt.Tuning, products: opt.BF16.products(),
		at: map[*graph.Value]place{}, ints: map[*graph.Value]int{}, winners: map[*graph.Value]int{},
		stored: map[*graph.Value]*variable{}, updated: map[*graph.Value]bool{},
		moved: map[converted]place{}, packs: map[packed]*buf{}, bytes: map[*graph.Value]*buf{},
		use: users(g), wants: map[*graph.Value]layout{},
	}
}

func (c *compiler) lower() error {
	c.planUpdates()
	for _, n := range c.g.Nodes {
		if _, ok := n.Op.(graph.Input); ok {
			c.plan.ports++
		}
	}
	for _, n := range c.g.Nodes {
		c.node = n
		err := c.checkWinners(n)
		if err == nil {
			err = checkAxes(n)
		}
		if err == nil {
			err = c.lowerNode(n)
		}
		if err == nil {
			err = c.err
		}
		if err != nil {
			return &graph.Error{Path: n.Path, Op: n.Op.Name(), In: typesOf(n.In), Err: err}
		}
	}
	for _, o := range c.g.Outputs {
		if o.Value.DType == tensor.Int64 {
			slot, err := c.intsOf(o.Value)
			if err != nil {
				return fmt.Errorf("engine: output %q: %w", o.Name, err)
			}
			c.plan.outputs = append(c.plan.outputs, Port{Name: o.Name, Type: o.Value.Type})
			c.plan.results = append(c.plan.results, result{ints: slot})
			continue
		}
		at, ok := c.at[o.Value]
		if !ok {
			return fmt.Errorf("engine: output %q: %v has no float32 value to read", o.Name, o.Value)
		}
		if at.buf.kind == stored {
			// The caller reads what the variable was before this run's updates.
			old := at.buf
			at.buf = c.newBuf(old.size)
			c.node = o.Value.Node
			c.copyBuf(at.buf, old)
		}
		c.keep(at.buf)
		if sameOrder(o.Value.Shape, at.layout, rowMajor) {
			at.layout = rowMajor // found out once, not at each run
		}
		c.plan.outputs = append(c.plan.outputs, Port{Name: o.Name, Type: o.Value.Type})
		c.plan.results = append(c.plan.results, result{buf: at.buf, layout: at.layout})
	}
	c.writeUpdates()
	c.handOver()
	return c.err
}

// handOver puts a step behind the last one that writes an output, which copies it to the
// caller: its memory is then free, and the caller may use it while the plan goes on.
func (c *compiler) handOver() {
	last := map[*buf]int{} // the step that writes it last
	for i, s := range c.plan.steps {
		for _, b := range s.writes {
			last[b.whole()] = i
		}
	}
	after := make([][]*step, len(c.plan.steps)+1)
	for i, res := range c.plan.results {
		at := len(c.plan.steps)
		if res.buf != nil {
			if k, ok := last[res.buf.whole()]; ok {
				at = k
			}
		}
		after[at] = append(after[at], res.step(i, c.plan.outputs[i]))
	}
	var steps []*step
	for i, s := range c.plan.steps {
		steps = append(append(steps, s), after[i]...)
	}
	c.plan.steps = append(steps, after[len(after)-1]...)
}

// step returns the step that copies output i of a plan to the caller.
func (res result) step(i int, port Port) *step {
	s := &step{name: "output " + port.Name, op: "output", gives: i + 1}
	if res.buf == nil {
		s.tasks, s.run = 1, func(r *run, _, _ int) {
			if t := r.out[i]; t != nil {
				copy(t.Int64s(), r.i64[res.ints])
			}
		}
		return s
	}
	s.reads = reads(res.buf)
	if res.layout == rowMajor {
		n := res.buf.size
		s.tasks = vec.Pieces(n, vec.PieceLen)
		s.run = func(r *run, task, _ int) {
			if t := r.out[i]; t != nil {
				lo, hi := vec.PieceBounds(task, vec.PieceLen, n)
				copy(t.Float32s()[lo:hi], r.b[res.buf.id][lo:hi])
			}
		}
		return s
	}
	perm := permutation(len(port.Shape), res.layout, rowMajor)
	shape := res.layout.shape(port.Shape)
	s.tasks = shape[perm[0]]
	s.run = func(r *run, task, _ int) {
		if t := r.out[i]; t != nil {
			vec.Permute(t.Float32s(), r.b[res.buf.id], shape, perm, task, task+1)
		}
	}
	return s
}

// checkWinners refuses to compute with MaxPool2d's second output, which is not
// kept as float32.
func (c *compiler) checkWinners(n *graph.Node) error {
	if _, ok := n.Op.(graph.MaxPool2dGrad); ok {
		return nil
	}
	for i, v := range n.In {
		if _, ok := c.winners[v]; ok {
			return fmt.Errorf("input %d is the winners of a MaxPool2d, which only its gradient can read", i)
		}
	}
	return nil
}

// maxAxes is the highest rank of the kernels that go through a value axis by axis.
const maxAxes = 8

// checkAxes refuses values of more axes than the kernels have, except for operators that
// see a value as a list of elements.
func checkAxes(n *graph.Node) error {
	switch n.Op.(type) {
	case graph.Input, graph.Variable, graph.Const, graph.Reshape, graph.Detach, graph.Unary, graph.UnaryGrad, graph.Affine,
		graph.ToFloat, graph.ToInt, graph.HostOp:
		return nil
	}
	for _, v := range slices.Concat(n.In, n.Out) {
		if len(v.Shape) > maxAxes {
			return fmt.Errorf("%v has %d axes, the engine computes with at most %d: join axes by Reshape", v.Shape, len(v.Shape), maxAxes)
		}
	}
	return nil
}

func (c *compiler) lowerNode(n *graph.Node) error {
	switch op := n.Op.(type) {
	case graph.Input:
		c.input(n.Out[0], op)
	case graph.Variable:
		c.variable(n.Out[0], op)
	case graph.Const:
		c.constant(n.Out[0], op)
	case scaledWeight:
		c.scaledWeight(n.Out[0], op)
	case graph.Conv2d:
		return c.conv(n, fusedConv{conv: op, bias: len(n.In) == 3})
	case fusedConv:
		return c.conv(n, op)
	case fusedConvPool:
		return c.convPool(n, op)
	case graph.Conv2dInputGrad:
		return c.convInputGrad(n, op, nil)
	case addConvInputGrad:
		return c.convInputGrad(n, op.Conv2dInputGrad, n.In[2])
	case graph.Conv2dWeightGrad:
		return c.convWeightGrad(n, op)
	case graph.Linear:
		return c.linear(n)
	case graph.LinearInputGrad:
		return c.linearInputGrad(n)
	case graph.LinearWeightGrad:
		return c.linearWeightGrad(n)
	case graph.MatMul:
		return c.matMul(n, op)
	case biasedMatMul:
		return c.constantMatMul(n, op.MatMul)
	case graph.BatchNorm:
		return c.batchNorm(n, op)
	case fusedBatchNormTrain:
		return c.batchNormTrain(n, op)
	case graph.BatchNormGrad:
		return c.batchNormGrad(n, fusedBatchNormGrad{BatchNormGrad: op}, nil)
	case fusedBatchNormGrad:
		return c.batchNormGrad(n, op, n.In[5])
	case graph.GroupNorm:
		c.groupNorm(n, op)
	case graph.GroupNormGrad:
		c.groupNormGrad(n, op)
	case graph.QuantizeLinear:
		c.quantize(n, op)
	case graph.DequantizeLinear:
		c.dequantize(n, op)
	case fusedQuantConv:
		return c.quantConv(n, op)
	case quantMaxPool:
		return c.quantMaxPool(n, op)
	case graph.Unary:
		return c.unary(n, op)
	case graph.UnaryGrad:
		return c.unaryGrad(n, op)
	case graph.Affine:
		return c.affine(n, op)
	case graph.Binary:
		return c.binary(n, op)
	case graph.SelectGrad:
		return c.selectGrad(n, op)
	case graph.MaxPool2d:
		return c.maxPool(n, op)
	case graph.MaxPool2dGrad:
		return c.maxPoolGrad(n, op)
	case graph.AvgPool2d:
		return c.avgPool(n, op)
	case graph.AvgPool2dGrad:
		return c.avgPoolGrad(n, op)
	case graph.Resize:
		return c.resize(n, op)
	case graph.ResizeGrad:
		return c.resizeGrad(n, op)
	case graph.RoIAlign:
		c.roiAlign(n, op)
	case graph.RoIAlignGrad:
		c.roiAlignGrad(n, op)
	case graph.Detach:
		c.alias(n.Out[0], n.In[0])
	case graph.Reduce:
		return c.reduce(n, op)
	case graph.ReduceMaxGrad:
		return c.reduceMaxGrad(n, op)
	case graph.BroadcastTo:
		return c.broadcastTo(n, op)
	case graph.Softmax:
		return c.softmax(n, vec.Softmax)
	case graph.LogSoftmax:
		return c.softmax(n, vec.LogSoftmax)
	case graph.Reshape:
		return c.reshape(n)
	case graph.Permute:
		return c.permute(n, op)
	case graph.Concat:
		return c.concat(n, op)
	case graph.Slice:
		return c.slice(n, op)
	case graph.Pad:
		return c.pad(n, op)
	case graph.CrossEntropy:
		return c.crossEntropy(n, op)
	case graph.CrossEntropyGrad:
		return c.crossEntropyGrad(n, op)
	case graph.BCEWithLogits:
		return c.bce(n)
	case graph.BCEWithLogitsGrad:
		return c.bceGrad(n)
	case graph.Compare:
		return c.compare(n, op)
	case graph.Where:
		c.where(n)
	case graph.ToFloat:
		return c.toFloat(n)
	case graph.ToInt:
		c.toInt(n)
	case graph.Gather:
		return c.gather(n, op)
	case graph.GatherGrad:
		return c.gatherGrad(n, op)
	case graph.GatherElements:
		return c.gatherElements(n, op)
	case graph.GatherElementsGrad:
		return c.gatherElementsGrad(n, op)
	case graph.TopK:
		c.topK(n, op)
	case graph.ArgMax:
		c.argMax(n, op)
	case graph.SigmoidFocal:
		return c.sigmoidFocal(n, op)
	case graph.SigmoidFocalGrad:
		return c.sigmoidFocalGrad(n, op)
	case graph.OneHot:
		return c.oneHot(n, op)
	case graph.Dropout:
		return c.dropout(n, op)
	case graph.SGD:
		return c.sgd(n, op)
	case graph.AdamW:
		return c.adam(n, vec.Adam{Beta1: op.Beta1, Beta2: op.Beta2, Eps: op.Eps, WeightDecay: op.WeightDecay, Decoupled: true})
	case graph.Adam:
		return c.adam(n, vec.Adam{Beta1: op.Beta1, Beta2: op.Beta2, Eps: op.Eps, WeightDecay: op.WeightDecay})
	case graph.LAMB:
		return c.lamb(n, op)
	case graph.RMSprop:
		return c.rmsProp(n, op)
	case graph.LARS:
		return c.lars(n, op)
	case graph.EMA:
		return c.ema(n)
	case graph.GlobalNorm:
		return c.globalNorm(n)
	case graph.HostOp:
		return c.host(n, op)
	default:
		return fmt.Errorf("the engine has no kernel for this operator: implement graph.HostOp to compute it")
	}
	return nil
}

// input makes room for what the caller feeds. Inputs that need another layout
// are brought into it by a step.
func (c *compiler) input(v *graph.Value, op graph.Input) {
	port := len(c.plan.inputs)
	c.plan.inputs = append(c.plan.inputs, Port{op.Label, op.Type, op.Layout})
	if v.DType == tensor.Int64 {
		c.ints[v] = port
		c.plan.feeds = append(c.plan.feeds, feed{})
		return
	}
	b := c.newBuf(v.Shape.Numel())
	b.kind, b.port = fed, port
	c.plan.feeds = append(c.plan.feeds, feed{b})
	l := rowMajor
	if op.Layout == tensor.NHWC || sameOrder(v.Shape, rowMajor, activation) {
		l = activation
	}
	c.at[v] = place{b, l}
	if l == rowMajor {
		c.at[v] = place{c.in(v, activation), activation}
	}
}

func (c *compiler) variable(v *graph.Value, op graph.Variable) {
	x := c.vars.m[op.Label]
	if v.DType != tensor.Float32 {
		c.ints[v] = c.fixedInts(x.i64)
		return
	}
	b := c.newBuf(v.Shape.Numel())
	switch {
	case c.updated[v]:
		b.kind, b.data = stored, c.vars.updatable(x)
	case x.own != nil:
		c.at[v] = place{b, rowMajor}
		b.constant(source{w: x.own})
		return
	default:
		b.kind, b.data = constant, x.f32
	}
	c.at[v] = place{b, variableLayout(x.Type)}
}

func (c *compiler) constant(v *graph.Value, op graph.Const) {
	if v.DType != tensor.Float32 {
		c.ints[v] = c.fixedInts(op.Tensor.Int64s())
		return
	}
	b := c.newBuf(v.Shape.Numel())
	b.constant(source{w: op.Tensor})
	c.at[v] = place{b, rowMajor}
}

// newBuf makes a temporary of the given number of floats.
func (c *compiler) newBuf(size int) *buf {
	b := &buf{id: len(c.plan.bufs), size: size}
	c.plan.bufs = append(c.plan.bufs, b)
	return b
}

// out makes room for a value: in Vars where it is a variable's next value and
// may be written there at once, in the arena otherwise.
func (c *compiler) out(v *graph.Value, l layout) *buf {
	if at, ok := c.at[v]; ok {
		return at.buf // a part of another value, see convPool
	}
	b := c.newBuf(v.Shape.Numel())
	if x, ok := c.stored[v]; ok {
		b.kind, b.data = stored, c.vars.updatable(x)
		l = variableLayout(x.Type)
	}
	c.at[v] = place{b, l}
	return b
}

// in returns the buffer that holds v in the given layout, adding a step that
// reorders it if need be.
func (c *compiler) in(v *graph.Value, l layout) *buf {
	at, ok := c.at[v]
	if !ok {
		panic(fmt.Sprintf("engine: %v was not computed", v))
	}
	if at.buf.source.scale != nil {
		at = c.scaled(v)
	}
	c.keep(at.buf)
	if sameOrder(v.Shape, at.layout, l) {
		return at.buf
	}
	key := converted{v, l}
	if to, ok := c.moved[key]; ok {
		return to.buf
	}
	src, shape, from := at.buf, v.Shape, at.layout
	dst := c.newBuf(src.size)
	if src.kind == constant {
		dst.kind, dst.data = constant, make([]float32, src.size)
		relayout(dst.data, src.data, shape, from, l)
	} else {
		perm := permutation(len(shape), from, l)
		phys := from.shape(shape)
		rows := phys[perm[0]]
		c.step("layout", rows, func(r *run, task, _ int) {
			vec.Permute(r.b[dst.id], r.b[src.id], phys, perm, task, task+1)
		}, reads(src), writes(dst))
	}
	c.moved[key] = place{dst, l}
	return dst
}

// step appends a step of the node being lowered.
func (c *compiler) step(phase string, tasks int, do func(r *run, task, worker int), reads, writes []*buf) *step {
	name := c.node.String()
	if phase != "" {
		name += " " + phase
	}
	s := &step{name: name, op: c.node.Op.Name(), tasks: tasks, run: do, reads: reads, writes: writes}
	c.plan.steps = append(c.plan.steps, s)
	return s
}

// pieces appends a step over a flat array of n floats, cut at fixed places.
func (c *compiler) pieces(phase string, n int, do func(r *run, lo, hi int), reads, writes []*buf) *step {
	return c.step(phase, vec.Pieces(n, vec.PieceLen), func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, vec.PieceLen, n)
		do(r, lo, hi)
	}, reads, writes)
}

// rows appends a step over the rows of a rows x cols array, cut at fixed places.
func (c *compiler) rows(phase string, rows, cols int, do func(r *run, lo, hi int), reads, writes []*buf) *step {
	size := vec.PieceRows(rows, cols)
	return c.step(phase, vec.Pieces(rows, size), func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, size, rows)
		do(r, lo, hi)
	}, reads, writes)
}

// needScratch reserves n floats of scratch memory for each worker of the step.
func (c *compiler) needScratch(n int) { c.plan.scratch = max(c.plan.scratch, n) }

func reads(bs ...*buf) []*buf { return present(bs) }

func writes(bs ...*buf) []*buf { return present(bs) }

func present(bs []*buf) []*buf {
	return slices.DeleteFunc(bs, func(b *buf) bool { return b == nil })
}

func typesOf(vs []*graph.Value) []graph.Type {
	out := make([]graph.Type, len(vs))
	for i, v := range vs {
		out[i] = v.Type
	}
	return out
}

// pixels returns a value of rank 2 or 4 as rows of channels.
func pixels(s tensor.Shape) (rows, channels int, err error) {
	switch len(s) {
	case 2:
		return s[0], s[1], nil
	case 4:
		return s[0] * s[2] * s[3], s[1], nil
	}
	return 0, 0, fmt.Errorf("the engine takes [N C] or [N C H W] here, got %v", s)
}
