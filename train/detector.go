package train

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// bodyPath is where a detector has its classifier.
const bodyPath = "backbone.body"

// defaultTrainable is the number of stages of a backbone that learn, torchvision's.
const defaultTrainable = 3

// detector builds the detector to train with its first values: a detector or, with a
// detector's heads on it, a classifier.
func (j *job) detector(ref modelfile.Ref) (*models.Model, error) {
	if !ref.HasWeights() {
		if j.rec.Finetune != nil {
			return nil, fmt.Errorf("finetune is for trained models, but %s is only a name: give its file, as --model %s@FILE", ref.Name, ref.Name)
		}
		conf, err := models.Lookup(ref.Name)
		if err != nil {
			return nil, err
		}
		if err := j.becomeDetector(&conf, false); err != nil {
			return nil, err
		}
		// Without trained weights there are no statistics that batch norms could keep.
		conf.Detection.FrozenNorm = false
		net, err := conf.Build()
		if err != nil {
			return nil, err
		}
		j.setTrainable(len(conf.Layers) + 1)
		j.notes = append(j.notes, fmt.Sprintf("%s learns from scratch, which takes many pictures: --model FILE or NAME@FILE begins with the weights of a classifier or a detector", conf.Name))
		return net, nn.Init(net, j.seed)
	}
	return j.pretrainedDetector(ref)
}

// pretrainedDetector builds a detector from the file of a detector or of a classifier.
func (j *job) pretrainedDetector(ref modelfile.Ref) (*models.Model, error) {
	model := ref.String()
	if ref == (modelfile.Ref{}) {
		model = modelfile.EmbeddedName
	}
	r, err := ref.Open(modelfile.Options{Keys: j.keys, Backbone: true, Seed: j.seed})
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if r.Model == nil {
		return nil, fmt.Errorf("model %s holds a network of another library, which cannot be trained: if its tensors fit a network of resnet models, give NAME@%s", model, model)
	}
	j.notes = append(j.notes, r.Notes...)
	conf := r.Model.Config
	classifier := conf.Task() == models.Classification || conf.Task() == models.Features
	if classifier && (len(r.File.Preprocess) > 0 || r.Preprocess != nil) {
		if err := readPreprocess(r, &j.prep); err != nil {
			return nil, fmt.Errorf("model %s: %w", model, err)
		}
	}
	if err := j.becomeDetector(&conf, true); err != nil {
		return nil, err
	}
	if classifier {
		j.notes = append(j.notes, fmt.Sprintf("%s becomes the backbone of a detector, %s, whose other parts are new", model, conf.Name))
		r.File.Tensors = bodyOf(r.File.Tensors)
		r.File.Classes, r.NewHead = nil, true
	}
	net, err := conf.Build()
	if err != nil {
		return nil, err
	}
	if err := nn.Init(net, j.seed); err != nil {
		return nil, err
	}
	if err := j.keepHead(net, r, model); err != nil {
		return nil, err
	}
	if j.rec.Detect.TrainableLayers == 0 {
		j.setTrainable(defaultTrainable)
	}
	return net, j.freeze(net)
}

// setTrainable records in the recipe what learns, for a run that is resumed.
func (j *job) setTrainable(stages int) {
	rec, d := *j.rec, *j.rec.Detect
	d.TrainableLayers = stages
	rec.Detect, j.rec = &d, &rec
}

// bodyOf returns the tensors of a classifier by the names that they have in a
// detector, without those of its last layer.
func bodyOf(tensors map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	body := map[string]*tensor.Tensor{}
	for name, t := range tensors {
		if !inModule(name, "fc") {
			body[bodyPath+"."+name] = t
		}
	}
	return body
}

// becomeDetector makes conf that of the detector to train. trained reports whether it has
// weights, which fit no other.
func (j *job) becomeDetector(conf *models.Config, trained bool) error {
	d, wasDetector := j.rec.Detect, conf.Task() == models.Detection
	switch conf.Task() {
	case models.Segmentation:
		return fmt.Errorf("%s is a segmentation network: a detector begins with a classifier or a detector", conf.Name)
	case models.Classification, models.Features:
		kind := d.Kind
		if kind == "" {
			kind = models.DetectorFasterRCNN
		}
		newHeads(conf, kind, d.V2)
		conf.Dropout = 0
		if p := j.prep; len(p.Mean) == conf.InChannels && len(p.Std) == conf.InChannels {
			conf.Detection.Mean, conf.Detection.Std = slices.Clone(p.Mean), slices.Clone(p.Std)
		}
		d.widths(conf.Detection)
	case models.Detection:
		if trained {
			if err := d.fits(conf); err != nil {
				return err
			}
			break
		}
		h := conf.Detection
		if kind, v2 := cmp.Or(d.Kind, h.Kind), h.V2 || d.V2; kind != h.Kind || v2 != h.V2 {
			named := conf.Name
			newHeads(conf, kind, v2)
			j.notes = append(j.notes, fmt.Sprintf("detect.kind and detect.v2 make %s of %s", conf.Name, named))
		}
		d.widths(conf.Detection)
	}
	j.dropTwoStage(conf.Detection)
	if conf.InChannels != 3 {
		return fmt.Errorf("%s takes %d channels, a detector of pictures must take 3", conf.Name, conf.InChannels)
	}
	h := *conf.Detection
	conf.Detection = &h
	j.rec.resizeDetector(&h)
	conf.Classes, conf.InputSize = len(j.classes()), h.MinSize
	if h.Kind == models.DetectorMaskRCNN && !objectsOf(j.splits.Train).HasMasks() {
		other := "--set detect.kind=fasterrcnn"
		if trained && wasDetector {
			other = "the file of a classifier"
		}
		return fmt.Errorf("%s learns masks, but not all objects of %s have one: train a detector of boxes, by --model fasterrcnn_… or %s", conf.Name, j.splits.Spec, other)
	}
	if len(d.MinSizes) > 0 && slices.Max(d.MinSizes) > h.MaxSize {
		return badKey("detect.min_sizes", "%d is above detect.max_size, %d", slices.Max(d.MinSizes), h.MaxSize)
	}
	return nil
}

// newHeads makes conf a detector of that kind and version, and names it so.
func newHeads(conf *models.Config, kind models.DetectorKind, v2 bool) {
	base := conf.Name
	if h := conf.Detection; h != nil {
		base = strings.TrimSuffix(strings.TrimPrefix(base, string(h.Kind)+"_"), detectorSuffix(h.V2))
	}
	models.Detect(kind, v2)(conf)
	conf.Name = string(kind) + "_" + base + detectorSuffix(v2)
}

func detectorSuffix(v2 bool) string {
	if v2 {
		return "_fpn_v2"
	}
	return "_fpn"
}

// widths sets the widths of the heads of a new detector.
func (d *DetectRecipe) widths(h *models.DetectionHead) {
	if d.Channels > 0 {
		h.Channels = d.Channels
	}
	if d.BoxFeatures > 0 && h.Kind != models.DetectorRetinaNet {
		h.BoxFeatures = d.BoxFeatures
	}
}

// fits returns an error that names a key that a trained detector does not have the value
// of.
func (d *DetectRecipe) fits(conf *models.Config) error {
	h := conf.Detection
	other := func(key string, want, is any) error {
		return badKey(key, "%v is for a detector that is made of a classifier or by its name, but %s is a trained detector (detect.kind %s, v2 %v, channels %d, box_features %d), whose weights fit %v alone: leave the key out, or begin with a classifier's file",
			want, conf.Name, h.Kind, h.V2, h.Channels, h.BoxFeatures, is)
	}
	switch {
	case d.Kind != "" && d.Kind != h.Kind:
		return other("detect.kind", d.Kind, h.Kind)
	case d.V2 && !h.V2:
		return other("detect.v2", d.V2, h.V2)
	case d.Channels > 0 && d.Channels != h.Channels:
		return other("detect.channels", d.Channels, h.Channels)
	case d.BoxFeatures > 0 && d.BoxFeatures != h.BoxFeatures && h.Kind != models.DetectorRetinaNet:
		return other("detect.box_features", d.BoxFeatures, h.BoxFeatures)
	}
	return nil
}

// dropTwoStage takes the keys from the recipe that are for R-CNNs alone, and notes it,
// for a detector that is none.
func (j *job) dropTwoStage(h *models.DetectionHead) {
	var keys []string
	rec, d := *j.rec, *j.rec.Detect
	for key, v := range map[string]*int{"detect.proposals": &d.Proposals, "detect.box_features": &d.BoxFeatures} {
		if h.Kind == models.DetectorRetinaNet && *v > 0 {
			keys, *v = append(keys, key), 0
		}
	}
	if len(keys) == 0 {
		return
	}
	slices.Sort(keys)
	rec.Detect, j.rec = &d, &rec
	j.notes = append(j.notes, fmt.Sprintf("%s: left out, because %s has no proposals, which it is for", strings.Join(keys, " and "), h.Kind))
}

// freezeStages freezes the stages of a trained backbone that do not learn.
func (j *job) freezeStages(net *models.Model) error {
	n, stages := j.rec.Detect.TrainableLayers, len(net.Config.Layers)
	if n == 0 || n > stages {
		return nil
	}
	keep := map[string]bool{} // what learns
	for i := stages - n + 1; i <= stages; i++ {
		keep[fmt.Sprintf("layer%d", i)] = true
	}
	frozen := map[string]bool{}
	for _, e := range nn.Params(net) {
		rest, ok := strings.CutPrefix(e.Name, bodyPath+".")
		if part, _, _ := strings.Cut(rest, "."); ok && !keep[part] {
			frozen[bodyPath+"."+part] = true
		}
	}
	if len(frozen) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(frozen))
	if _, err := nn.Freeze(net, names...); err != nil {
		return err
	}
	j.notes = append(j.notes, fmt.Sprintf("frozen: %s (detect.trainable_layers is %d)", strings.Join(names, ", "), n))
	return nil
}

// bodyNorms returns the batch norms of a detector's backbone, which alone have
// statistics of a trained model.
func bodyNorms(net nn.Module) []*nn.BatchNorm {
	var norms []*nn.BatchNorm
	for path, m := range nn.Modules(net) {
		if b, ok := m.(*nn.BatchNorm); ok && (!isDetector(net) || inModule(path, bodyPath)) {
			norms = append(norms, b)
		}
	}
	return norms
}
