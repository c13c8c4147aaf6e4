package train

import (
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/models"
)

// DetectRecipe makes a run train a detector on pictures with boxes. Of Augment it uses
// color_jitter, grayscale and hflip, which move the boxes with the picture.
type DetectRecipe struct {
	// Kind is the detector that a classifier becomes: retinanet, fasterrcnn or maskrcnn,
	// which needs masks; empty is fasterrcnn. V2 selects torchvision's second version.
	// A model that is only the name of a detector becomes that kind; the file of a
	// detector must be of it.
	Kind models.DetectorKind `yaml:"kind,omitempty"`
	V2   bool                `yaml:"v2,omitempty"`
	// Channels of the pyramid and the heads' convolutions, and BoxFeatures of the box
	// head, of a detector that is not trained; 0 means 256 and 1024, torchvision's. The
	// file of a detector must have them.
	Channels    int `yaml:"channels,omitempty"`
	BoxFeatures int `yaml:"box_features,omitempty"`
	// Proposals is the number of boxes that a two-stage detector looks at in a picture,
	// twice as many in training; 0 leaves that of the model, 1000. Small pictures have few.
	Proposals int `yaml:"proposals,omitempty"`
	// MinSize and MaxSize are those of models.DetectionHead; 0 leaves those of the
	// model. Size sets MinSize, and MaxSize in proportion.
	MinSize int `yaml:"min_size,omitempty"`
	MaxSize int `yaml:"max_size,omitempty"`
	// TrainableLayers is the number of the backbone's stages that learn, the last ones,
	// where it begins with trained weights; those before are frozen. One more than there
	// are stages trains the stem, too. 0 means 3, torchvision's. A backbone without
	// weights learns as a whole, with ordinary batch norms.
	TrainableLayers int `yaml:"trainable_layers,omitempty"`
	// Anchors and Boxes are sampled of each picture, see detect.Sampling.
	Anchors int `yaml:"anchors,omitempty"`
	Boxes   int `yaml:"boxes,omitempty"`
	// The rest is detection.Augment's.
	MinSizes    []int                  `yaml:"min_sizes,omitempty,flow"`
	ScaleJitter *detection.ScaleJitter `yaml:"scale_jitter,omitempty"`
	IoUCrop     bool                   `yaml:"iou_crop,omitempty"`
	Mosaic      float64                `yaml:"mosaic,omitempty"`
}

// detectorKinds are the values of DetectRecipe.Kind.
var detectorKinds = []string{string(models.DetectorRetinaNet), string(models.DetectorFasterRCNN), string(models.DetectorMaskRCNN)}

// augment returns how the training pictures of a detector are varied.
func (r *Recipe) augment() *detection.Augment {
	d, a := r.Detect, r.Augment
	return &detection.Augment{ColorJitter: a.ColorJitter, Grayscale: a.Grayscale, HFlip: a.HFlip,
		MinSizes: d.MinSizes, ScaleJitter: d.ScaleJitter, IoUCrop: d.IoUCrop, Mosaic: d.Mosaic}
}

func (d *DetectRecipe) sampling() detect.Sampling {
	return detect.Sampling{Anchors: d.Anchors, Boxes: d.Boxes}
}

// validDetect returns an error that names the key at fault of a detector's recipe.
func (r *Recipe) validDetect() error {
	d := r.Detect
	if d == nil {
		return nil
	}
	others := r.Augment
	others.ColorJitter, others.Grayscale, others.HFlip = nil, 0, 0
	switch {
	case d.Kind != "" && !slices.Contains(detectorKinds, string(d.Kind)):
		return unknownName("detect.kind", "kind of detector", string(d.Kind), detectorKinds)
	case d.MinSize < 0 || d.MinSize > maxDetectSide:
		return badKey("detect.min_size", "%d is not a side in pixels, 1 to %d", d.MinSize, maxDetectSide)
	case d.MaxSize < 0 || d.MaxSize > maxDetectSide || d.MaxSize > 0 && d.MaxSize < d.MinSize:
		return badKey("detect.max_size", "%d is not a side in pixels, from min_size, %d, to %d", d.MaxSize, d.MinSize, maxDetectSide)
	case r.Size > maxDetectSide/2:
		return badKey("size", "%d is not a shorter side in pixels, 1 to %d", r.Size, maxDetectSide/2)
	case r.Size > 0 && (d.MinSize > 0 || d.MaxSize > 0):
		return badKey("size", "sets detect.min_size and detect.max_size, which are given, too: leave out one")
	case d.Channels < 0 || d.Channels > 1<<14:
		return badKey("detect.channels", "%d is not a number of channels, 1 to %d", d.Channels, 1<<14)
	case d.BoxFeatures < 0 || d.BoxFeatures > 1<<16:
		return badKey("detect.box_features", "%d is not a number of features, 1 to %d", d.BoxFeatures, 1<<16)
	case d.Proposals < 0 || d.Proposals > 1<<15:
		return badKey("detect.proposals", "%d is not a number of boxes, 1 to %d", d.Proposals, 1<<15)
	case d.TrainableLayers < 0 || d.TrainableLayers > 5:
		return badKey("detect.trainable_layers", "%d is not a number of stages, 1 to 5", d.TrainableLayers)
	case d.Anchors < 0 || d.Boxes < 0:
		return badKey("detect", "a number of samples is negative")
	case others != (data.Augment{}):
		return badKey("augment", "a detector's pictures are varied by hflip, color_jitter and grayscale, and by the keys of detect (scale_jitter, min_sizes, iou_crop, mosaic): leave out the others")
	case r.TrainSize > 0:
		return badKey("train_size", "is for classifiers: detect.min_sizes varies the size of a detector's pictures")
	case r.Balanced:
		return badKey("balanced", "is for pictures with one label each")
	case r.Distill != nil:
		return badKey("distill", "is for classifiers, not for detectors")
	case r.LR.Gate != nil:
		return badKey("lr.gate", "is for classifiers, not for detectors")
	case r.LR.Kind == Plateau:
		return badKey("lr.schedule", "plateau follows the validation loss, which detectors do not have: take cosine, step or multistep")
	case r.Loss.Kind != "":
		return badKey("loss.name", "a detector has its own losses: leave it out")
	case r.Loss.LabelSmoothing != 0:
		return badKey("loss.label_smoothing", "a detector has its own losses: leave it out")
	case r.Loss.Dice != 0:
		return badKey("loss.dice", "a detector has its own losses: leave it out")
	case !r.Loss.ClassWeights.IsZero():
		return badKey("loss.class_weights", "a detector has its own losses, without weights of classes: leave it out")
	case r.Finetune != nil && r.Finetune.WarmHead > 0:
		return badKey("finetune.warm_head", "is for classifiers and segmentation networks")
	}
	if err := d.sampling().Valid(); err != nil {
		return badKey("detect", "%v", err)
	}
	if err := r.augment().Valid(); err != nil {
		return badKey("detect", "%v", err)
	}
	return nil
}

// maxDetectSide is the largest side of a detector's input.
const maxDetectSide = 1 << 13

// resizeDetector sets the size to which a detector's pictures are resized, and the
// number of its proposals.
func (r *Recipe) resizeDetector(h *models.DetectionHead) {
	if r.Size > 0 {
		h.MaxSize = max(r.Size, (r.Size*h.MaxSize+h.MinSize/2)/h.MinSize)
		h.MinSize = r.Size
	}
	if d := r.Detect; d.MinSize > 0 {
		h.MinSize, h.MaxSize = d.MinSize, max(h.MaxSize, d.MinSize)
	}
	if d := r.Detect; d.Proposals > 0 && h.Kind != models.DetectorRetinaNet {
		h.Proposals = d.Proposals
	}
	if d := r.Detect; d.MaxSize > 0 {
		h.MinSize, h.MaxSize = min(h.MinSize, d.MaxSize), d.MaxSize
	}
}
