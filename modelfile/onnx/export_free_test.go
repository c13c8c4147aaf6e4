package onnx

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// narrow returns a network of few channels with random values.
func narrow(t testing.TB, name string) *models.Model {
	t.Helper()
	m, err := models.New(name, models.Classes(5), func(c *models.Config) {
		c.Width = 8
		if s := c.Segmentation; s != nil && s.Width > 0 {
			s.Width = 8
		}
		if s := c.Segmentation; s != nil && s.Decoder != nil {
			s.Decoder = []int{24, 16, 12, 8, 8}[:len(s.Decoder)]
		}
		if d := c.Detection; d != nil {
			d.Channels, d.MinSize, d.MaxSize = 8, 96, 160
			if d.V2 && d.Kind == models.DetectorRetinaNet {
				d.Channels = 32
			}
			if d.Proposals > 0 {
				d.Proposals, d.Detections, d.BoxFeatures = 30, 10, 8
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	initialize(t, m, 4)
	return m
}

// TestFreeSize: segmentation networks written with any height and width compute what
// the network itself does at other sizes than those of the traces, read by our own
// importer and, if there is one, by onnxruntime.
func TestFreeSize(t *testing.T) {
	for name, sizes := range map[string][]tensor.Shape{
		"fcn_resnet18":       {{1, 3, 64, 96}, {2, 3, 51, 77}},
		"deeplabv3_resnet18": {{1, 3, 64, 96}, {1, 3, 51, 77}},
		"unet_resnet18":      {{1, 3, 64, 96}, {2, 3, 96, 32}},
		"fcn_resnet8-cifar":  {{1, 3, 32, 48}, {2, 3, 19, 30}},
		"unet_resnet8-cifar": {{1, 3, 32, 48}, {2, 3, 20, 32}},
	} {
		t.Run(name, func(t *testing.T) {
			m := narrow(t, name)
			path := filepath.Join(t.TempDir(), "m.onnx")
			if err := Save(path, m, SaveOptions{Input: tensor.Shape{3, 520, 520}, FreeSize: true}); err != nil {
				t.Fatal(err)
			}
			back, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			in, out := back.proto.graph.inputs[0], back.proto.graph.outputs[0]
			if want := []string{"batch", "", "height", "width"}; !slices.Equal(in.names, want) || !slices.Equal(out.names, want) || in.dims[1] != 3 || out.dims[1] != 5 {
				t.Errorf("the input is %v %q, the output %v %q", in.dims, in.names, out.dims, out.names)
			}
			for _, s := range sizes {
				x := randomInput(7, s...)
				want := infer(t, m, x)
				if d := difference(t, infer(t, back, x), want); d > 1e-5 {
					t.Errorf("a picture of %v differs by %.2e", s, d)
				}
				if peer.Has(t, "onnx", "onnxruntime") {
					if d := difference(t, runORT(t, peer.Python(t), path, x), want); d > 1e-4 {
						t.Errorf("a picture of %v differs from onnxruntime by %.2e", s, d)
					}
				}
			}
		})
	}
}

// fixedOnly stretches a row of parameters to the size of the picture.
type fixedOnly struct{ nn.Identity }

func (fixedOnly) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Add(x, c.Graph().Const(tensor.New(x.Shape[1:]...)))
}

// TestFreeSizeErrors: what follows the size in another way is an error that names the
// operator and the option.
func TestFreeSizeErrors(t *testing.T) {
	err := Write(&bytes.Buffer{}, &fixedOnly{}, SaveOptions{Input: tensor.Shape{3, 8, 8}, FreeSize: true})
	if err == nil || !strings.Contains(err.Error(), "SaveOptions.FreeSize") {
		t.Errorf("the error is %v", err)
	}
}
