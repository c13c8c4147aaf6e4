// Package pretrained puts weights of other origin into the networks of package
// models: it finds the file's naming, the number of classes and how pictures
// were prepared.
package modelfile

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Options are the choices of [Load]. The zero value is the usual one.
type Options struct {
	// Keys renames the file's tensors before all else; nil renames none.
	Keys *weights.KeyMap
	// Dict chooses one of several state dicts, see [weights.LoadOptions].
	Dict string
	// Partial takes the tensors that fit and leaves the rest of the network at
	// fresh values drawn by Seed.
	Partial bool
	Seed    uint64
	// Classes is the number of classes; 0 means as many as the file's last
	// layer has. Another number than the file's needs Partial.
	Classes int
	// Deferred leaves large tensors in the file until they are needed, see
	// [weights.LoadOptions]. Keras files are read whole.
	Deferred bool
}

// Result is a network with its weights.
type Result struct {
	// Module is the network: Model, or that of a graph of ONNX or a Keras model,
	// whose Model is nil.
	Module nn.Module
	Model  *models.Model
	// Input is the shape of one picture, [C H W]; the output is [N Classes].
	Input   tensor.Shape
	Classes int
	// File is the network as one of our own files: its architecture (empty for
	// an ONNX graph of others), all its tensors, and what else the file says.
	File *weights.File
	// Preprocess is how pictures were prepared for the weights, if the file does
	// not say so but its origin leaves no doubt; Why names the origin.
	Preprocess *data.Preprocess
	Why        string
	Source     *weights.Source
	Report     weights.Report
	// Notes are for people: what was found out and not said by the file.
	Notes []string
}

// Load reads a file of weights (see [Read]) for the network of that
// name in package models. Unless Partial is set, it must have exactly the
// network's tensors; else the error is a *weights.FitError.
func Load(name, path string, opt Options) (*Result, error) {
	cfg, err := models.Lookup(name)
	if err != nil {
		return nil, err
	}
	file, source, err := Read(path, weights.LoadOptions{Dict: opt.Dict, Deferred: opt.Deferred})
	if err != nil {
		return nil, err
	}
	r := &Result{File: file.ModelOnly(), Source: source}
	if err := r.fit(cfg, opt); err != nil {
		return nil, fmt.Errorf("%s for %s: %w", path, name, err)
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
	tensors, family, how := weights.Recognise(nn.Wants(draft), tensors)
	if how != "" {
		r.Notes = append(r.Notes, "tensors renamed: "+how)
	}
	if len(r.Source.Dicts) > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("taken %q of the state dicts %q", r.Source.Dict, r.Source.Dicts))
	}
	fitted(&cfg, tensors)
	if opt.Classes > 0 {
		cfg.Classes = opt.Classes
	}
	net, err := cfg.Build()
	if err != nil {
		return err
	}
	state, report, err := weights.Fit(nn.Wants(net), tensors, weights.FitOptions{Partial: opt.Partial})
	report.Renamed = how
	r.Report = report
	if err != nil {
		return err
	}
	if opt.Partial {
		if err := nn.Init(net, opt.Seed); err != nil {
			return err
		}
	}
	if _, err := nn.Load(net, state, nn.LoadOptions{Partial: opt.Partial, Share: true}); err != nil {
		return err
	}
	return r.describe(net, cfg, family)
}

// describe fills in the file.
func (r *Result) describe(net *models.Model, cfg models.Config, family string) error {
	r.Module, r.Model, r.Input, r.Classes = net, net, net.Input(), cfg.Classes
	r.File.Tensors = nn.Values(net)
	var err error
	if r.File.Architecture, err = json.Marshal(cfg); err != nil {
		return err
	}
	if len(r.File.Classes) != 0 && len(r.File.Classes) != cfg.Classes {
		r.Notes = append(r.Notes, fmt.Sprintf("the file's %d class names are left out: the network has %d classes", len(r.File.Classes), cfg.Classes))
		r.File.Classes = nil
	}
	if len(r.File.Preprocess) > 0 {
		return nil
	}
	if p, why, ok := preprocess(cfg, family); ok {
		r.Preprocess, r.Why = &p, why
	}
	return nil
}

// preprocess returns how pictures were prepared for the weights, if that can be
// told from their form.
func preprocess(cfg models.Config, family string) (p data.Preprocess, why string, ok bool) {
	p, err := data.Preset("imagenet")
	if err != nil || cfg.InChannels != p.Channels {
		return p, "", false
	}
	switch {
	case family == "pytorch_resnet_cifar10" && cfg.Stem == models.StemCIFAR:
		// Its trainer takes ImageNet's mean and deviation for CIFAR-10.
		p.Width, p.Height, p.Resize = cfg.InputSize, cfg.InputSize, cfg.InputSize
		return p, "in pytorch_resnet_cifar10", true
	case cfg.Stem != models.StemCIFAR && cfg.Classes == 1000:
		return p, "usual for ImageNet", true
	}
	return p, "", false
}

// fitted sets the classes and the input channels to those of the tensors.
func fitted(cfg *models.Config, tensors map[string]*tensor.Tensor) {
	if t := tensors["fc.weight"]; t != nil && len(t.Shape()) >= 2 {
		cfg.Classes = t.Shape()[0]
	}
	if t := tensors["conv1.weight"]; t != nil && len(t.Shape()) == 4 {
		cfg.InChannels = t.Shape()[1]
	}
}
