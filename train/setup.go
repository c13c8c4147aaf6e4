package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func cut(spec string) (kind, path string, ok bool) { return strings.Cut(spec, ":") }

// prepare makes a session of a Config.
func prepare(ctx context.Context, cfg Config) (_ *session, err error) {
	ranks := group{cfg.Exchange}
	out := cfg.Out
	if ranks.rank() > 0 { // rank 0 writes the files and the log
		out, cfg.Log = "", Log{}
	}
	s := &session{
		job: job{group: ranks, seed: cfg.Seed, keys: cfg.Keys, skipBad: cfg.SkipBad, threads: cfg.Threads, device: cfg.Device, workers: cfg.Workers,
			maxTime: cfg.MaxTime},
		output: output{out: out, log: newLogger(cfg.Log)},
	}
	defer func() {
		if err != nil {
			s.abandon()
			s.close()
		}
		if key := (*keyError)(nil); s.rec != nil && errors.As(err, &key) {
			err = &RecipeError{File: s.rec.Name, Key: key.key, Problem: key.problem, Suggest: key.suggest}
		}
	}()
	if ranks.rank() == 0 {
		if err := s.enter(cfg.Out, cfg.Resume); err != nil {
			return nil, err
		}
	}
	var from *checkpoint
	spec := cfg.Data
	switch {
	case cfg.Resume:
		if from, err = s.loadRun(cfg); err != nil {
			return nil, err
		}
		if spec == "" {
			spec = from.file.Data.Spec
		}
	default:
		if cfg, err = Choose(cfg); err != nil {
			return nil, err
		}
		s.rec = cfg.Recipe
		s.notes = append(s.notes, cfg.chosen...)
		s.state.ValData = cfg.ValData
	}
	if err := s.rec.Valid(); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", s.rec.Name, err)
	}
	if !cfg.Resume {
		s.notes = append(s.notes, s.rec.timesNotes()...)
	}
	if err := s.choosePrecision(); err != nil {
		return nil, err
	}
	if s.splits = cfg.Splits; s.splits == nil {
		if s.splits, err = openSplits(cfg, s.rec, spec, s.state.ValData, s.rec.Validation, s.seed); err != nil {
			return nil, err
		}
		s.ownSplits = true
	}
	if s.rec.Detect != nil {
		if err := s.useObjects(); err != nil {
			return nil, err
		}
	}
	if err := s.checkData(); err != nil {
		return nil, err
	}
	if cfg.Reference {
		if err := s.checkReference(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoReference, err)
		}
	}
	if err := s.look(ctx, cfg); err != nil {
		return nil, err
	}
	s.fitBatch()
	if err := s.checkViews(); err != nil {
		return nil, err
	}
	if err := s.chooseShards(cfg); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", s.rec.Name, err)
	}
	net, err := s.network(cfg, from)
	if err != nil {
		return nil, err
	}
	s.module = net
	if _, _, s.depth, err = s.architecture(net); err != nil {
		return nil, err
	}
	if s.rec.SSL != nil {
		var state map[string]*tensor.Tensor
		if from != nil {
			state = from.file.State
		}
		if s.module, err = s.pretext(net.(*models.Model), state); err != nil {
			return nil, err
		}
	}
	if !cfg.Resume {
		if err := s.describe(cfg, net); err != nil {
			return nil, err
		}
		s.state.SkipBad = s.skipBad
	}
	if s.teacher, err = s.openTeacher(); err != nil {
		return nil, err
	}
	var state map[string]*tensor.Tensor
	if from != nil {
		state = from.file.State
	}
	if err := s.build(state); err != nil {
		return nil, err
	}
	s.announce()
	return s, nil
}

// choosePrecision takes the precision of products from the recipe, also in a resumed
// run: it never changes within a run.
func (j *job) choosePrecision() (err error) {
	if j.bf16, err = engine.ParseBF16(j.rec.BF16); err != nil {
		return fmt.Errorf("recipe %s: %w", j.rec.Name, err)
	}
	if err := (engine.Options{BF16: j.bf16, Device: j.device}).Check(); err != nil {
		return fmt.Errorf("recipe %s: %w", j.rec.Name, err)
	}
	switch j.bf16 {
	case engine.BF16Native:
		j.notes = append(j.notes, "training uses bfloat16 operands; evaluation is float32")
	case engine.BF16Emulated:
		j.notes = append(j.notes, "training uses emulated bfloat16 operands, which is slow; evaluation is float32")
	}
	return nil
}

// checkData returns an error for data that nothing can be learned from.
func (j *job) checkData() error {
	sp := j.splits
	if sp.Train == nil || sp.Train.Len() == 0 {
		return fmt.Errorf("%s has no training part", sp.Spec)
	}
	if j.rec.SSL != nil {
		if data.Masks(sp.Train) != nil {
			return fmt.Errorf("%s has masks: training without labels takes pictures, as folder:DIR", sp.Spec)
		}
		j.notes = append(j.notes, sp.Notes...)
		j.noteLabels()
		if judges(sp) {
			j.noteTest()
		}
		return nil
	}
	n := len(sp.Classes())
	if n < 2 && !sp.MultiLabel() || n < 1 {
		return fmt.Errorf("%s has one class (%s): training needs two or more", sp.Spec, strings.Join(sp.Classes(), ", "))
	}
	if len(sp.Empty) > 0 {
		return fmt.Errorf("%s: %s: add pictures of the class, in a format that can be read (%s), or remove the folder",
			sp.Spec, strings.Join(sp.Empty, "; "), strings.Join(data.PictureEndings(), " "))
	}
	if ev := sp.Eval(); ev != nil && len(ev.Classes()) != n {
		return fmt.Errorf("%s has %d classes to train on and %d to evaluate on", sp.Spec, n, len(ev.Classes()))
	}
	if w := j.rec.Loss.ClassWeights.Weights; len(w) > 0 && len(w) != n {
		return fmt.Errorf("loss.class_weights has %d weights, but %s has %d classes: give one weight per class", len(w), sp.Spec, n)
	}
	j.notes = append(j.notes, sp.Notes...)
	j.noteTest()
	if data.Masks(sp.Train) != nil {
		return nil // which classes there are is known from the masks
	}
	if counts := data.ClassCounts(sp.Train); slices.Contains(counts, 0) {
		var empty []string
		for i, c := range counts {
			if c == 0 {
				empty = append(empty, sp.Classes()[i])
			}
		}
		j.notes = append(j.notes, fmt.Sprintf("no training pictures of class %s", strings.Join(empty, ", ")))
	}
	return nil
}

// network builds the model with its initial values; on resuming, from the
// file's. It also settles the preprocessing.
func (j *job) network(cfg Config, run *checkpoint) (nn.Module, error) {
	if run != nil {
		j.prep = run.prep
		if n := len(j.classes()); run.classes != n {
			return nil, fmt.Errorf("the run has %d classes, %s has %d", run.classes, j.splits.Spec, n)
		}
		net, err := run.resumed()
		if err != nil {
			return nil, err
		}
		return net, j.freeze(net)
	}
	var err error
	if j.prep, err = j.rec.Input(); err != nil {
		return nil, err
	}
	model := cfg.Model
	if model == "" && j.rec.Finetune != nil {
		model = j.rec.Finetune.From
	}
	if model == "" {
		model = j.rec.Model
	}
	if model == "" {
		return nil, fmt.Errorf("recipe %s names no model: name one by --model", j.rec.Name)
	}
	ref, err := modelfile.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if j.rec.Detect != nil {
		return j.detector(ref)
	}
	if ref.HasWeights() {
		return j.pretrained(ref)
	}
	if j.rec.Finetune != nil {
		key := "finetune"
		if len(j.rec.Finetune.Freeze) > 0 {
			key = "finetune.freeze"
		}
		return nil, badKey(key, "is for a trained model, but %s is only a name: give its file, as --model FILE or --model %s@FILE", model, model)
	}
	if j.rec.SSL != nil {
		conf, err := models.Lookup(ref.Name)
		if err != nil {
			return nil, err
		}
		if err := canLoseHead(conf); err != nil {
			return nil, err
		}
	}
	net, err := models.New(ref.Name, j.shape()...)
	if err != nil {
		return nil, err
	}
	if err := j.checkTask(net.Config); err != nil {
		return nil, err
	}
	if err := nn.Init(net, j.seed); err != nil {
		return nil, err
	}
	return net, j.whiten(net)
}

func (j *job) shape() []models.Option {
	return []models.Option{models.Classes(len(j.classes())), models.InChannels(j.prep.Channels), models.InputSize(j.prep.Width)}
}

// pretrained builds a network from a model file of any format, with a new last layer if its
// classes are others.
func (j *job) pretrained(ref modelfile.Ref) (nn.Module, error) {
	model := ref.String()
	r, err := ref.Open(modelfile.Options{Keys: j.keys, Backbone: j.rec.SSL == nil && j.replacesHead(), Features: j.rec.SSL != nil, Seed: j.seed})
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if onnx.IsArchitecture(r.File.Architecture) {
		j.meta.Architecture = r.File.Architecture
		return j.ownNetwork(r, model)
	}
	if r.Model == nil {
		return nil, fmt.Errorf("model %s holds a network of another library, which cannot be trained: if its tensors fit a network of resnet models, give NAME@%s",
			model, model)
	}
	f, conf := r.File, r.Model.Config
	if j.rec.SSL != nil {
		if err := j.withoutHead(r, model); err != nil {
			return nil, err
		}
	} else if err := j.checkTask(conf); err != nil {
		return nil, err
	}
	j.notes = append(j.notes, r.Notes...)
	source := "by the model file"
	if r.Preprocess != nil {
		source = "as " + r.Why
	}
	if len(f.Preprocess) > 0 || r.Preprocess != nil {
		if err := readPreprocess(r, &j.prep); err != nil {
			return nil, fmt.Errorf("model %s: %w", model, err)
		}
		resize(&j.prep, j.rec.Size)
		j.notes = append(j.notes, "pictures are prepared "+source+": "+j.prep.String())
	}
	for _, o := range j.shape() {
		o(&conf)
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
	return net, j.freeze(net)
}

// readPreprocess sets p to how pictures were prepared for a model; without a word
// on it, p stays.
func readPreprocess(r *modelfile.Result, p *data.Preprocess) error {
	switch {
	case r.Preprocess != nil:
		*p = *r.Preprocess
	case len(r.File.Preprocess) == 0:
		return nil
	default:
		*p = data.Preprocess{}
		if err := json.Unmarshal(r.File.Preprocess, p); err != nil {
			return fmt.Errorf("preprocess: %w", err)
		}
	}
	return p.Valid()
}

// Input returns how a recipe prepares pictures: its preprocessing, with inputs of its size.
// Detectors have sizes of their own.
func (r *Recipe) Input() (data.Preprocess, error) {
	p, err := r.Preprocess.Resolve()
	if err == nil && r.Detect == nil {
		resize(&p, r.Size)
	}
	return p, err
}

// resize sets the side of a network's inputs; 0 leaves it. What pictures are resized
// to before the middle is cut out changes in proportion.
func resize(p *data.Preprocess, side int) {
	if side == 0 {
		return
	}
	if p.Resize > 0 {
		p.Resize = max(side, (p.Resize*side+p.Width/2)/p.Width)
	}
	p.Width, p.Height = side, side
}

// replacesHead reports whether a trained model of other classes gets a new last
// layer: in fine-tuning, and in segmentation, which begins with a backbone.
func (j *job) replacesHead() bool {
	return j.rec.Finetune != nil || j.rec.Detect != nil || data.Masks(j.splits.Train) != nil
}

// classes returns the names of the network's classes.
func (j *job) classes() []string {
	switch {
	case j.rec.Detect != nil:
		return detectorClasses(j.splits.Classes())
	case j.rec.SSL != nil:
		return nil // a backbone has none
	}
	return j.splits.Classes()
}

// keepHead loads the weights, leaving out the last layer if it belongs to
// other classes.
func (j *job) keepHead(net *models.Model, r *modelfile.Result, model string) error {
	f := r.File
	heads := headsOf(net)
	want := map[string]*nn.Param{}
	for _, e := range nn.Params(net) {
		want[e.Name] = e.Param
	}
	bare := r.Model.Config.Task() == models.Features // it never had a last layer
	other := r.NewHead || bare || len(f.Classes) > 0 && !slices.Equal(f.Classes, j.classes())
	for key, t := range f.Tensors {
		if p := want[key]; p != nil && inLast(key, heads) && !t.Shape().Equal(p.Shape) {
			other = true
		}
	}
	if j.rec.SSL != nil {
		other = false // none is made
	}
	if other && !bare && !j.replacesHead() {
		return fmt.Errorf("model %s has other classes than the %d of %s: to give it a new last layer, use --recipe finetune",
			model, len(j.splits.Classes()), j.splits.Spec)
	}
	// Boxes have sides of each class, which belong to its name; what else a head has in
	// another number is new, too.
	fresh := func(key string) bool {
		p, t := want[key], f.Tensors[key]
		return other && (inLast(key, heads) || inBoxes(key, heads) || inHeads(key, heads) && (t == nil || p != nil && !t.Shape().Equal(p.Shape)))
	}
	state := map[string]*tensor.Tensor{}
	for key, t := range f.Tensors {
		if !fresh(key) {
			state[key] = t
		}
	}
	report, err := nn.Load(net, state, nn.LoadOptions{Partial: true})
	if err != nil {
		return fmt.Errorf("model %s: %w", model, err)
	}
	var missing []string
	for _, key := range report.Missing {
		if !fresh(key) {
			missing = append(missing, key)
		}
	}
	if len(missing)+len(report.Unexpected) > 0 {
		return fmt.Errorf("model %s: %w", model, &weights.FitError{Report: weights.Report{Missing: missing, Unexpected: report.Unexpected}})
	}
	switch {
	case other && j.rec.Detect != nil && r.NewHead: // of a classifier, as is noted
	case other:
		j.notes = append(j.notes, fmt.Sprintf("new last layer (%s) for %s%s", lastNames(heads), term.Plural(len(j.splits.Classes()), "class"), boxNames(heads)))
	}
	return nil
}

// freeze freezes the modules that the recipe names, and notes it.
func (j *job) freeze(net nn.Module) error {
	if j.rec.Detect != nil {
		if err := j.freezeStages(net.(*models.Model)); err != nil {
			return err
		}
	}
	if err := j.freezeWhitened(net); err != nil {
		return err
	}
	ft := j.rec.Finetune
	if ft == nil {
		return nil
	}
	if ft.FreezeNorm {
		for _, b := range bodyNorms(net) {
			b.RunningMean.Frozen, b.RunningVar.Frozen = true, true
		}
		graphNorms(net)
		j.notes = append(j.notes, "batch norms keep the statistics of the trained model")
	}
	if len(ft.Freeze) == 0 {
		return nil
	}
	heads := headsOf(net)
	prefixes := map[string]bool{}
	for _, f := range ft.Freeze {
		if f != "backbone" {
			prefixes[f] = true
			continue
		}
		if len(heads) == 0 {
			return badKey("finetune.freeze", "backbone: the network has no last fully connected layer, which would stay free: name modules, such as layer1")
		}
		for _, e := range nn.Params(net) {
			if !inHeads(e.Name, heads) {
				prefixes[e.Name] = true
			}
		}
	}
	list := make([]string, 0, len(prefixes))
	for p := range prefixes {
		list = append(list, p)
	}
	n, err := nn.Freeze(net, list...)
	if err != nil {
		return badKey("finetune.freeze", "%s", strings.TrimPrefix(err.Error(), "nn: "))
	}
	j.notes = append(j.notes, fmt.Sprintf("frozen: %s (%d tensors); %d batch norms use their running statistics",
		strings.Join(ft.Freeze, ", "), n, len(nn.FrozenNorms(net))))
	return nil
}

// describe fills in the metadata of the model files.
func (j *job) describe(cfg Config, net nn.Module) error {
	arch, name, _, err := j.architecture(net)
	if err != nil {
		return err
	}
	var prep []byte
	if j.rec.Detect == nil { // a detector's config has it
		if prep, err = json.Marshal(j.prep); err != nil {
			return err
		}
	}
	rec := *j.rec
	rec.Model = name
	text, err := rec.YAML()
	if err != nil {
		return err
	}
	j.meta = weights.Meta{
		Architecture: arch, Classes: j.classes(), MultiLabel: j.rec.SSL == nil && j.splits.MultiLabel() && !isDetector(net) && data.Masks(j.splits.Train) == nil, Preprocess: prep,
		Recipe: string(text), Seed: j.seed, Command: cfg.Command, Data: weights.DataInfo{Spec: j.splits.Spec, Hash: j.hash, Val: cfg.ValData, Fold: cfg.fold, Folds: cfg.folds},
	}
	return nil
}
