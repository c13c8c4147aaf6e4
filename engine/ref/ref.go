// Package ref interprets a graph the slow, obviously right way: one plain loop
// nest per operator, in float64, in N, C, H, W order. Tests compare the engine
// and the operators' gradients with it.
package ref

import (
	"errors"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Result holds the values of one run.
type Result struct {
	values map[*graph.Value]*tensor.Tensor
}

// Value returns the value that v had in the run, or nil if it was not computed.
func (r *Result) Value(v *graph.Value) *tensor.Tensor { return r.values[v] }

// Run computes every node of g. vars and in hold the variables and the inputs
// by name; neither is changed.
func Run(g *graph.Graph, vars, in map[string]*tensor.Tensor) (*Result, error) {
	return nil, errors.New("ref: to be written")
}
