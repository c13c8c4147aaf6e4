package nn

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func few(keys []string) string {
	const n = 4
	if len(keys) <= n {
		return strings.Join(keys, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(keys[:n], ", "), len(keys)-n)
}

// Values returns the values of m's parameters and buffers by the keys of
// [Params], not copied, without those that have none: what [Load] takes, and
// PyTorch's state_dict.
func Values(m Module) map[string]*tensor.Tensor {
	values := map[string]*tensor.Tensor{}
	for _, e := range Params(m) {
		if e.Param.Value != nil {
			values[e.Name] = e.Param.Value
		}
	}
	return values
}

// LoadOptions are the choices of [Load].
type LoadOptions struct {
	// Partial takes the values that m has keys for and reports the rest. The
	// parameters without a value keep theirs, which [Init] must have given them.
	Partial bool
	// Share makes the parameters share the tensors instead of copying them.
	Share bool
}

// Load gives m's parameters and buffers the values of their keys. A difference
// in shape or type, and without Partial a missing or unexpected key, is a
// [*weights.FitError]; m is unchanged after an error. A num_batches_tracked that
// is missing is set to 0, see [weights.IsCounter].
func Load(m Module, values map[string]*tensor.Tensor, opt LoadOptions) (weights.Report, error) {
	tree, err := checkedWalk(m)
	if err != nil {
		return weights.Report{}, err
	}
	r := weights.Compare(wants(tree.params), values)
	if len(r.Misshapen) > 0 || !opt.Partial && !r.Complete() {
		return r, fmt.Errorf("nn: %w", &weights.FitError{Report: r})
	}
	var empty []string
	for _, p := range tree.params {
		if values[p.Name] == nil && p.Param.Value == nil && !weights.IsCounter(p.Name) {
			empty = append(empty, p.Name)
		}
	}
	if len(empty) > 0 {
		return r, fmt.Errorf("nn: the weights lack %s, and the model has no values there: initialize it before loading a part", few(empty))
	}
	for _, p := range tree.params {
		switch t, ok := values[p.Name]; {
		case ok && opt.Share:
			p.Param.Value = t
		case ok:
			p.Param.Value = t.Clone()
		case weights.IsCounter(p.Name):
			p.Param.Value = tensor.NewInt64(p.Param.Shape...)
		}
	}
	return r, nil
}

// Wants lists the names, types and shapes of m's parameters and buffers, for
// [weights.Fit].
func Wants(m Module) []weights.Want { return wants(Params(m)) }

func wants(params []Entry) []weights.Want {
	list := make([]weights.Want, len(params))
	for i, e := range params {
		list[i] = weights.Want{Name: e.Name, DType: e.Param.DType, Shape: e.Param.Shape}
	}
	return list
}
