package engine

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/tensor"
)

// The operators by which passes replace groups of graph operators.

// fusedConv is act(conv(x, w) + bias + residual). Inputs: x, w, then the bias
// and the residual where there are any. With stats its further outputs are the
// mean and the biased variance of each output channel.
type fusedConv struct {
	conv           graph.Conv2d
	act            isa.Act
	bias, residual bool
	stats          bool
}

func (fusedConv) Name() string { return "Conv2d+" }

func (o fusedConv) Infer(in []graph.Type) ([]graph.Type, error) {
	out, err := o.conv.Infer(in[:2])
	if err == nil && o.stats {
		c := graph.F32(out[0].Shape[1])
		out = append(out, c, c)
	}
	return out, err
}

// fusedBatchNormTrain is act(BatchNormTrain(x) + residual). Inputs: those of
// BatchNormTrain, then residual, then mean and variance.
type fusedBatchNormTrain struct {
	graph.BatchNormTrain
	relu, residual bool
	statsFromConv  bool // mean and variance come from the convolution that made x
	// fixedStats is set if the operator stands for BatchNormRecomputed: inputs 3 and
	// 4 are the mean and the inverse deviation, and there is one output.
	fixedStats bool
}

func (fusedBatchNormTrain) Name() string { return "BatchNormTrain+" }

func (o fusedBatchNormTrain) Infer(in []graph.Type) ([]graph.Type, error) {
	if o.fixedStats {
		return graph.BatchNormRecomputed{}.Infer(in[:5])
	}
	return o.BatchNormTrain.Infer(in[:5])
}

// normalization returns the operator, not fused with anything yet, that puts
// n's first output in the place of a fused one.
func normalization(n *graph.Node) (op fusedBatchNormTrain, ok bool) {
	switch o := n.Op.(type) {
	case graph.BatchNormTrain:
		return fusedBatchNormTrain{BatchNormTrain: o}, true
	case graph.BatchNormRecomputed:
		return fusedBatchNormTrain{fixedStats: true}, true
	}
	return op, false
}

// fusedBatchNormGrad is BatchNormGrad of dy masked by the ReLU that followed.
// Inputs: those of BatchNormGrad, then the ReLU's output, or beta.
type fusedBatchNormGrad struct {
	graph.BatchNormGrad
	// keepMasked adds a fourth output, the masked dy: the gradient of the residual
	// branch.
	keepMasked bool
	// recomputeMask computes the mask from beta instead of reading the ReLU's output,
	// which saves its memory traffic. It needs a ReLU with nothing added before it.
	recomputeMask bool
}

func (fusedBatchNormGrad) Name() string { return "BatchNormGrad+" }

func (o fusedBatchNormGrad) Infer(in []graph.Type) ([]graph.Type, error) {
	out, err := o.BatchNormGrad.Infer(in[:5])
	if err == nil && o.keepMasked {
		out = append(out, in[0])
	}
	return out, err
}

// addConvInputGrad is sum + Conv2dInputGrad(dy, w). Inputs: dy, w, sum.
type addConvInputGrad struct{ graph.Conv2dInputGrad }

func (addConvInputGrad) Name() string { return "Conv2dInputGrad+" }

func (o addConvInputGrad) Infer(in []graph.Type) ([]graph.Type, error) {
	return o.Conv2dInputGrad.Infer(in[:2])
}

// constants gives the value of variables and constants that no run changes.
type constants func(*graph.Value) (*tensor.Tensor, bool)

// knownConstants returns the constants of g over vars.
func knownConstants(g *graph.Graph, vars *Vars) constants {
	updated := updatedBy(g)
	return func(v *graph.Value) (*tensor.Tensor, bool) {
		switch op := v.Node.Op.(type) {
		case graph.Const:
			return op.Tensor, true
		case graph.Variable:
			x, ok := vars.m[op.Label]
			if !ok || updated[v] {
				return nil, false
			}
			return x.tensor(), true
		}
		return nil, false
	}
}

// updatedBy returns the variables that a run of g changes.
func updatedBy(g *graph.Graph) map[*graph.Value]bool {
	updated := map[*graph.Value]bool{}
	for _, u := range g.Updates {
		updated[u.Variable] = true
	}
	return updated
}

// foldBatchNorm multiplies a batch norm with fixed statistics into the
// weights of the convolution before it:
//
//	w' = w * gamma/√(var+eps),  b' = (b-mean) * gamma/√(var+eps) + beta
func foldBatchNorm(g *graph.Graph, known constants) edit {
	e := newEdit()
	use := users(g)
	for _, n := range g.Nodes {
		bn, ok := n.Op.(graph.BatchNorm)
		if !ok {
			continue
		}
		conv := n.In[0].Node
		op, ok := conv.Op.(graph.Conv2d)
		if !ok || len(use[n.In[0]]) != 1 {
			continue
		}
		var p [6]*tensor.Tensor // w, gamma, beta, mean, var, bias
		from := []*graph.Value{conv.In[1], n.In[1], n.In[2], n.In[3], n.In[4]}
		if len(conv.In) == 3 {
			from = append(from, conv.In[2])
		}
		all := true
		for i, v := range from {
			p[i], ok = known(v)
			all = all && ok
		}
		if !all {
			continue
		}
		scale, b := foldScale(p[1], p[2], p[3], p[4], p[5], bn.Eps)
		w := scaledWeight{w: p[0], scale: scale, by: [2]*tensor.Tensor{p[1], p[4]}, eps: bn.Eps}
		e.skip[conv] = true
		e.put[n] = replacement{
			op:  op,
			in:  []operand{{value: conv.In[0]}, {made: w}, {fixed: b}},
			out: n.Out,
		}
	}
	return e
}

// FoldBatchNorm returns g with each batch norm of fixed statistics multiplied
// into the convolution before it, as inference computes it, over the values in
// vars. Nodes and their order depend on g alone.
func FoldBatchNorm(g *graph.Graph, vars *Vars) (*graph.Graph, error) {
	if err := checkVariables(g, vars); err != nil {
		return nil, err
	}
	e := foldBatchNorm(g, knownConstants(g, vars))
	for _, r := range e.put {
		for i, o := range r.in {
			if w, ok := o.made.(scaledWeight); ok {
				if err := w.w.Load(); err != nil {
					return nil, fmt.Errorf("engine: %w", err)
				}
				r.in[i] = operand{fixed: w.tensor()}
			}
		}
	}
	return apply(g, e)
}

// fuseEpilogue lets a convolution add the residual and apply the activation
// while its output is still in registers.
func fuseEpilogue(g *graph.Graph) edit {
	e := newEdit()
	use := users(g)
	isConv := func(v *graph.Value) (graph.Conv2d, bool) {
		op, ok := v.Node.Op.(graph.Conv2d)
		return op, ok && !e.touched(v.Node)
	}
	// fuse puts one node at last for conv and what follows it.
	fuse := func(last, conv *graph.Node, op graph.Conv2d, residual *graph.Value, act isa.Act, between ...*graph.Node) {
		in := operands(conv.In...)
		if residual != nil {
			in = append(in, operand{value: residual})
		}
		e.skip[conv] = true
		for _, n := range between {
			e.skip[n] = true
		}
		e.put[last] = replacement{
			op:  fusedConv{conv: op, act: act, bias: len(conv.In) == 3, residual: residual != nil},
			in:  in,
			out: last.Out,
		}
	}
	// sum matches conv + residual, preferring the convolution that runs later.
	sum := func(add *graph.Node) (conv *graph.Node, op graph.Conv2d, residual *graph.Value) {
		if b, ok := add.Op.(graph.Binary); !ok || b.Fn != graph.Add || !add.In[0].Shape.Equal(add.In[1].Shape) {
			return nil, op, nil
		}
		for i, v := range add.In {
			if o, ok := isConv(v); ok && use.only(v, add) && (conv == nil || v.Node.ID > conv.ID) {
				conv, op, residual = v.Node, o, add.In[1-i]
			}
		}
		return conv, op, residual
	}
	for _, n := range g.Nodes {
		act, ok := activationOf(n)
		if !ok {
			continue
		}
		x := n.In[0]
		if op, ok := isConv(x); ok && use.only(x, n) {
			fuse(n, x.Node, op, nil, act)
		} else if conv, op, residual := sum(x.Node); conv != nil && use.only(x, n) && !e.touched(x.Node) {
			fuse(n, conv, op, residual, act, x.Node)
		}
	}
	for _, n := range g.Nodes {
		if e.touched(n) {
			continue
		}
		if conv, op, residual := sum(n); conv != nil {
			fuse(n, conv, op, residual, isa.ActNone)
		}
	}
	return e
}

// biasedMatMul is x·w + bias. Inputs: x [N I], a constant w, and a constant bias [O].
type biasedMatMul struct{ graph.MatMul }

func (biasedMatMul) Name() string { return "MatMul+" }

func (o biasedMatMul) Infer(in []graph.Type) ([]graph.Type, error) { return o.MatMul.Infer(in[:2]) }

// fuseProductBias lets the product of rows with a constant matrix add the constant
// that follows it, also behind a Reshape that gives the rows their axes back.
func fuseProductBias(g *graph.Graph, known constants) edit {
	e := newEdit()
	use := users(g)
	for _, n := range g.Nodes {
		if b, ok := n.Op.(graph.Binary); !ok || b.Fn != graph.Add {
			continue
		}
		for i, x := range n.In {
			if !x.Shape.Equal(n.Out[0].Shape) || !use.only(x, n) {
				continue
			}
			product, shaped := x, (*graph.Node)(nil)
			if _, ok := x.Node.Op.(graph.Reshape); ok {
				product, shaped = x.Node.In[0], x.Node
			}
			op, ok := product.Node.Op.(graph.MatMul)
			if !ok || op.TransA || len(product.Shape) != 2 || shaped != nil && !use.only(product, shaped) {
				continue
			}
			cols := product.Shape[1]
			b := n.In[1-i]
			if s := b.Shape; len(s) == 0 || s[len(s)-1] != cols || s.Numel() != cols || x.Shape[len(x.Shape)-1] != cols {
				continue
			}
			if _, ok := known(product.Node.In[1]); !ok {
				continue
			}
			t, ok := known(b)
			if !ok {
				continue
			}
			if e.err = t.Load(); e.err != nil {
				return e
			}
			bias, err := tensor.FromFloat32(t.Float32s(), cols)
			if err != nil {
				e.err = err
				return e
			}
			sum := replacement{op: biasedMatMul{op}, in: append(operands(product.Node.In...), operand{fixed: bias}), out: n.Out}
			if shaped != nil {
				sum.out = product.Node.Out
				e.put[n] = replacement{op: shaped.Op, in: operands(product), out: n.Out}
				e.put[shaped] = sum
			} else {
				e.put[n] = sum
			}
			e.skip[product.Node] = true
			break
		}
	}
	return e
}

// activationOf returns the activation that a convolution can apply itself.
func activationOf(n *graph.Node) (isa.Act, bool) {
	u, ok := n.Op.(graph.Unary)
	switch {
	case !ok:
		return 0, false
	case u.Fn == graph.Relu:
		return isa.ActReLU, true
	case u.Fn == graph.Clip && u.A == 0 && u.B == 6:
		return isa.ActReLU6, true
	}
	return 0, false
}

// fuseBatchNormTrain joins batch norm in training with the residual add and
// the ReLU that follow it: one pass over memory instead of three.
func fuseBatchNormTrain(g *graph.Graph) edit {
	e := newEdit()
	use := users(g)
	isNorm := func(v *graph.Value) bool {
		_, ok := normalization(v.Node)
		return ok && v.Index == 0 && !e.touched(v.Node)
	}
	for _, n := range g.Nodes {
		if u, ok := n.Op.(graph.Unary); !ok || u.Fn != graph.Relu {
			continue
		}
		x := n.In[0]
		var norm *graph.Node
		var residual *graph.Value
		if isNorm(x) && use.only(x, n) {
			norm = x.Node
		} else if b, ok := x.Node.Op.(graph.Binary); ok && b.Fn == graph.Add && use.only(x, n) {
			for i, v := range x.Node.In {
				if isNorm(v) && use.only(v, x.Node) && v.Shape.Equal(x.Node.In[1-i].Shape) && (norm == nil || v.Node.ID > norm.ID) {
					norm, residual = v.Node, x.Node.In[1-i]
				}
			}
		}
		if norm == nil {
			continue
		}
		in := operands(norm.In...)
		if residual != nil {
			in = append(in, operand{value: residual})
			e.skip[x.Node] = true
		}
		e.skip[norm] = true
		out := append([]*graph.Value{n.Out[0]}, norm.Out[1:]...)
		op, _ := normalization(norm)
		op.relu, op.residual = true, residual != nil
		e.put[n] = replacement{op: op, in: in, out: out}
	}
	for _, n := range g.Nodes {
		if op, ok := normalization(n); ok && !e.touched(n) {
			e.put[n] = replacement{op: op, in: operands(n.In...), out: n.Out}
		}
	}
	return e
}

// fuseStats lets a convolution gather the statistics that the batch norm after
// it needs, while its output is still in cache.
func fuseStats(g *graph.Graph) edit {
	e := newEdit()
	for _, n := range g.Nodes {
		bn, ok := n.Op.(fusedBatchNormTrain)
		if !ok || bn.statsFromConv || bn.fixedStats {
			continue
		}
		conv := n.In[0].Node
		op, ok := conv.Op.(graph.Conv2d)
		if !ok || e.touched(conv) {
			continue
		}
		mean, variance := &graph.Value{}, &graph.Value{} // stand for values to come
		e.put[conv] = replacement{
			op:  fusedConv{conv: op, bias: len(conv.In) == 3, stats: true},
			in:  operands(conv.In...),
			out: []*graph.Value{conv.Out[0], mean, variance},
		}
		bn.statsFromConv = true
		e.put[n] = replacement{op: bn, in: append(operands(n.In...), operands(mean, variance)...), out: n.Out}
	}
	return e
}

// fuseBatchNormGrad joins the gradient of ReLU with that of the batch norm
// before it. Where the masked gradient also flows into a residual branch, the
// fused node gives it as a further output.
func fuseBatchNormGrad(g *graph.Graph) edit {
	e := newEdit()
	use := users(g)
	for _, n := range g.Nodes {
		op, ok := n.Op.(graph.BatchNormGrad)
		if !ok {
			continue
		}
		dz := n.In[0]
		mask := dz.Node
		if u, ok := mask.Op.(graph.UnaryGrad); !ok || u.Of.Fn != graph.Relu || use[dz][0] != n {
			continue
		}
		f := fusedBatchNormGrad{BatchNormGrad: op, keepMasked: len(use[dz]) > 1}
		in := append(operands(mask.In[1]), operands(n.In[1:]...)...)
		y := mask.In[0]
		if norm, ok := y.Node.Op.(fusedBatchNormTrain); ok && y.Index == 0 && !norm.residual && !f.keepMasked && y.Node.In[0] == n.In[1] {
			f.recomputeMask = true
			y = y.Node.In[2]
		}
		in = append(in, operand{value: y})
		out := n.Out
		if f.keepMasked {
			out = append(append([]*graph.Value(nil), out...), dz)
		}
		e.skip[mask] = true
		e.put[n] = replacement{op: f, in: in, out: out}
	}
	return e
}

// fuseGradSum lets the input gradient of a convolution add to the gradient
// that came along another branch, instead of writing its own to be added.
func fuseGradSum(g *graph.Graph) edit {
	e := newEdit()
	use := users(g)
	for _, n := range g.Nodes {
		if b, ok := n.Op.(graph.Binary); !ok || b.Fn != graph.Add || !n.In[0].Shape.Equal(n.In[1].Shape) {
			continue
		}
		for i := 1; i >= 0; i-- {
			v := n.In[i]
			op, ok := v.Node.Op.(graph.Conv2dInputGrad)
			if !ok || len(use[v]) != 1 || e.touched(v.Node) || n.In[1-i] == v {
				continue
			}
			e.skip[v.Node] = true
			e.put[n] = replacement{op: addConvInputGrad{op}, in: operands(v.Node.In[0], v.Node.In[1], n.In[1-i]), out: n.Out}
			break
		}
	}
	return e
}

// fuseBroadcast leaves out that an operand is stretched to a shape which the operator
// stretches it to itself.
func fuseBroadcast(g *graph.Graph) edit {
	e := newEdit()
	for _, n := range g.Nodes {
		op, ok := n.Op.(graph.Binary)
		if !ok {
			continue
		}
		in := slices.Clone(n.In)
		for i, v := range n.In {
			if _, ok := v.Node.Op.(graph.BroadcastTo); ok && in[1-i].Shape.Equal(n.Out[0].Shape) {
				in[i] = v.Node.In[0]
			}
		}
		if !slices.Equal(in, n.In) {
			e.put[n] = replacement{op: op, in: operands(in...), out: n.Out}
		}
	}
	return e
}
