package bench

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// TestDetectors: a step of a detector runs, what programs compare has a logit for each
// anchor, and the scores of random weights are spread.
func TestDetectors(t *testing.T) {
	for name, perAnchor := range map[string]int{"retinanet_resnet8-cifar_fpn": 3, "maskrcnn_resnet8-cifar_fpn": 1} {
		net, err := models.New(name, models.Classes(3), func(c *models.Config) {
			h := c.Detection
			h.Channels, h.MinSize, h.MaxSize, h.TopK, h.Detections = 8, 32, 64, 20, 5
			if h.Proposals > 0 {
				h.Proposals, h.BoxFeatures = 12, 8
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := nn.Init(net, 1); err != nil {
			t.Fatal(err)
		}
		f := &weights.File{Tensors: nn.Values(net)}
		if f.Architecture, err = json.Marshal(net.Config); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "m.safetensors")
		if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		cfg := Config{Model: path, Mode: Infer, Batch: 1, Threads: 1, Size: 40}
		s, err := newRun(cfg, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		z, err := s.outputs()
		if err != nil || len(z) == 0 || len(z)%perAnchor != 0 {
			t.Errorf("%s: %d logits, %v", name, len(z), err)
		}
		cfg.Mode, cfg.Batch = Train, 2
		if s, err = newRun(cfg, ""); err != nil {
			t.Fatal(err)
		}
		if trained, err := s.outputs(); err != nil || len(trained) != len(z) {
			t.Errorf("%s: %d logits before training, %v", name, len(trained), err)
		}
		for range 2 {
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
		}
		cfg.Mode, cfg.Batch = Infer, 1
		n, err := open(cfg, "", false)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.spread(); err != nil {
			t.Fatal(err)
		}
		if _, err := Tune(t.Context(), Config{Model: path, Mode: Infer, Batch: 16, Threads: 1}, 0.1); !errors.Is(err, ErrOnePicture) {
			t.Errorf("tuning a batch of 16: the error is %v", err)
		}
		for want, bad := range map[string]Config{
			"batch": {Model: path, Mode: Infer, Batch: 2, Threads: 1},
		} {
			if _, err := newRun(bad, ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: the error is %v", bad, err)
			}
		}
	}
}
