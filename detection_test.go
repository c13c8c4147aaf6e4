package resnet

import (
	"image"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// detectorNet returns a small detector with fresh weights whose scores are high enough
// to be objects.
func detectorNet(t *testing.T, name string) *models.Model {
	t.Helper()
	net, err := models.New(name, models.Classes(4), func(c *models.Config) {
		h := c.Detection
		h.Channels, h.MinSize, h.MaxSize = 32, 32, 64
		if h.Proposals > 0 {
			h.Proposals, h.Detections, h.BoxFeatures = 20, 9, 16
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(net) {
		if strings.HasSuffix(e.Name, "cls_logits.bias") {
			for i := range e.Param.Value.Float32s() {
				e.Param.Value.Float32s()[i] = -1
			}
		}
	}
	return net
}

func noise(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*i*7 + i>>5)
	}
	return m
}

// TestDetect: pictures of any size have objects inside of them, the highest score
// first, with masks of the picture's size where the model finds them; a picture that
// cannot be decoded does not end the others; a saved model finds the same.
func TestDetect(t *testing.T) {
	for _, name := range []string{"retinanet_resnet8-cifar_fpn", "fasterrcnn_resnet8-cifar_fpn", "maskrcnn_resnet8-cifar_fpn_v2"} {
		t.Run(name, func(t *testing.T) {
			m, err := FromModule(detectorNet(t, name), Description{Classes: []string{"none", "a", "b", "c"}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Task() != models.Detection {
				t.Fatalf("the task is %s", m.Task())
			}
			path := filepath.Join(t.TempDir(), "m.safetensors")
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			again, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ps := []Picture{Image(noise(50, 31)), Encoded("broken", []byte("no")), Image(noise(3, 40))}
			var all []*Detections
			for d, err := range again.DetectAll(t.Context(), slices.Values(ps)) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, d)
			}
			if len(all) != 3 || all[1].Err == nil || all[1].Objects != nil {
				t.Fatalf("%d results, the second %+v", len(all), all[1])
			}
			first, err := m.Detect(t.Context(), ps[0])
			if err != nil {
				t.Fatal(err)
			}
			if len(first.Objects) == 0 || len(first.Objects) != len(all[0].Objects) {
				t.Fatalf("%d objects, %d after saving", len(first.Objects), len(all[0].Objects))
			}
			for i, o := range first.Objects {
				other := all[0].Objects[i]
				if other.Mask, o.Mask = nil, nil; o != other {
					t.Errorf("object %d is %+v, after saving %+v", i, o, other)
				}
				o.Mask = first.Objects[i].Mask
				if o.Box.X1 < 0 || o.Box.Y1 < 0 || o.Box.X2 > 50.001 || o.Box.Y2 > 31.001 || !(o.Score > 0 && o.Score <= 1) || o.Class != m.Classes()[o.Index] {
					t.Errorf("object %d is %+v", i, o)
				}
				if masks := strings.HasPrefix(name, "mask"); masks != (o.Mask != nil) || masks && (o.Mask.W != 50 || o.Mask.H != 31) {
					t.Errorf("object %d has the mask %v", i, o.Mask)
				}
				if i > 0 && o.Score > first.Objects[i-1].Score {
					t.Errorf("object %d has a higher score than the one before", i)
				}
			}
			drawn, err := first.Draw(0)
			if err != nil || drawn.Bounds() != first.Picture.Bounds() || slices.Equal(drawn.Pix, first.Picture.Pix) {
				t.Errorf("the drawn picture is %v, %v", drawn.Bounds(), err)
			}
		})
	}
}

// TestDetectorsAreNoClassifiers: what a model is not for is an error that names its
// task.
func TestDetectorsAreNoClassifiers(t *testing.T) {
	m, err := FromModule(detectorNet(t, "retinanet_resnet8-cifar_fpn"), Description{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := Image(noise(8, 8))
	_, classify := m.Classify(t.Context(), p)
	_, embed := m.Embed(t.Context(), p)
	_, segment := m.Segment(t.Context(), p)
	for what, err := range map[string]error{"Classify": classify, "Embed": embed, "Segment": segment} {
		if err == nil || !strings.Contains(err.Error(), "is a model for detection") {
			t.Errorf("%s of a detector: %v", what, err)
		}
	}
	c, err := New("resnet20-cifar", 1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Detect(t.Context(), p); err == nil || !strings.Contains(err.Error(), "is a model for classification") {
		t.Errorf("Detect of a classifier: %v", err)
	}
	prep, err := data.Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FromModule(detectorNet(t, "retinanet_resnet8-cifar_fpn"), Description{Preprocess: prep}, Options{}); err == nil {
		t.Error("a detector takes another preprocessing")
	}
}
