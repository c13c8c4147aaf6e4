package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
)

// photosRecipe is the recipe that Choose fits to the data.
const photosRecipe = "photos"

// pictureFacts are what is known of pictures before a recipe is chosen.
type pictureFacts struct {
	n, classes int  // of the training part
	smallest   int  // pictures of the rarest class that has any
	side       int  // median of the shorter sides, pixels
	glyphs     bool // small gray pictures, such as digits, which may not be mirrored
	multi      bool
	held       bool // there is a part to evaluate on
}

// tinySide is the side of pictures up to which they are trained on like CIFAR's: at 32
// pixels, shifted rather than cropped.
const tinySide = 40

// choosePhotos fits the recipe photos to the data, see [Choose]. What was chosen and
// why is noted.
func choosePhotos(cfg Config) (Config, error) {
	// What the user has set decides what else is chosen.
	own, err := LoadRecipe(photosRecipe, cfg.Set...)
	if err != nil {
		return cfg, err
	}
	facts, err := factsOf(cfg, own)
	if err != nil {
		return cfg, err
	}
	given := keysOf(cfg.Set)
	if cfg.Model == "" {
		cfg.Model = own.Model
	}
	from := ""
	switch {
	case cfg.Model == "" && !slices.Contains(given, "finetune.from"):
		cfg.Model, from = modelfile.EmbeddedName, "the model inside the program (of CIFAR-10)"
	case cfg.Model == "":
		from = own.Finetune.From
	case hasWeights(cfg.Model):
		from = cfg.Model
	}
	c := facts.choose(own, cfg.Model == modelfile.EmbeddedName, from != "", slices.Contains(given, "batch_size"))
	if cfg.Recipe, err = loadRecipe(photosRecipe, c.set(), cfg.Set); err != nil {
		return cfg, err
	}
	if err := cfg.useOptimizer(); err != nil {
		return cfg, err
	}
	r := cfg.Recipe
	if r.Loss.bce() && !slices.Contains(given, "loss.label_smoothing") {
		r.Loss.LabelSmoothing = 0 // which belongs to cross-entropy
	}
	how := "a new network learns from scratch"
	if from != "" {
		how = "training starts from " + from
	}
	size := "its own input size"
	if r.Size > 0 {
		size = fmt.Sprintf("%d pixels", r.Size)
	}
	length := term.Plural(r.Epochs, "epoch")
	if r.Iterations > 0 {
		length = term.Plural(r.Iterations, "step")
	}
	cfg.chosen = append(cfg.chosen, fmt.Sprintf("chosen for %s of %s, %d pixels wide or high: %s at %s, %s of batches of %d, learning rate %.3g; change it by flags or --set, see --print-recipe",
		term.Plural(facts.n, "picture"), term.Plural(facts.classes, "class"), facts.side, how, size, length, r.BatchSize, r.LR.Peak))
	if cfg.Model == modelfile.EmbeddedName && facts.side > 2*tinySide {
		cfg.chosen = append(cfg.chosen, "for photographs, a model trained on ImageNet is a much better start: --model FILE or NAME@FILE")
	}
	if facts.smallest < 10 {
		cfg.chosen = append(cfg.chosen, fmt.Sprintf("the rarest class has only %s to train on: more pictures of it help most", term.Plural(facts.smallest, "picture")))
	}
	return cfg, nil
}

// factsOf looks at the data of a run by a recipe: all labels, and the sizes of some
// pictures.
func factsOf(cfg Config, rec *Recipe) (f pictureFacts, err error) {
	s := cfg.Splits
	if s == nil {
		if s, err = openSplits(cfg, rec, cfg.Data, "", -1, cfg.Seed); err != nil {
			return f, err
		}
		defer s.Close()
	}
	ds := s.Train
	if ds == nil || ds.Len() == 0 {
		return f, fmt.Errorf("%s has no training part", s.Spec)
	}
	f = pictureFacts{n: ds.Len(), classes: len(ds.Classes()), multi: ds.MultiLabel(), held: s.Eval() != nil || cfg.ValData != "", smallest: ds.Len()}
	for _, n := range data.ClassCounts(ds) {
		if n > 0 {
			f.smallest = min(f.smallest, n)
		}
	}
	const samples = 25
	var sides []int
	gray := 0
	step := max(1, ds.Len()/samples)
	for i := 0; i < ds.Len(); i += step {
		w, h, err := data.PictureSize(ds, i)
		if err != nil {
			continue // the check of the data reports it
		}
		sides = append(sides, min(w, h))
		if m := new(imaging.Image); max(w, h) <= 2*tinySide && ds.Decode(i, m) == nil && isGray(m) {
			gray++
		}
	}
	if len(sides) == 0 {
		return f, fmt.Errorf("%s: none of the pictures looked at can be decoded; resnet data check lists them", s.Spec)
	}
	slices.Sort(sides)
	f.side = sides[len(sides)/2]
	f.glyphs = f.side <= tinySide && gray == len(sides)
	return f, nil
}

func isGray(m *imaging.Image) bool {
	for i := 0; m.C == 3 && i+2 < len(m.Pix); i += 3 {
		if m.Pix[i] != m.Pix[i+1] || m.Pix[i] != m.Pix[i+2] {
			return false
		}
	}
	return true
}

// choice are the keys that are fitted to the data.
type choice struct {
	batch, epochs, size, warmHead int
	peak, decay, body, validation float64
	warmup                        float64
	finetune, freezeNorm          bool
	pad                           int
	flip                          bool
	smoothing                     float64
	scale                         float64 // the smallest share of a picture that is cropped
}

// choose returns what suits the pictures. own has what the user has set; embedded and
// trained tell where training starts.
func (f pictureFacts) choose(own *Recipe, embedded, trained, ownBatch bool) choice {
	n := float64(f.n)
	share := 0.0
	if !f.held {
		if share = 0.1; f.n < 1000 {
			share = 0.2
		}
		held := share
		if own.Validation > 0 {
			held = own.Validation
		}
		n *= 1 - max(held, 0)
	}
	c := choice{validation: share, finetune: trained, flip: !f.glyphs, smoothing: 0.1, scale: 0.35}
	if f.multi {
		c.smoothing = 0
	}
	// Batches as large as batch norm likes, up to 32 as long as they are four an epoch.
	// More pictures need more steps in all, but fewer passes.
	c.batch = 8
	for c.batch < 32 && float64(c.batch*2*4) <= n || c.batch == 32 && float64(c.batch*2*10) <= n {
		c.batch *= 2
	}
	c.batch = max(1, min(c.batch, int(n)))
	if left := int(n) % c.batch; left*5 > int(n) { // an epoch would leave out many
		c.batch = int(n) / (int(n)/c.batch + 1)
	}
	if ownBatch {
		c.batch = own.BatchSize
	}
	perEpoch := math.Max(1, math.Floor(n/float64(c.batch)))
	c.epochs = min(int(math.Ceil(max(12+300/math.Sqrt(n), 120/perEpoch))), 150)
	rate := math.Pow(float64(c.batch)/32, 0.75) // smaller batches, smaller steps
	switch {
	case embedded:
		// Its features are of things on 32 pixels: at 64 it is worse. It is small, so
		// all of it learns at the full rate.
		c.size, c.body = 32, 1
		c.peak, c.decay, c.warmup, c.warmHead = 0.02*rate, 5e-4, 1, 1
	case trained:
		c.body = 0.1
		c.peak, c.decay, c.warmup, c.warmHead = 0.02*rate, 1e-4, 1, 1
		c.freezeNorm = c.batch < 16
	default:
		c.epochs = min(2*c.epochs, 150)
		c.size = f.smallSize()
		if f.side > 2*tinySide && strings.HasPrefix(own.Preprocess.Preset, "imagenet") {
			c.size = 128
		}
		c.peak, c.decay, c.warmup = 0.05*rate, 5e-4, 2
	}
	if f.side <= tinySide {
		c.pad = 4
	}
	return c
}

// smallSize is the input size for a network made for small pictures.
func (f pictureFacts) smallSize() int {
	if f.side <= tinySide {
		return 32
	}
	return 64
}

// set returns the choice as KEY=VALUE of a recipe.
func (c choice) set() []string {
	s := []string{
		fmt.Sprintf("batch_size=%d", c.batch), fmt.Sprintf("epochs=%d", c.epochs),
		fmt.Sprintf("lr.peak=%.3g", c.peak), fmt.Sprintf("lr.warmup=%g", c.warmup),
		fmt.Sprintf("optimizer.weight_decay=%g", c.decay), fmt.Sprintf("loss.label_smoothing=%g", c.smoothing),
	}
	if c.validation > 0 {
		s = append(s, fmt.Sprintf("validation=%g", c.validation))
	}
	if c.size > 0 {
		s = append(s, fmt.Sprintf("size=%d", c.size))
	}
	if c.finetune {
		s = append(s, fmt.Sprintf("finetune.backbone_lr=%g", c.body), fmt.Sprintf("finetune.warm_head=%d", c.warmHead),
			fmt.Sprintf("finetune.freeze_norm=%v", c.freezeNorm))
	} else {
		s = append(s, "finetune=null")
	}
	if c.pad > 0 {
		s = append(s, "augment.random_resized_crop=null", fmt.Sprintf("augment.pad_crop=%d", c.pad))
	} else {
		s = append(s, fmt.Sprintf("augment.random_resized_crop.scale=[%g, 1]", c.scale))
	}
	if !c.flip {
		s = append(s, "augment.hflip=0")
	}
	return s
}
