package train

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/internal/term"
)

// timeKeys are the keys of a recipe that are times within its run.
var timeKeys = []string{"lr.warmup", "lr.every", "lr.milestones", warmHeadKey}

// warmHeadKey is the time that is a whole number of epochs.
const warmHeadKey = "finetune.warm_head"

// runLength is how long a recipe trains.
type runLength struct {
	unit  string // epochs or iterations; empty if the recipe has no length
	total float64
}

// lengthOf reads the length of a recipe. Decoding the whole reports mistakes in it.
func lengthOf(root *yaml.Node) (l runLength) {
	for _, unit := range []string{"epochs", "iterations"} {
		if n := lookup(root, unit); n != nil && n.Decode(&l.total) == nil && l.total > 0 {
			l.unit = unit
			break
		}
	}
	return l
}

// length returns how long the recipe trains.
func (r *Recipe) length() runLength {
	if r.Iterations > 0 {
		return runLength{"iterations", float64(r.Iterations)}
	}
	return runLength{"epochs", float64(r.Epochs)}
}

func (l runLength) String() string {
	return term.Plural(int(l.total), strings.TrimSuffix(l.unit, "s"))
}

// shortened is a time of a recipe as it was before [Recipe.shorten].
type shortened struct {
	key, value string
	of         runLength
}

// shorten makes the times of a recipe fit a run that is shorter than before, but those
// that are given: ten epochs of warm-up are for runs of hundreds, and in a run of five the
// rate would never reach half of its peak, nor fall at a milestone. A run whose length is
// now in the other unit has times that mean nothing there, and gets its own, too.
func (r *Recipe) shorten(root *yaml.Node, before runLength, given func(key string) bool) {
	now := lengthOf(root)
	if now.unit == "" || before.unit == "" || now.unit == before.unit && now.total >= before.total {
		return
	}
	for _, key := range timeKeys {
		n := lookupPath(root, strings.Split(key, "."))
		if n == nil || given(key) || key == warmHeadKey && now.unit != "epochs" {
			continue
		}
		old := flowText(n)
		numbers := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			numbers = n.Content
		}
		for _, n := range numbers {
			var x float64
			if n.Decode(&x) != nil || x <= 0 {
				continue // decoding the whole reports mistakes
			}
			x *= now.total / before.total
			if key == warmHeadKey { // and an epoch is left for the other layers
				x = max(0, min(math.Ceil(x), now.total-1))
			}
			n.Tag, n.Value = "", strconv.FormatFloat(x, 'g', 4, 64)
		}
		if flowText(n) != old && !slices.ContainsFunc(r.shortened, func(s shortened) bool { return s.key == key }) {
			r.shortened = append(r.shortened, shortened{key, old, before})
		}
	}
}

// givenBy returns whether one of the KEY=VALUE texts gives a key, or all keys beside it.
func givenBy(set []string) func(key string) bool {
	keys := keysOf(set)
	return func(key string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return k == key || strings.HasPrefix(key, k+".") })
	}
}

// timesNotes tell which times were shortened, and which leave no time for what comes
// after them.
func (r *Recipe) timesNotes() []string {
	var notes, parts []string
	now := r.length()
	for _, s := range r.shortened {
		if !r.hasTime(s.key) {
			continue
		}
		of := fmt.Sprintf("%g", s.of.total)
		if s.of.unit != now.unit {
			of = s.of.String()
		}
		parts = append(parts, fmt.Sprintf("%s %s of %s, instead of the recipe's %s of %s", s.key, r.timeText(s.key), now, s.value, of))
	}
	if len(parts) > 0 {
		notes = append(notes, "in proportion to the length of the run: "+strings.Join(parts, "; ")+"; --set KEY=VALUE changes a time")
	}
	after := func(key, effect string) {
		notes = append(notes, fmt.Sprintf("%s is %s, and the run has only %s: %s; --set %s changes it", key, r.timeText(key), now, effect, key))
	}
	if r.LR.Warmup > now.total {
		after("lr.warmup", "the learning rate never reaches its peak")
	}
	if r.LR.Kind == StepDecay && r.LR.Every >= now.total {
		after("lr.every", "the learning rate never falls")
	}
	if r.LR.Kind == MultiStep && r.LR.Milestones[0] >= now.total {
		after("lr.milestones", "the learning rate never falls")
	}
	if r.Finetune != nil && r.Finetune.WarmHead > 0 && float64(r.Finetune.WarmHead) >= now.total {
		after(warmHeadKey, "only the last layer learns")
	}
	return notes
}

// hasTime reports whether a time of [timeKeys] has an effect.
func (r *Recipe) hasTime(key string) bool {
	switch key {
	case "lr.every":
		return r.LR.Kind == StepDecay
	case "lr.milestones":
		return r.LR.Kind == MultiStep
	case warmHeadKey:
		return r.Finetune != nil
	}
	return r.LR.Warmup > 0
}

// timeText returns the value of one of [timeKeys] as it stands in a file.
func (r *Recipe) timeText(key string) string {
	switch key {
	case "lr.warmup":
		return fmt.Sprintf("%.3g", r.LR.Warmup)
	case "lr.every":
		return fmt.Sprintf("%.4g", r.LR.Every)
	case "lr.milestones":
		var parts []string
		for _, m := range r.LR.Milestones {
			parts = append(parts, fmt.Sprintf("%.4g", m))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return strconv.Itoa(r.Finetune.WarmHead)
}
