package modelfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// backbone returns the tensors that are the network's, see [Options].Backbone. It
// notes what it leaves out, and that the last layer is missing.
func (r *Result) backbone(net *models.Model, tensors map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	own := map[string]*tensor.Tensor{}
	for _, w := range nn.Wants(net) {
		if t := tensors[w.Name]; t != nil {
			own[w.Name] = t
		}
	}
	var missing []string // heads
	for _, h := range net.Heads() {
		if lacks(net, h, own) {
			maps.DeleteFunc(own, func(name string, _ *tensor.Tensor) bool { return inHead(name, h.Path) })
			if !h.Aux {
				r.NewHead = true
				missing = append(missing, h.Path)
			}
		}
	}
	switch {
	case net.Config.Task() == models.Detection && len(missing) > 0:
		r.Notes = append(r.Notes, "the file has no weights of the network's "+strings.Join(missing, ", "))
	case len(missing) > 0:
		r.Notes = append(r.Notes, "the file has no last layer ("+strings.Join(missing, ", ")+") for the network")
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

// lacks reports whether tensors of a head are missing.
func lacks(net *models.Model, h models.Head, tensors map[string]*tensor.Tensor) bool {
	return slices.ContainsFunc(nn.Wants(net), func(w weights.Want) bool {
		return inHead(w.Name, h.Path) && tensors[w.Name] == nil && !weights.IsCounter(w.Name)
	})
}

// bare returns the tensors of a classifier whose last layer is not in the file, and true:
// the file is a backbone. Unless features are what the caller wants, all that is in the
// file must be the network's, because a last layer of another name is not missing.
func (r *Result) bare(net *models.Model, tensors map[string]*tensor.Tensor, opt Options) (map[string]*tensor.Tensor, bool) {
	if net.Config.Task() != models.Classification || opt.Backbone || opt.Partial || opt.Classes != 0 ||
		!slices.ContainsFunc(net.Heads(), func(h models.Head) bool { return lacks(net, h, tensors) }) {
		return tensors, false
	}
	notes := len(r.Notes)
	own := r.backbone(net, tensors)
	r.NewHead = false // none is made
	if !opt.Features && len(own) < len(tensors) {
		r.Notes = r.Notes[:notes]
		return tensors, false
	}
	return own, true
}

// recognize is [Recognize] for a network of package models. With backbone, the
// tensors may also be those of a classifier that is the network's backbone.
func (r *Result) recognize(net *models.Model, tensors map[string]*tensor.Tensor, backbone bool) (renamed map[string]*tensor.Tensor, family, how string) {
	wants := nn.Wants(net)
	renamed, family, how = Recognize(wants, tensors)
	if !backbone || net.Config.Task() == models.Classification {
		return renamed, family, how
	}
	prefix, _, _ := strings.Cut(wants[0].Name, ".")
	prefix += "."
	if net.Config.Task() == models.Detection {
		prefix = "backbone.body."
	}
	var inner []weights.Want
	for _, w := range wants {
		if name, ok := strings.CutPrefix(w.Name, prefix); ok {
			inner = append(inner, weights.Want{Name: name, DType: w.DType, Shape: w.Shape})
		}
	}
	within, innerFamily, innerHow := Recognize(inner, tensors)
	if found(inner, within) <= found(wants, renamed) {
		return renamed, family, how
	}
	placed := make(map[string]*tensor.Tensor, len(within))
	for name, t := range within {
		placed[prefix+name] = t
	}
	r.Notes = append(r.Notes, "the file's weights are the network's backbone")
	return placed, innerFamily, innerHow
}

// found returns the number of wanted tensors that there are.
func found(wants []weights.Want, tensors map[string]*tensor.Tensor) int {
	n := 0
	for _, w := range wants {
		if tensors[w.Name] != nil {
			n++
		}
	}
	return n
}

// onlyHeadMissing returns an error if more than the last layer is missing.
func onlyHeadMissing(net *models.Model, r weights.Report) error {
	r.Missing = slices.DeleteFunc(slices.Clone(r.Missing), func(name string) bool {
		return slices.ContainsFunc(net.Heads(), func(h models.Head) bool { return inHead(name, h.Path) })
	})
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
