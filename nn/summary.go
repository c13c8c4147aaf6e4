package nn

import (
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Row is a line of a model's summary: one module, including everything inside it.
type Row struct {
	Path            string       // "" for the whole model
	Kind            string       // the type's name, such as "Conv2d"
	Depth           int          // 0 for the whole model, 1 for its fields, …
	Out             tensor.Shape // of the last call; nil if the module is not called
	Params          int          // elements of parameters, without buffers
	MACs            int64        // multiply-adds of convolutions and linear layers, for the whole batch
	ActivationBytes int64        // of all values computed in the module, for the whole batch
}

// Summarize traces m for inference on an input of the given type and lists its
// modules in the order of their fields. Each row counts everything inside the
// module.
func Summarize(m Module, input graph.Type) ([]Row, error) {
	t, err := Trace(m, TraceOptions{Input: input})
	if err != nil {
		return nil, err
	}
	tree := walk(m)
	rows := []Row{}
	at := map[string]int{}
	for _, n := range tree.modules {
		if _, ok := at[n.path]; ok {
			continue // a wrapper and what it embeds have one path
		}
		row := Row{Path: n.path, Kind: Kind(n.module)}
		if n.path != "" {
			row.Depth = strings.Count(n.path, ".") + 1
		}
		at[n.path] = len(rows)
		rows = append(rows, row)
	}
	// each calls f for the module at path and all modules around it.
	each := func(path string, f func(*Row)) {
		for {
			if i, ok := at[path]; ok {
				f(&rows[i])
			}
			if path == "" {
				return
			}
			path = path[:max(strings.LastIndexByte(path, '.'), 0)]
		}
	}
	for _, c := range t.Calls {
		if i, ok := at[c.Path]; ok {
			rows[i].Out = c.Out.Shape
		}
	}
	for p, name := range tree.names {
		if !p.Buffer {
			each(name, func(r *Row) { r.Params += p.Shape.Numel() })
		}
	}
	for _, n := range t.Graph.Nodes {
		var bytes int64
		switch n.Op.(type) {
		case graph.Input, graph.Variable, graph.Const:
			continue
		case graph.Reshape: // a view
		default:
			bytes = 4 * int64(n.Out[0].Shape.Numel())
		}
		macs := MACs(n)
		each(n.Path, func(r *Row) {
			r.MACs += macs
			r.ActivationBytes += bytes
		})
	}
	return rows, nil
}

// MACs returns the multiply-adds of a node as papers count them: convolutions and
// matrix products count, other operators do not.
func MACs(n *graph.Node) int64 {
	out := int64(n.Out[0].Shape.Numel())
	switch op := n.Op.(type) {
	case graph.Conv2d:
		return out * int64(n.In[1].Shape[1:].Numel())
	case graph.Conv2dInputGrad: // a transposed convolution
		return int64(n.In[0].Shape.Numel()) * int64(n.In[1].Shape[1:].Numel())
	case graph.Linear:
		return out * int64(n.In[1].Shape[1])
	case graph.MatMul:
		a := n.In[0].Shape
		if op.TransA {
			return out * int64(a[len(a)-2])
		}
		return out * int64(a[len(a)-1])
	}
	return 0
}
