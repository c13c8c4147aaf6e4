package modelfile

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// older gives the tensors of a detector the names that torchvision's files had before
// version 0.13, for the patterns of section "state version" of its loaders.
var older = []struct {
	new *regexp.Regexp
	old string
}{
	{regexp.MustCompile(`^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.`), "$1."},
	{regexp.MustCompile(`^(head\.\w+\.conv)\.0\.0\.`), "$1.0."},
	{regexp.MustCompile(`^(head\.\w+\.conv)\.1\.0\.`), "$1.2."},
	{regexp.MustCompile(`^(head\.\w+\.conv)\.2\.0\.`), "$1.4."},
	{regexp.MustCompile(`^(head\.\w+\.conv)\.3\.0\.`), "$1.6."},
	{regexp.MustCompile(`^rpn\.head\.conv\.0\.0\.`), "rpn.head.conv."},
	{regexp.MustCompile(`^roi_heads\.mask_head\.0\.0\.`), "roi_heads.mask_head.mask_fcn1."},
	{regexp.MustCompile(`^roi_heads\.mask_head\.1\.0\.`), "roi_heads.mask_head.mask_fcn2."},
	{regexp.MustCompile(`^roi_heads\.mask_head\.2\.0\.`), "roi_heads.mask_head.mask_fcn3."},
	{regexp.MustCompile(`^roi_heads\.mask_head\.3\.0\.`), "roi_heads.mask_head.mask_fcn4."},
}

// TestDetectorFiles: files with torchvision's names of both generations, with and
// without the counters of ordinary batch norms, open with the number of classes that
// they have; the backbone's norms compute with an epsilon of 0 where they were frozen.
func TestDetectorFiles(t *testing.T) {
	for _, kind := range []string{"retinanet", "fasterrcnn", "maskrcnn"} {
		name := kind + "_resnet18_fpn"
		cfg, err := models.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Width, cfg.Detection.Channels = 8, 8 // small files
		if cfg.Detection.BoxFeatures > 0 {
			cfg.Detection.BoxFeatures = 4
		}
		trained := cfg
		trained.Classes = 7
		net, err := trained.Build()
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []bool{false, true} {
			for _, frozen := range []bool{false, true} {
				tensors := map[string]*tensor.Tensor{}
				for _, e := range nn.Params(net) {
					key := e.Name
					if frozen && weights.IsCounter(key) {
						continue
					}
					for _, o := range older {
						if old {
							key = o.new.ReplaceAllString(key, o.old)
						}
					}
					if e.Param.DType == tensor.Int64 {
						tensors[key] = tensor.NewInt64(e.Param.Shape...)
					} else {
						tensors[key] = tensor.New(e.Param.Shape...)
					}
				}
				if len(tensors) < 100 {
					t.Fatalf("only %d tensors", len(tensors))
				}
				r := &Result{File: &weights.File{Tensors: tensors}, Source: &weights.Source{}}
				if err := r.fit(cfg, Options{}); err != nil {
					t.Errorf("%s, older names %v, frozen %v: %v", name, old, frozen, err)
					continue
				}
				want := float32(1e-5)
				if frozen {
					want = 0
				}
				if c := r.Model.Config; c.Classes != 7 || c.Detection.NormEps != want || r.Task != models.Detection {
					t.Errorf("%s, older names %v, frozen %v: %d classes, epsilon %g, task %s", name, old, frozen, c.Classes, c.Detection.NormEps, r.Task)
				}
				if noted := strings.Contains(strings.Join(r.Notes, "\n"), "epsilon of 0"); noted != frozen {
					t.Errorf("%s, frozen %v: the notes are %q", name, frozen, r.Notes)
				}
			}
		}
	}
}

// TestSecondVersionsKeepEpsilon: their norms are ordinary ones.
func TestSecondVersionsKeepEpsilon(t *testing.T) {
	cfg, err := models.Lookup("fasterrcnn_resnet18_fpn_v2")
	if err != nil {
		t.Fatal(err)
	}
	net, err := cfg.Build()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Result).normEps(&cfg, net, nil, nil); err != nil {
		t.Fatal(err)
	}
	if cfg.Detection.NormEps != 1e-5 {
		t.Errorf("epsilon %g", cfg.Detection.NormEps)
	}
}

// TestNormEps: what is given counts for both versions; of other networks it is an error.
func TestNormEps(t *testing.T) {
	eps := float32(1e-3)
	for _, name := range []string{"retinanet_resnet18_fpn", "retinanet_resnet18_fpn_v2", "resnet18", "fcn_resnet18"} {
		cfg, err := models.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		r := &Result{}
		err = r.normEps(&cfg, nil, nil, &eps)
		if detector := cfg.Detection != nil; detector != (err == nil) || detector && cfg.Detection.NormEps != eps || len(r.Notes) > 0 {
			t.Errorf("%s: %v, notes %q", name, err, r.Notes)
		}
	}
}
