package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Task is what a network is for.
type Task string

// The tasks.
const (
	Classification Task = "classification" // a class for each picture
	Segmentation   Task = "segmentation"   // a class for each pixel
	Detection      Task = "detection"      // objects, each with a box and a class
	Features       Task = "features"       // numbers for each picture: a backbone without a last layer
)

// Task returns what the network is for.
func (cfg Config) Task() Task {
	switch {
	case cfg.Segmentation != nil:
		return Segmentation
	case cfg.Detection != nil:
		return Detection
	case cfg.Classes == 0:
		return Features
	}
	return Classification
}

// Segmenter is a network that gives every pixel a class: [FCN] (DeepLabV3, too) or
// [UNet]. Input [N C H W], output logits [N classes H W].
type Segmenter interface {
	nn.Module

	Heads() []Head // the parts that are not the backbone
}

// Head is a part of a network that is not its backbone.
type Head struct {
	Path string // of the module, such as "fc" or "classifier"
	// Last is the path of the layer that decides between the classes, such as
	// "classifier.4"; empty if that is in another head.
	Last string
	Aux  bool // an auxiliary classifier, for training
	// Boxes is the path of the layer that computes the sides of a box for each class,
	// which is replaced together with Last; empty for none.
	Boxes string
	// Outputs is the number of channels of Last for each class, the anchors of a
	// position; 0 stands for 1.
	Outputs int
}

// PerClass returns the number of channels of Last for each class.
func (h Head) PerClass() int { return max(h.Outputs, 1) }

// Heads returns the parts that are not the backbone: "fc" of a classifier, none without
// classes.
func (m *Model) Heads() []Head {
	switch {
	case m.Segmenter != nil:
		return m.Segmenter.Heads()
	case m.Detector != nil:
		return m.Detector.Heads()
	case m.Config.Classes == 0:
		return nil
	}
	return []Head{{Path: "fc", Last: "fc"}}
}

// SegmenterKind is the kind of a [SegmentationHead].
type SegmenterKind string

// The kinds of segmentation heads.
const (
	SegmenterFCN       SegmenterKind = "fcn"       // see [FCN]
	SegmenterDeepLabV3 SegmenterKind = "deeplabv3" // see [NewDeepLabV3Head]
	SegmenterUNet      SegmenterKind = "unet"      // see [UNet]
)

// SegmentationHead describes the part of a segmentation network that follows the
// backbone. Config.Classes are the classes of a pixel, background included.
type SegmentationHead struct {
	Kind SegmenterKind `json:"kind"`
	// Aux adds a classifier on the last but one stage, whose loss helps training.
	// Files that torchvision publishes have it.
	Aux     bool    `json:"aux,omitempty"`
	Dropout float32 `json:"dropout,omitempty"` // fcn: before the last layer; deeplabv3: after the pyramid
	Width   int     `json:"width,omitempty"`   // deeplabv3: channels of each branch of the pyramid
	Rates   []int   `json:"rates,omitempty"`   // deeplabv3: dilations of the pyramid's 3x3 convolutions
	Decoder []int   `json:"decoder,omitempty"` // unet: channels of the decoder's blocks, the coarsest first
}

func (h *SegmentationHead) clone() *SegmentationHead {
	own := *h
	own.Rates, own.Decoder = slices.Clone(h.Rates), slices.Clone(h.Decoder)
	return &own
}

// check returns an error that names a field of h that does not go with cfg.
func (h *SegmentationHead) check(cfg Config) error {
	if err := known("kind", h.Kind, SegmenterFCN, SegmenterDeepLabV3, SegmenterUNet); err != nil {
		return err
	}
	if err := probability("dropout", h.Dropout); err != nil {
		return err
	}
	if cfg.Dropout != 0 {
		return fmt.Errorf("dropout of the network is %g, but there is no classifier: set it in segmentation", cfg.Dropout)
	}
	deeplab, unet := h.Kind == SegmenterDeepLabV3, h.Kind == SegmenterUNet
	switch {
	case !deeplab && (h.Width != 0 || h.Rates != nil):
		return errors.New("width and rates are for deeplabv3")
	case !unet && h.Decoder != nil:
		return errors.New("decoder is for unet")
	case unet && h.Aux:
		return errors.New("aux is for fcn and deeplabv3")
	case unet && h.Dropout != 0:
		return errors.New("dropout is for fcn and deeplabv3")
	case deeplab && (h.Width < 1 || h.Width > 1<<16):
		return fmt.Errorf("width is %d, want 1 to %d", h.Width, 1<<16)
	case deeplab && (len(h.Rates) < 1 || len(h.Rates) > 16):
		return fmt.Errorf("rates has %d dilations, want 1 to 16", len(h.Rates))
	case unet && len(h.Decoder) != len(cfg.Layers)+1:
		return fmt.Errorf("decoder has %d blocks, want %d: one for each stage and the stem", len(h.Decoder), len(cfg.Layers)+1)
	case !unet && cfg.levelChannels()[len(cfg.Layers)-1] < 4:
		return fmt.Errorf("a backbone of width %d leaves no channels for the head, a quarter of it", cfg.Width)
	}
	for _, r := range h.Rates {
		if r < 1 || r > 1<<12 {
			return fmt.Errorf("rates has a dilation of %d, want 1 to %d", r, 1<<12)
		}
	}
	for _, n := range h.Decoder {
		if n < 1 || n > 1<<16 {
			return fmt.Errorf("decoder has %d channels, want 1 to %d", n, 1<<16)
		}
	}
	return nil
}

// newSegmenter builds the network that cfg, which has been checked, describes.
func newSegmenter(cfg Config) Segmenter {
	backbone, channels := newBackbone(cfg), cfg.levelChannels()
	if cfg.Segmentation.Kind == SegmenterUNet {
		return newUNet(backbone, channels, cfg)
	}
	return newFCN(backbone, channels, cfg)
}

// segmentationKind is a prefix of names: what becomes of the classifier whose name
// follows.
type segmentationKind struct {
	prefix, about string
	head          SegmentationHead
	dilate        bool // the last two of four stages keep the resolution
	size          int  // of the input
}

var segmentationKinds = []segmentationKind{
	{"fcn_", "fully convolutional network, output stride 8", SegmentationHead{Kind: SegmenterFCN, Aux: true, Dropout: 0.1}, true, 520},
	{"deeplabv3_", "DeepLabV3, output stride 8", SegmentationHead{Kind: SegmenterDeepLabV3, Aux: true, Dropout: 0.5, Width: 256, Rates: []int{12, 24, 36}}, true, 520},
	{"unet_", "U-Net", SegmentationHead{Kind: SegmenterUNet, Decoder: []int{256, 128, 64, 32, 16}}, false, 256},
}

// VOCClasses is the number of classes of Pascal VOC with the background, which the
// segmentation networks have unless an option sets another.
const VOCClasses = 21

// VOCNames returns the names of Pascal VOC's classes, with the background first.
func VOCNames() []string {
	return []string{"background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
		"dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"}
}

// AuxHead sets whether a segmentation network has an auxiliary classifier.
func AuxHead(on bool) Option {
	return func(c *Config) {
		if c.Segmentation != nil {
			c.Segmentation.Aux = on && c.Segmentation.Kind != SegmenterUNet
		}
	}
}

// Segment turns a classifier into a segmentation network of that kind, with the
// head, dilations and sizes that the named networks have.
func Segment(kind SegmenterKind) Option {
	return func(c *Config) {
		for _, k := range segmentationKinds {
			if k.head.Kind == kind {
				k.apply(c)
				return
			}
		}
		c.Segmentation = &SegmentationHead{Kind: kind} // of which Check returns the error
	}
}

func (k segmentationKind) apply(c *Config) {
	c.Segmentation, c.Classes = k.head.clone(), VOCClasses
	if n := len(k.head.Decoder); n > 0 { // of a network with fewer stages, the finer blocks
		c.Segmentation.Decoder = c.Segmentation.Decoder[max(0, n-len(c.Layers)-1):]
	}
	if c.Stem == StemCIFAR {
		return // small pictures, and strides that are few enough
	}
	c.InputSize = k.size
	if k.dilate && len(c.Layers) == 4 {
		c.Dilate = []bool{false, true, true}
	}
}

// segmentationOptions reads names such as unet_resnet34; ok is false if name is
// not of that form.
func segmentationOptions(name string) (opts []Option, ok bool, err error) {
	for _, k := range segmentationKinds {
		base, found := strings.CutPrefix(name, k.prefix)
		if !found {
			continue
		}
		if _, nested, _ := segmentationOptions(base); nested {
			return nil, true, fmt.Errorf("models: unknown model %q: %q is a segmentation network already", name, base)
		}
		opts, err := options(base)
		if err != nil {
			return nil, true, err
		}
		return append(slices.Clone(opts), k.apply), true, nil
	}
	return nil, false, nil
}

func segmentationTable() []named {
	var rows []named
	for _, k := range segmentationKinds {
		bases := []named{{"resnet50", "ResNet-50", []Option{layers50}}, {"resnet101", "ResNet-101", []Option{layers101}}}
		if k.head.Kind == SegmenterUNet {
			bases = []named{{"resnet18", "ResNet-18", []Option{layers18}}, {"resnet34", "ResNet-34", []Option{layers34}}, bases[0]}
		}
		for _, b := range bases {
			rows = append(rows, named{k.prefix + b.name, "segmentation: " + k.about + ", on " + b.about, append(b.opts, k.apply)})
		}
	}
	return rows
}

// resizeTo scales x [N C H W] to the height and width of like.
func resizeTo(c *nn.Context, x, like *graph.Value, bilinear bool) *graph.Value {
	if h, w := like.Shape[2], like.Shape[3]; x.Shape[2] != h || x.Shape[3] != w {
		return c.Resize(x, h, w, bilinear)
	}
	return x
}
