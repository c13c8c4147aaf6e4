package train

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/internal/term"
)

// runLength is how long a recipe trains, and how much of it is the warm-up.
type runLength struct {
	unit   string // epochs or iterations; empty if the recipe has no length
	total  float64
	warmup float64
}

// lengthOf reads the length of a recipe. Decoding the whole reports mistakes in it.
func lengthOf(root *yaml.Node) (l runLength) {
	for _, unit := range []string{"epochs", "iterations"} {
		if n := lookup(root, unit); n != nil && n.Decode(&l.total) == nil && l.total > 0 {
			l.unit = unit
			break
		}
	}
	if n := lookupPath(root, []string{"lr", "warmup"}); n != nil {
		_ = n.Decode(&l.warmup)
	}
	return l
}

// shorten makes the warm-up of a recipe fit a run that is shorter than before: ten epochs
// of warm-up are for runs of hundreds, and in a run of five the rate would never reach
// half of its peak.
func (r *Recipe) shorten(root *yaml.Node, before runLength) {
	now := lengthOf(root)
	if now.unit != before.unit || now.total <= 0 || now.total >= before.total || before.warmup <= 0 || now.warmup != before.warmup {
		return
	}
	node := lookupPath(root, []string{"lr", "warmup"})
	node.Tag, node.Value = "", strconv.FormatFloat(before.warmup*now.total/before.total, 'g', 4, 64)
	if r.fullLength.unit == "" {
		r.fullLength = before
	}
}

// warmupNote tells that the warm-up was shortened; "" if it was not.
func (r *Recipe) warmupNote() string {
	of := r.fullLength
	if of.unit == "" {
		return ""
	}
	total := r.Epochs
	if of.unit == "iterations" {
		total = r.Iterations
	}
	return fmt.Sprintf("the warm-up of the learning rate is shorter, as the run is: %.3g of %s, instead of the recipe's %g of %g; --set lr.warmup changes it",
		r.LR.Warmup, term.Plural(total, strings.TrimSuffix(of.unit, "s")), of.warmup, of.total)
}
