package modelfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// backbone returns the tensors that are the network's, see [Options].Backbone. It
// notes what it leaves out, and that the last layer is missing.
func (r *Result) backbone(net nn.Module, tensors map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	own, head := map[string]*tensor.Tensor{}, nn.LastLinear(net)
	complete := true
	for _, w := range nn.Wants(net) {
		switch t := tensors[w.Name]; {
		case t != nil:
			own[w.Name] = t
		case inHead(w.Name, head):
			complete = false
		}
	}
	if !complete {
		maps.DeleteFunc(own, func(name string, _ *tensor.Tensor) bool { return inHead(name, head) })
		r.NewHead = true
		r.Notes = append(r.Notes, "the file has no last layer ("+head+") for the network")
	}
	var left []string
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if own[name] == nil && !weights.IsCounter(name) {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("left out %d tensors that are not the network's, such as %s", len(left), left[0]))
	}
	return own
}

// onlyHeadMissing returns an error if more than the last layer is missing.
func onlyHeadMissing(net nn.Module, r weights.Report) error {
	head := nn.LastLinear(net)
	r.Missing = slices.DeleteFunc(slices.Clone(r.Missing), func(name string) bool { return inHead(name, head) })
	if r.Complete() {
		return nil
	}
	return &weights.FitError{Report: r, Hint: "--keys OLD=NEW renames tensors"}
}

func inHead(name, head string) bool { return head != "" && strings.HasPrefix(name, head+".") }

// better are parts of names of networks that trained beside others, in the order in
// which they are chosen: the momentum teacher of DINO, and the encoder of MoCo and
// BYOL that learned by gradients.
var better = []string{"teacher", "encoder_q", "online", "student"}

// preferred sorts the beginnings of names so that better ones come first.
func preferred(beginnings []string) []string {
	rank := func(b string) int {
		for i, part := range better {
			if strings.Contains(b, part) {
				return i
			}
		}
		return len(better)
	}
	slices.SortStableFunc(beginnings, func(a, b string) int { return rank(a) - rank(b) })
	return beginnings
}
