package nn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/tensor"
)

// LoadReport lists the keys that only one side has.
type LoadReport struct {
	Missing    []string // in the model, not in the state
	Unexpected []string // in the state, not in the model
}

// LoadError says why a state does not fit a model.
type LoadError struct {
	LoadReport
	Misshapen []string // "key is float32[...], the model wants float32[...]"
	near      map[string]string
}

// Error lists the first few keys of each kind, missing ones with the nearest
// unexpected name.
func (e *LoadError) Error() string {
	var parts []string
	missing := make([]string, len(e.Missing))
	for i, k := range e.Missing {
		missing[i] = k
		if n := e.near[k]; n != "" {
			missing[i] += " (there is " + n + ")"
		}
	}
	for _, p := range []struct {
		what string
		keys []string
	}{{"missing", missing}, {"unexpected", e.Unexpected}, {"of the wrong shape", e.Misshapen}} {
		if len(p.keys) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s: %s", len(p.keys), p.what, few(p.keys)))
		}
	}
	return "nn: the weights do not fit the model: " + strings.Join(parts, "; ")
}

func few(keys []string) string {
	const n = 4
	if len(keys) <= n {
		return strings.Join(keys, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(keys[:n], ", "), len(keys)-n)
}

// State returns the values of m's parameters and buffers by the keys of
// [StateDict], not copied, of those that have one: what [Load] takes.
func State(m Module) map[string]*tensor.Tensor {
	state := map[string]*tensor.Tensor{}
	for _, e := range StateDict(m) {
		if e.Param.Value != nil {
			state[e.Name] = e.Param.Value
		}
	}
	return state
}

// Load copies a state dict into m. With strict, keys that are missing or
// unexpected are an error, else they are only reported, and the parameters
// that stay must have values from [Init]. A wrong shape is always an error. A
// missing num_batches_tracked is none: files from before PyTorch 0.4.1 and
// from other programs lack it; it is set to 0. m is unchanged after an error.
func Load(m Module, state map[string]*tensor.Tensor, strict bool) (LoadReport, error) {
	return load(m, state, strict, (*tensor.Tensor).Clone)
}

// Adopt is [Load] without a copy: the parameters share the tensors of state.
func Adopt(m Module, state map[string]*tensor.Tensor, strict bool) (LoadReport, error) {
	return load(m, state, strict, func(t *tensor.Tensor) *tensor.Tensor { return t })
}

func load(m Module, state map[string]*tensor.Tensor, strict bool, take func(*tensor.Tensor) *tensor.Tensor) (LoadReport, error) {
	tree, err := checkedWalk(m)
	if err != nil {
		return LoadReport{}, err
	}
	e := &LoadError{near: map[string]string{}}
	known := map[string]bool{}
	var empty []string
	for _, p := range tree.params {
		known[p.Name] = true
		t, ok := state[p.Name]
		switch {
		case ok && (t.DType() != p.Param.DType || !t.Shape().Equal(p.Param.Shape)):
			e.Misshapen = append(e.Misshapen, fmt.Sprintf("%s is %v, the model wants %v", p.Name, t, p.Param.typ()))
		case ok || isCounter(p.Name):
		default:
			e.Missing = append(e.Missing, p.Name)
			if p.Param.Value == nil {
				empty = append(empty, p.Name)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if !known[k] {
			e.Unexpected = append(e.Unexpected, k)
		}
	}
	for _, k := range e.Missing[:min(len(e.Missing), 4)] { // those that Error shows
		e.near[k] = alike(k, e.Unexpected)
	}
	if len(e.Misshapen) > 0 || strict && len(e.Missing)+len(e.Unexpected) > 0 {
		return e.LoadReport, e
	}
	if len(empty) > 0 {
		return e.LoadReport, fmt.Errorf("nn: the weights lack %s, and the model has no values of its own there: initialise it before loading a part", few(empty))
	}
	for _, p := range tree.params {
		if t, ok := state[p.Name]; ok {
			p.Param.Value = take(t)
		} else if p.Param.Value == nil || isCounter(p.Name) {
			p.Param.Value = tensor.NewInt64(p.Param.Shape...)
		}
	}
	return e.LoadReport, nil
}

// alike finds the name for key among others: one with another prefix, as
// "module.conv1.weight", before one that is spelt nearly the same.
func alike(key string, others []string) string {
	for _, o := range others {
		if strings.HasSuffix(o, "."+key) || strings.HasSuffix(key, "."+o) {
			return o
		}
	}
	return suggest.Name(key, others)
}
