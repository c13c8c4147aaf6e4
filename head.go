package resnet

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// FeatureSet is the features of a dataset, from [Model.EmbedDataset].
type FeatureSet struct {
	features.Set
	Index   []int // of each row, in the dataset
	Skipped int   // pictures that could not be decoded
}

// EmbedDataset returns the features of the pictures of a dataset of one label each, as
// [Model.Embed] gives them, with the labels of the dataset. Of the options, Mirror and
// Threshold are not used. The error for a picture that cannot be decoded is a
// *data.SampleError.
func (m *Model) EmbedDataset(ctx context.Context, ds data.Dataset, opt EvaluateOptions) (*FeatureSet, error) {
	if m.task != models.Features {
		if err := m.isFor(models.Classification, "EmbedDataset"); err != nil {
			return nil, err
		}
	}
	if ds.MultiLabel() {
		return nil, fmt.Errorf("resnet: EmbedDataset takes data of one label per picture, and these have several")
	}
	s := &FeatureSet{Set: features.Set{Classes: len(ds.Classes())}}
	var rows []float32
	var err error
	s.Index, s.Skipped, err = m.batches(ctx, ds, opt, func(x *tensor.Tensor, index []int) error {
		_, f, err := m.Forward(ctx, x)
		if err != nil {
			return err
		}
		for i, k := range index {
			if err := m.CheckFinite(ds.Name(k), nil, rowOf(f, i)); err != nil {
				return fmt.Errorf("resnet: %w", err)
			}
			s.Labels = append(s.Labels, ds.Labels(k)[0])
		}
		rows = append(rows, f.Float32s()...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.Index) == 0 {
		return nil, fmt.Errorf("resnet: there is no picture to take features of")
	}
	s.X, err = tensor.FromFloat32(rows, len(s.Index), len(rows)/len(s.Index))
	return s, err
}

// WithHead returns a classifier: the network up to its features, and head as its last
// layer, fitted to features of m. Of the description, Name, Classes and Meta are read.
// The network must be one of package models, for pictures' classes or features.
func (m *Model) WithHead(head *features.Linear, d Description) (*Model, error) {
	net, ok := m.net.(*models.Model)
	switch {
	case !ok:
		return nil, fmt.Errorf("resnet: %s is not a network of package models, so its last layer cannot be replaced", m.name)
	case m.task != models.Features && m.task != models.Classification:
		return nil, m.isFor(models.Classification, "WithHead")
	case head == nil || len(head.B) == 0 || head.W == nil || !head.W.Shape().Equal(tensor.Shape{len(head.B), net.Config.Features()}):
		return nil, fmt.Errorf("resnet: %s has %d features, which the head must take", m.name, net.Config.Features())
	case d.Classes != nil && len(d.Classes) != len(head.B):
		return nil, fmt.Errorf("resnet: the head has %d classes, but there are names for %d", len(head.B), len(d.Classes))
	}
	cfg := net.Config
	cfg.Classes = len(head.B)
	full, err := cfg.Build()
	if err != nil {
		return nil, err
	}
	bias, err := tensor.FromFloat32(head.B, len(head.B))
	if err != nil {
		return nil, err
	}
	last := full.Heads()[0].Last
	own := map[string]*tensor.Tensor{last + ".weight": head.W, last + ".bias": bias}
	for _, e := range nn.Params(full) {
		if e.Param.Value = own[e.Name]; e.Param.Value != nil {
			continue
		}
		if e.Param.Value, err = m.Vars().Get(e.Name); err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
		}
	}
	d.Preprocess, d.MultiLabel = m.prep, false
	opt := m.opt
	opt.Weights = WeightsOnly{}
	return FromModule(full, d, opt)
}
