package models

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// TestKeysOfSegmentation compares the state dicts, key by key in order, with lists
// that torchvision and segmentation_models_pytorch printed
// (testdata/gen/segmentation_keys.py).
func TestKeysOfSegmentation(t *testing.T) {
	for _, name := range []string{"fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"} {
		compareKeys(t, name, "segmentation/torchvision_"+name)
		compareKeys(t, name, "segmentation/torchvision_"+name+"_noaux", AuxHead(false))
	}
	for _, name := range []string{"unet_resnet18", "unet_resnet34", "unet_resnet50"} {
		compareKeys(t, name, "segmentation/smp_"+name)
	}
}

// TestPreviousDilation: the first block of a dilated stage has the dilation of the
// stage before it, as in torchvision.
func TestPreviousDilation(t *testing.T) {
	m, err := New("fcn_resnet50")
	if err != nil {
		t.Fatal(err)
	}
	backbone := m.Segmenter.(*FCN).Backbone
	want := map[string][3]int{} // stride, dilation of the first block's 3x3, dilation of the others
	want["layer2"], want["layer3"], want["layer4"] = [3]int{2, 1, 1}, [3]int{1, 1, 2}, [3]int{1, 2, 4}
	for name, layer := range map[string]nn.Sequential{"layer2": backbone.Layer2, "layer3": backbone.Layer3, "layer4": backbone.Layer4} {
		for i, b := range layer {
			op := b.(*Bottleneck).Conv2.Op
			stride, dilation := want[name][0], want[name][1]
			if i > 0 {
				stride, dilation = 1, want[name][2]
			}
			if op.StrideH != stride || op.DilationW != dilation || op.PadTop != dilation {
				t.Errorf("%s.%d has stride %d, dilation %d, padding %d; want %d, %d, %d", name, i, op.StrideH, op.DilationW, op.PadTop, stride, dilation, dilation)
			}
		}
		shortcut := layer[0].(*Bottleneck).Downsample.(nn.Sequential)[0].(*nn.Conv2d)
		if shortcut.Op.StrideH != want[name][0] {
			t.Errorf("the shortcut of %s has stride %d", name, shortcut.Op.StrideH)
		}
	}
}

// TestSegmentationOfAnyClassifier: every classifier can be the backbone of each
// kind, for pictures of any size; the output has the input's size.
func TestSegmentationOfAnyClassifier(t *testing.T) {
	names := Names()
	if testing.Short() {
		names = []string{"resnet18", "resnet50", "resnet20-cifar", "preresnet18", "wrn-16-4", "highway20-cifar", "resnet50d"}
	}
	for _, base := range names {
		cfg, err := Lookup(base)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Task() != Classification || strings.Contains(base, "1001") || strings.Contains(base, "1202") {
			continue
		}
		for _, prefix := range []string{"fcn_", "deeplabv3_", "unet_"} {
			m, err := New(prefix+base, Classes(5))
			if err != nil {
				t.Errorf("%s%s: %v", prefix, base, err)
				continue
			}
			if m.Config.Task() != Segmentation {
				t.Errorf("%s%s is for %s", prefix, base, m.Config.Task())
			}
			for _, size := range [][2]int{{64, 64}, {37, 81}} {
				tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, m.Config.InChannels, size[0], size[1]), Training: true})
				if err != nil {
					t.Errorf("%s%s: %v", prefix, base, err)
					continue
				}
				if want := []int{2, 5, size[0], size[1]}; !slices.Equal(tr.Output.Shape, want) {
					t.Errorf("%s%s gives %v, want %v", prefix, base, tr.Output.Shape, want)
				}
				if len(tr.Unused) > 0 {
					t.Errorf("%s%s does not use %v", prefix, base, tr.Unused)
				}
			}
		}
	}
}

func TestSegmentationErrors(t *testing.T) {
	for name, want := range map[string]string{
		"fcn_resnet51":        `did you mean "resnet50"`,
		"fcn_unet_resnet50":   "already",
		"fcn_":                "unknown model",
		"unet_resnet14":       `did you mean "resnet14-cifar"`,
		"deeplabv3_resnet5":   "unknown model",
		"deeplab_resnet50":    `did you mean "deeplabv3_resnet50"`,
		"fcn_resnet50+nosuch": "unknown variant",
	} {
		if _, err := New(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%q): %v, want it to say %q", name, err, want)
		}
	}
	base, err := Lookup("deeplabv3_resnet50")
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(h *SegmentationHead){
		"unknown kind":            func(h *SegmentationHead) { h.Kind = "psp" },
		"width and rates are for": func(h *SegmentationHead) { h.Kind = SegmenterFCN },
		"rates has 0 dilations":   func(h *SegmentationHead) { h.Rates = nil },
		"dilation of 0":           func(h *SegmentationHead) { h.Rates = []int{0} },
		"width is 0":              func(h *SegmentationHead) { h.Width = 0 },
		"decoder is for unet":     func(h *SegmentationHead) { h.Decoder = []int{1} },
		"dropout":                 func(h *SegmentationHead) { h.Dropout = 1 },
		"aux is for": func(h *SegmentationHead) {
			*h = SegmentationHead{Kind: SegmenterUNet, Aux: true, Decoder: []int{1, 1, 1, 1, 1}}
		},
		"decoder has 2 blocks": func(h *SegmentationHead) { *h = SegmentationHead{Kind: SegmenterUNet, Decoder: []int{1, 1}} },
		"0 channels":           func(h *SegmentationHead) { *h = SegmentationHead{Kind: SegmenterUNet, Decoder: []int{1, 1, 1, 1, 0}} },
	} {
		cfg := base
		cfg.Segmentation = base.Segmentation.clone()
		change(cfg.Segmentation)
		if _, err := cfg.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want it to say %q", err, want)
		}
	}
}

// TestPoolingOfOnePicture: the batch norm after global pooling cannot be trained
// with one picture, which is an error instead of NaN.
func TestPoolingOfOnePicture(t *testing.T) {
	m, err := New("deeplabv3_resnet18")
	if err != nil {
		t.Fatal(err)
	}
	input := graph.F32(1, 3, 64, 64)
	_, err = nn.Trace(m, nn.TraceOptions{Input: input, Training: true})
	if err == nil || !strings.Contains(err.Error(), "classifier.0.convs.4") {
		t.Errorf("training with one picture: %v", err)
	}
	if _, err := nn.Trace(m, nn.TraceOptions{Input: input}); err != nil {
		t.Error(err)
	}
}

// TestHeads: the paths of heads are modules of the network, and all but the
// backbone lies in them.
func TestHeads(t *testing.T) {
	for _, name := range []string{"resnet18", "fcn_resnet18", "deeplabv3_resnet18", "unet_resnet18"} {
		m, err := New(name, Classes(3))
		if err != nil {
			t.Fatal(err)
		}
		shapes := map[string][]int{}
		inHead := func(key string) bool {
			return slices.ContainsFunc(m.Heads(), func(h Head) bool { return strings.HasPrefix(key, h.Path+".") })
		}
		for _, e := range nn.Params(m) {
			shapes[e.Name] = e.Param.Shape
			backbone := name == "resnet18" || strings.HasPrefix(e.Name, "backbone.") || strings.HasPrefix(e.Name, "encoder.")
			if backbone == inHead(e.Name) && e.Name != "fc.weight" && e.Name != "fc.bias" {
				t.Errorf("%s: %s is in no head, or wrongly in one", name, e.Name)
			}
		}
		for _, h := range m.Heads() {
			if s := shapes[h.Last+".weight"]; h.Last != "" && (len(s) == 0 || s[0] != 3) {
				t.Errorf("%s: the last layer of %s, %s, has weights %v", name, h.Path, h.Last, s)
			}
		}
	}
}

// TestConfigWithoutSegmentation: the field is left out of a classifier's JSON, so
// that its files stay as they were.
func TestConfigWithoutSegmentation(t *testing.T) {
	cfg, err := Lookup("resnet18")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "segmentation") {
		t.Errorf("%s", b)
	}
	a, err := Lookup("unet_resnet18")
	if err != nil {
		t.Fatal(err)
	}
	a.Segmentation.Decoder[0] = 1
	again, err := Lookup("unet_resnet18")
	if err != nil || reflect.DeepEqual(a, again) {
		t.Errorf("a change of one Config changed the table: %v, %v", again.Segmentation, err)
	}
}
