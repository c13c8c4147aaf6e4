package modelfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// openNamed puts the weights of a file into the network that cfg describes.
func openNamed(h *weights.Handle, cfg models.Config, opt Options) (*Result, error) {
	file, source, err := read(h, opt)
	if err != nil {
		return nil, err
	}
	r := &Result{File: file.ModelOnly(), Source: source}
	if err := r.fit(cfg, opt); err != nil {
		return nil, fmt.Errorf("%s for %s: %w", h.Path(), cfg.Name, err)
	}
	return r, nil
}

func (r *Result) fit(cfg models.Config, opt Options) error {
	tensors, err := opt.Keys.Apply(r.File.Tensors)
	if err != nil {
		return err
	}
	draft, err := cfg.Build()
	if err != nil {
		return err
	}
	tensors, family, how := r.recognize(draft, tensors, opt.Backbone)
	if how != "" {
		r.Notes = append(r.Notes, "tensors renamed: "+how)
	}
	if len(r.Source.Dicts) > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("state dict %q was chosen of %q", r.Source.Dict, r.Source.Dicts))
	}
	if opt.Backbone {
		tensors = r.backbone(draft, tensors)
	}
	tensors, bare := r.bare(draft, tensors, opt)
	fitted(&cfg, draft, tensors)
	if bare {
		cfg.Classes = 0
	}
	if err := r.normEps(&cfg, draft, tensors, opt.NormEps); err != nil {
		return err
	}
	if opt.Classes > 0 {
		cfg.Classes = opt.Classes
	}
	net, err := cfg.Build()
	if err != nil {
		return err
	}
	partial := opt.Partial || r.NewHead
	state, report, err := weights.Fit(nn.Wants(net), tensors, weights.FitOptions{Partial: partial})
	report.Renamed = how
	r.Report = report
	if err == nil && !opt.Partial && r.NewHead {
		err = onlyHeadMissing(net, report)
	}
	if err != nil {
		return err
	}
	if partial {
		if err := nn.Init(net, opt.Seed); err != nil {
			return err
		}
	}
	if _, err := nn.Load(net, state, nn.LoadOptions{Partial: partial, Share: true}); err != nil {
		return err
	}
	return r.describe(net, cfg, family)
}

// describe fills in the file.
func (r *Result) describe(net *models.Model, cfg models.Config, family string) error {
	r.Module, r.Model, r.Task, r.Input, r.Classes = net, net, cfg.Task(), net.Input(), cfg.Classes
	r.File.Tensors = nn.Values(net)
	arch, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	r.forget(net, arch)
	r.File.Architecture = arch
	if len(r.File.Classes) != 0 && len(r.File.Classes) != cfg.Classes {
		r.Notes = append(r.Notes, fmt.Sprintf("the file's %d class names are left out, because the network has %d classes", len(r.File.Classes), cfg.Classes))
		r.File.Classes = nil
	}
	if cfg.Task() == models.Segmentation && cfg.Classes == models.VOCClasses && len(r.File.Classes) == 0 {
		r.File.Classes = models.VOCNames()
		r.Notes = append(r.Notes, "the 21 classes are called as in Pascal VOC, which torchvision's segmentation networks know")
	}
	if cfg.Task() == models.Detection && cfg.Classes == models.COCOClasses && len(r.File.Classes) == 0 {
		r.File.Classes = models.COCONames()
		r.Notes = append(r.Notes, "the 91 classes are called as in COCO, by its category ids")
	}
	if len(r.File.Preprocess) > 0 {
		return nil
	}
	if p, why, ok := preprocess(cfg, family); ok {
		r.Preprocess, r.Why = &p, why
	}
	return nil
}

// forget removes what the file records about the training of its own network, if that
// is another one now, or has fresh values: its figures are not those of this network.
// The names of the classes go with the last layer.
func (r *Result) forget(net *models.Model, arch json.RawMessage) {
	f := r.File
	if !f.Ours() || bytes.Equal(f.Architecture, arch) && r.Report.Complete() {
		return
	}
	if len(f.Metrics) > 0 || f.Recipe != "" || len(f.Command) > 0 {
		r.Notes = append(r.Notes, "the file's figures and recipe are left out, because the network is not the one that was trained")
	}
	f.Metrics, f.Recipe, f.Command, f.Data, f.Seed = nil, "", nil, weights.DataInfo{}, 0
	for _, name := range r.Report.Missing {
		if len(f.Classes) > 0 && slices.ContainsFunc(net.Heads(), func(h models.Head) bool { return inHead(name, h.Last) }) {
			r.Notes = append(r.Notes, "the names of the classes are left out, because the last layer has fresh values")
			f.Classes = nil
		}
	}
}

// preprocess returns how pictures were prepared for the weights, if the network
// and the family leave no doubt.
func preprocess(cfg models.Config, family string) (p data.Preprocess, why string, ok bool) {
	p, err := data.Preset("imagenet")
	if err != nil || cfg.InChannels != p.Channels {
		return p, "", false
	}
	switch {
	case cfg.Task() == models.Segmentation:
		if cfg.Segmentation.Kind == models.SegmenterUNet || cfg.Classes != models.VOCClasses {
			return p, "", false
		}
		p, err = data.Preset("segmentation")
		return p, "usual for torchvision's segmentation networks", err == nil
	case family == "pytorch_resnet_cifar10" && cfg.Stem == models.StemCIFAR:
		// Its trainer uses ImageNet's mean and deviation for CIFAR-10.
		p.Width, p.Height, p.Resize = cfg.InputSize, cfg.InputSize, cfg.InputSize
		return p, "in pytorch_resnet_cifar10", true
	case cfg.Stem != models.StemCIFAR && (cfg.Classes == 1000 || cfg.Task() == models.Features):
		return p, "usual for ImageNet", true
	}
	return p, "", false
}

// fitted sets the number of classes and of input channels, and whether there is an
// auxiliary classifier, to what the tensors have.
func fitted(cfg *models.Config, draft *models.Model, tensors map[string]*tensor.Tensor) {
	found := false // of a head that is not auxiliary
	for _, h := range draft.Heads() {
		t := tensors[h.Last+".weight"]
		switch {
		case h.Aux:
			models.AuxHead(t != nil || !found)(cfg)
		case t != nil && len(t.Shape()) >= 2:
			cfg.Classes, found = t.Shape()[0]/h.PerClass(), true
		}
	}
	if params := nn.Params(draft); len(params) > 0 { // the first layer is a convolution
		first := params[0]
		if t := tensors[first.Name]; t != nil && len(t.Shape()) == 4 && len(first.Param.Shape) == 4 {
			models.InChannels(t.Shape()[1])(cfg)
		}
	}
}

// normEps sets Eps of a detector's frozen batch norms: to want or, if that is nil, to
// that of the weights. torchvision's weights COCO_V1 of its first detectors, and what
// was fine-tuned from them, were trained with 0, which torchvision sets when it loads
// them; 1e-5 would cost accuracy. That they were frozen shows in what frozen norms do
// not have: counters. Weights that torchvision's detectors have learned without
// COCO_V1 look the same but were trained with 1e-5, so a note names the choice.
func (r *Result) normEps(cfg *models.Config, draft *models.Model, tensors map[string]*tensor.Tensor, want *float32) error {
	h := cfg.Detection
	switch {
	case h == nil && want != nil:
		return fmt.Errorf("the epsilon of frozen batch norms is %g, but %s is not a detector: leave it out", *want, cfg.Name)
	case h == nil || !h.FrozenNorm && want == nil:
		return nil
	}
	own := *h
	cfg.Detection = &own
	if want != nil {
		own.NormEps = *want
		return nil // Build checks it
	}
	for _, e := range nn.Params(draft) {
		if weights.IsCounter(e.Name) && tensors[e.Name] != nil {
			return nil // trained with ordinary norms
		}
	}
	own.NormEps = 0
	r.Notes = append(r.Notes, "the backbone's batch norms compute with an epsilon of 0, as in torchvision's weights COCO_V1 and what is trained from them; if these were trained without COCO_V1, it is 1e-5 (--norm-eps 1e-5)")
	return nil
}
