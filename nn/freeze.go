package nn

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
)

// Freeze excludes the parameters and buffers under each prefix from training and
// returns their number. "layer1" (or "layer1.") is everything in layer1, "" the
// whole model, "fc.bias" a single parameter. A prefix without parameters is an
// error.
//
// A frozen batch norm normalizes by its running statistics in training, too, and
// does not update them: fine-tuning with small batches would otherwise ruin the
// statistics that the frozen weights were trained with. [FrozenNorms] lists these
// batch norms.
func Freeze(m Module, prefixes ...string) (int, error) { return setFrozen(m, prefixes, true) }

// Unfreeze undoes [Freeze].
func Unfreeze(m Module, prefixes ...string) (int, error) { return setFrozen(m, prefixes, false) }

func setFrozen(m Module, prefixes []string, frozen bool) (int, error) {
	tree, err := checkedWalk(m)
	if err != nil {
		return 0, err
	}
	chosen := map[*Param]bool{}
	for _, prefix := range prefixes {
		prefix = strings.TrimSuffix(prefix, ".")
		found := false
		for _, e := range tree.params {
			if under(e.Name, prefix) {
				chosen[e.Param] = true
				found = true
			}
		}
		if !found {
			return 0, tree.unknownPrefix(prefix)
		}
	}
	for p := range chosen {
		p.Frozen = frozen
	}
	return len(chosen), nil
}

func (t *tree) unknownPrefix(prefix string) error {
	var known []string
	for _, m := range t.modules {
		known = append(known, m.path)
	}
	for _, e := range t.params {
		known = append(known, e.Name)
	}
	if near := suggest.Name(prefix, known); near != "" {
		return fmt.Errorf("nn: no parameter is named %q or lies under it; did you mean %q?", prefix, near)
	}
	return fmt.Errorf("nn: no parameter is named %q or lies under it", prefix)
}

// FrozenNorms returns the paths of the batch norms that use their running
// statistics in training, because [Freeze] froze them.
func FrozenNorms(m Module) []string {
	var paths []string
	for path, mod := range Modules(m) {
		if b, ok := mod.(*BatchNorm); ok && b.Frozen() {
			paths = append(paths, path)
		}
	}
	return paths
}

// LastLinear returns the path of the last fully connected layer, which gives a
// classifier's logits; "" if there is none or it is the whole model.
func LastLinear(m Module) string {
	last := ""
	for path, mod := range Modules(m) {
		if _, ok := mod.(*Linear); ok {
			last = path
		}
	}
	return last
}
