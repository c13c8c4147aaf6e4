// Package diagram draws a network, as SVG and as an HTML page whose blocks fold:
// stages, blocks and layers are boxes, shortcuts are arrows next to them.
//
// tree.go finds the structure in the traced graph, layout.go places boxes,
// svg.go and html.go write.
package diagram

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// item is a module, or an operator that a module uses directly.
type item struct {
	path, kind string
	label      string       // what it does: "3×3, 64, /2"
	out        tensor.Shape // of one image
	params     int
	macs       int64
	items      []*item // inside, in order of execution
	from       []int   // items of the parent that it reads; -1 is what the parent reads
	lane       int     // 0 is the main path of the parent, others are next to it

	value *graph.Value
	nodes []*graph.Node // all inside
}

// build traces m on one image and returns its structure.
func build(m nn.Module, input graph.Type) (*item, error) {
	t, err := nn.Trace(m, nn.TraceOptions{Input: input})
	if err != nil {
		return nil, err
	}
	rows, err := nn.Summarize(m, input)
	if err != nil {
		return nil, err
	}
	byPath := make(map[string]nn.Row, len(rows))
	for _, r := range rows {
		byPath[r.Path] = r
	}
	b := builder{dep: map[*graph.Value]bool{t.Input: true}, rows: byPath}
	for _, n := range t.Graph.Nodes {
		for _, in := range n.In {
			if b.dep[in] {
				for _, out := range n.Out {
					b.dep[out] = true
				}
				b.free = append(b.free, n)
				break
			}
		}
	}
	for _, c := range t.Calls {
		b.call(c.Path, nn.Kind(c.Module), c.Out)
	}
	root := b.open[len(b.open)-1]
	b.connect(root)
	return root, nil
}

type builder struct {
	dep  map[*graph.Value]bool // does it depend on the image?
	rows map[string]nn.Row
	free []*graph.Node // that no module has yet
	open []*item       // whose parent has not ended yet
}

func inside(path, parent string) bool {
	return parent == "" || path == parent || strings.HasPrefix(path, parent+".")
}

// call ends a call: what is open and within its path becomes its content.
func (b *builder) call(path, kind string, out *graph.Value) {
	it := &item{path: path, kind: kind, value: out, out: out.Shape[min(1, len(out.Shape)):], params: b.rows[path].Params}
	first := len(b.open)
	for first > 0 && b.open[first-1].path != path && inside(b.open[first-1].path, path) {
		first--
	}
	it.items = slices.Clone(b.open[first:])
	b.open = b.open[:first]
	var rest []*graph.Node
	var own []*graph.Node
	for _, n := range b.free {
		if n.ID <= out.Node.ID && inside(n.Path, path) {
			own = append(own, n)
		} else {
			rest = append(rest, n)
		}
	}
	b.free = rest
	for _, c := range it.items {
		it.nodes = append(it.nodes, c.nodes...)
	}
	it.nodes = append(it.nodes, own...)
	for _, n := range it.nodes {
		it.macs += nn.MACs(n)
	}
	if len(it.items) > 0 {
		for _, n := range own {
			if _, view := n.Op.(graph.Reshape); view {
				continue
			}
			op := &item{path: n.Path, kind: n.Op.Name(), value: n.Out[0], out: n.Out[0].Shape[1:], macs: nn.MACs(n), nodes: []*graph.Node{n}, label: describe([]*graph.Node{n})}
			if op.path == path {
				op.path = ""
			}
			if r, ok := b.rows[n.Path]; ok && n.Path != path {
				op.params = r.Params
			}
			it.items = append(it.items, op)
		}
		// Modules that compute nothing, such as dropout at inference, are left out.
		it.items = slices.DeleteFunc(it.items, func(c *item) bool { return len(c.nodes) == 0 })
		slices.SortStableFunc(it.items, func(a, b *item) int { return a.value.Node.ID - b.value.Node.ID })
	}
	if len(it.items) == 0 || layersWithWeights(it.nodes) == 1 {
		it.label = describe(it.nodes)
	}
	b.open = append(b.open, it)
}

// connect finds which items read which, here and inside.
func (b *builder) connect(parent *item) {
	madeBy := map[*graph.Value]int{} // item of parent
	for i, it := range parent.items {
		own := map[*graph.Value]bool{}
		for _, n := range it.nodes {
			for _, v := range n.Out {
				own[v] = true
			}
		}
		for _, n := range it.nodes {
			for _, v := range n.In {
				if !b.dep[v] || own[v] {
					continue
				}
				if from := producer(madeBy, b.dep, v); !slices.Contains(it.from, from) {
					it.from = append(it.from, from)
				}
			}
		}
		for v := range own {
			madeBy[v] = i
		}
		b.connect(it)
	}
	lanes(parent.items)
}

// producer returns the item that makes v, looking through views that are no
// items; -1 if it comes from outside.
func producer(madeBy map[*graph.Value]int, dep map[*graph.Value]bool, v *graph.Value) int {
	for {
		if i, ok := madeBy[v]; ok {
			return i
		}
		if _, view := v.Node.Op.(graph.Reshape); !view || !dep[v.Node.In[0]] {
			return -1
		}
		v = v.Node.In[0]
	}
}

// lanes moves the items of all but the longest branch before a join to lanes next
// to the main path.
func lanes(items []*item) {
	length := make([]int, len(items)) // of the longest way here
	of := func(i int) int {
		if i < 0 {
			return 0
		}
		return length[i]
	}
	for i, it := range items {
		for _, f := range it.from {
			length[i] = max(length[i], of(f)+1)
		}
		if len(it.from) < 2 {
			continue
		}
		main := slices.MaxFunc(it.from, func(a, b int) int { return of(a) - of(b) })
		onMain := map[int]bool{-1: true}
		var mark func(i int)
		mark = func(i int) {
			if !onMain[i] {
				onMain[i] = true
				for _, f := range items[i].from {
					mark(f)
				}
			}
		}
		mark(main)
		lane := 0
		for _, f := range it.from {
			if f == main || onMain[f] {
				continue
			}
			lane++
			for ; !onMain[f] && len(items[f].from) > 0; f = items[f].from[0] {
				items[f].lane = max(items[f].lane, lane)
				onMain[f] = true
			}
		}
	}
}

// describe returns what a layer of one convolution, matrix product or pooling
// does.
func describe(nodes []*graph.Node) string {
	for _, n := range nodes {
		switch op := n.Op.(type) {
		case graph.Conv2d:
			w := n.In[1].Shape
			s := fmt.Sprintf("%d×%d, %d", w[2], w[3], w[0]) + stride(op.StrideH, op.StrideW)
			if op.Groups > 1 {
				s += fmt.Sprintf(", %d groups", op.Groups)
			}
			if op.DilationH > 1 {
				s += fmt.Sprintf(", dilation %d", op.DilationH)
			}
			return s
		case graph.Linear:
			return fmt.Sprintf("%d → %d", n.In[1].Shape[1], n.In[1].Shape[0])
		case graph.MaxPool2d:
			return fmt.Sprintf("%d×%d", op.KernelH, op.KernelW) + stride(op.StrideH, op.StrideW)
		case graph.AvgPool2d:
			return fmt.Sprintf("%d×%d", op.KernelH, op.KernelW) + stride(op.StrideH, op.StrideW)
		}
	}
	return ""
}

func layersWithWeights(nodes []*graph.Node) (n int) {
	for _, node := range nodes {
		if nn.MACs(node) > 0 {
			n++
		}
	}
	return n
}

func stride(h, w int) string {
	switch {
	case h == 1 && w == 1:
		return ""
	case h == w:
		return fmt.Sprintf(", /%d", h)
	}
	return fmt.Sprintf(", /%d×%d", h, w)
}

// name is the last part of the path, or the operator's sign.
func (it *item) name() string {
	if it.path == "" {
		switch it.kind {
		case "Add":
			return "+"
		case "Mul":
			return "×"
		}
		return it.kind
	}
	return it.path[strings.LastIndexByte(it.path, '.')+1:]
}

// same reports whether two items differ in their names only.
func (it *item) same(o *item) bool {
	if it.kind != o.kind || it.label != o.label || it.params != o.params || it.macs != o.macs || it.lane != o.lane ||
		!it.out.Equal(o.out) || len(it.items) != len(o.items) {
		return false
	}
	for i, c := range it.items {
		if !c.same(o.items[i]) || !slices.Equal(c.from, o.items[i].from) {
			return false
		}
	}
	return true
}

// chain reports whether the items follow one another without any side way.
func (it *item) chain() bool {
	for i, c := range it.items {
		if len(c.from) != 1 || c.from[0] != i-1 {
			return false
		}
	}
	return true
}

// stage reports whether an item is a row of blocks.
func (it *item) stage() bool {
	return len(it.items) > 0 && it.chain() && !slices.ContainsFunc(it.items, func(c *item) bool { return len(c.items) == 0 })
}

// backbone reports whether an item has stages, so that a box with its name alone would show too
// little.
func (it *item) backbone() bool { return slices.ContainsFunc(it.items, (*item).stage) }

// run is a number of items in a row that differ in their names only.
type run struct {
	*item
	n    int
	last *item
}

func (r run) title() string {
	if r.n == 1 {
		return r.path
	}
	return r.path + " … " + r.last.name()
}

// runs joins blocks that follow one another and are the same.
func runs(items []*item) []run {
	var out []run
	for i, it := range items {
		if k := len(out) - 1; k >= 0 && len(it.items) > 0 && out[k].same(it) && slices.Equal(it.from, []int{i - 1}) {
			out[k].n++
			out[k].last = it
			continue
		}
		out = append(out, run{it, 1, it})
	}
	return out
}
