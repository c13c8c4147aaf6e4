package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// checkpoint is a file from which a run continues, read and checked.
type checkpoint struct {
	file    *weights.File
	recipe  *Recipe
	state   state
	prep    data.Preprocess
	arch    models.Config
	graph   nn.Module // of a graph; else nil, and the network is arch
	classes int       // of the network
}

// errNoState is wrapped by the error of a file that holds a model only.
var errNoState = errors.New("holds a model without training state: it cannot be resumed, but training can start from it by --model")

// readCheckpoint reads and checks all of a checkpoint, tensors and metadata.
func readCheckpoint(path string) (*checkpoint, error) {
	f, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	c := &checkpoint{file: f}
	if c.recipe, err = c.state.read(path, &f.Meta); err != nil {
		return nil, err
	}
	if c.recipe.Detect == nil { // a detector's files have none
		if err := json.Unmarshal(f.Preprocess, &c.prep); err != nil {
			return nil, fmt.Errorf("%s: preprocess: %w", path, err)
		}
		if err := c.prep.Valid(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, c.readArchitecture(path)
}

// read reads the state and the recipe of a run from the metadata of its checkpoint.
func (st *state) read(path string, meta *weights.Meta) (*Recipe, error) {
	if len(meta.Training) == 0 {
		return nil, fmt.Errorf("%s %w", path, errNoState)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(meta.Training, &keys); err != nil {
		return nil, fmt.Errorf("%s: its training state is damaged: %w", path, err)
	}
	for _, k := range []string{"epoch", "step", "update", "sums"} {
		if keys[k] == nil {
			return nil, fmt.Errorf("%s: its training state is damaged: it has no %s", path, k)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(meta.Training))
	dec.DisallowUnknownFields()
	if err := dec.Decode(st); err != nil {
		return nil, fmt.Errorf("%s: its training state is damaged: %w", path, err)
	}
	rec, err := ParseRecipe(path+"#recipe", []byte(meta.Recipe))
	if err != nil {
		return nil, err
	}
	if err := rec.Valid(); err != nil {
		return nil, fmt.Errorf("%s: recipe %s: %w", path, rec.Name, err)
	}
	if err := st.valid(rec); err != nil {
		return nil, fmt.Errorf("%s: its training state is damaged: %w", path, err)
	}
	return rec, nil
}

// valid returns an error for a state that no run by the recipe can have: training
// from it would end at once, go on with wrong figures, or crash.
func (st *state) valid(rec *Recipe) error {
	if st.Epoch != len(st.History) {
		return fmt.Errorf("epoch is %d, but the history has %d", st.Epoch, len(st.History))
	}
	update := 0
	for i, r := range st.History {
		if r.Epoch != i+1 || r.Step < update {
			return fmt.Errorf("entry %d of the history is epoch %d, step %d, after step %d", i+1, r.Epoch, r.Step, update)
		}
		if err := r.valid(); err != nil {
			return fmt.Errorf("epoch %d of the history: %w", r.Epoch, err)
		}
		if r.Partial {
			return fmt.Errorf("epoch %d of the history is a part of one", r.Epoch)
		}
		update = r.Step
	}
	if st.Step < 0 || st.Update != update+st.Step {
		return fmt.Errorf("update is %d, but the epochs before have %d updates and this one %d", st.Update, update, st.Step)
	}
	if err := st.Sums.valid(st.Step * max(1, rec.Accumulate, rec.Shards)); err != nil {
		return fmt.Errorf("sums: %w", err)
	}
	if b := st.Best; b != nil && (b.Val == nil || !st.had(*b)) {
		return fmt.Errorf("best is epoch %d, which the history does not have so", b.Epoch)
	}
	if st.Waited < 0 || st.Waited > st.Epoch {
		return fmt.Errorf("waited is %d of %d epochs", st.Waited, st.Epoch)
	}
	return errors.Join(st.Gate.valid(rec), st.Plateau.valid(rec))
}

// had reports whether the run can have been evaluated with this record: at the end of
// an epoch of the history, or within an epoch by the limit of time.
func (st *state) had(r EpochRecord) bool {
	if r.Epoch < 1 || r.Epoch > st.Epoch+1 {
		return false
	}
	if !r.Partial {
		return r.Epoch <= st.Epoch && reflect.DeepEqual(r, st.History[r.Epoch-1])
	}
	first, last := 0, st.Update // updates before the epoch, and in the run by its end
	if r.Epoch > 1 {
		first = st.History[r.Epoch-2].Step
	}
	if r.Epoch <= st.Epoch {
		last = st.History[r.Epoch-1].Step - 1
	}
	return first < r.Step && r.Step <= last && r.valid() == nil
}

func (r EpochRecord) valid() error {
	if !(r.LR >= 0) {
		return fmt.Errorf("the learning rate is %v", r.LR)
	}
	for _, m := range []*Metrics{&r.Train, r.Val} {
		if m == nil {
			continue
		}
		for _, share := range []float64{m.Top1, m.Top5, m.MAP, m.MeanIoU, m.PixelAccuracy} {
			if !(share >= 0 && share <= 1) {
				return fmt.Errorf("%v is not a share from 0 to 1", share)
			}
		}
		if m.KNN != nil && !(*m.KNN >= 0 && *m.KNN <= 1) {
			return fmt.Errorf("knn is %v, not a share from 0 to 1", *m.KNN)
		}
		if g := m.Gauge; g != nil && !(g.Spread >= 0 && g.Spread < 1e6 && g.Dimensions >= 0) {
			return fmt.Errorf("the gauge is %v and %v", g.Spread, g.Dimensions)
		}
		if m.Samples < 0 {
			return fmt.Errorf("%d samples", m.Samples)
		}
	}
	return nil
}

// valid returns an error unless the sums can be those of that number of batches.
func (t tally) valid(batches int) error {
	if t.Batches != batches {
		return fmt.Errorf("of %d batches instead of %d", t.Batches, batches)
	}
	if t.Samples < 0 || t.Pixels < 0 || t.Top1 < 0 || t.Top5 < 0 || t.Top1 > max(t.Samples, t.Pixels) || t.Top5 > t.Samples {
		return fmt.Errorf("%d and %d hits of %d samples, %d pixels", t.Top1, t.Top5, t.Samples, t.Pixels)
	}
	return nil
}

func (g *gateState) valid(rec *Recipe) error {
	switch {
	case g == nil:
		return nil
	case rec.LR.Gate == nil:
		return errors.New("it has a gate, but the recipe has none")
	case len(g.Hits) > gateWindow || g.Open && len(g.Hits) > 0:
		return fmt.Errorf("the gate has hits of %d steps", len(g.Hits))
	}
	for _, h := range g.Hits {
		if h < 0 || h > rec.BatchSize {
			return fmt.Errorf("the gate has %d hits in a batch of %d", h, rec.BatchSize)
		}
	}
	return nil
}

func (p *plateauState) valid(rec *Recipe) error {
	switch {
	case p == nil:
		return nil
	case rec.LR.Kind != Plateau:
		return fmt.Errorf("it has a plateau, but the schedule is %s", rec.LR.Kind)
	case !(p.Scale > 0 && p.Scale <= 1) || p.Waited < 0 || math.IsNaN(p.Best):
		return fmt.Errorf("the plateau has scale %v after %d evaluations", p.Scale, p.Waited)
	}
	return nil
}

// newestCheckpoint reads the newest usable checkpoint of the run in a folder: the
// last, or, if that is damaged, the one before it. damage is then why.
func newestCheckpoint(out string) (c *checkpoint, damage error, err error) {
	last := filepath.Join(out, LastFile)
	c, damage = readCheckpoint(last)
	if damage == nil {
		return c, nil, nil
	}
	if errors.Is(damage, fs.ErrPermission) || errors.Is(damage, errNoState) {
		return nil, nil, damage
	}
	if c, err = readCheckpoint(filepath.Join(out, PreviousFile)); err == nil {
		return c, damage, nil
	}
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w; the checkpoint before it cannot be used either: %w", damage, err)
	case errors.Is(damage, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("there is no run to resume: %w", damage)
	default:
		err = damage
	}
	best := filepath.Join(out, BestFile)
	if verify(best) == nil {
		err = fmt.Errorf("%w; a new training can start from the best model: --model %s, with another --out", err, best)
	}
	return nil, nil, err
}

// verify reads all of a model file and discards it.
func verify(path string) error {
	_, err := weights.Load(path)
	return err
}

// loadRun reads the state of the run in cfg.Out.
func (s *session) loadRun(cfg Config) (*checkpoint, error) {
	if cfg.Model != "" || cfg.Recipe != nil {
		return nil, errors.New("a run is resumed with its own model and recipe: leave out --model and --recipe")
	}
	var c *checkpoint
	var damage error
	var err error
	path := filepath.Join(cfg.Out, LastFile)
	if s.group.rank() == 0 {
		if c, damage, err = newestCheckpoint(cfg.Out); damage != nil {
			path = filepath.Join(cfg.Out, PreviousFile)
		}
	}
	if c, err = s.readTogether(c, path, err); err != nil {
		return nil, err
	}
	s.state, s.rec, s.meta = c.state, c.recipe, c.file.Meta
	s.seed, s.skipBad, s.bad = c.file.Seed, s.state.SkipBad, s.state.Bad
	if damage != nil {
		s.lastDamaged = true
		s.notes = append(s.notes, fmt.Sprintf("warning: the newest checkpoint cannot be used: %v; the run continues from the one before it, %s, of epoch %d after step %d",
			damage, filepath.Join(cfg.Out, PreviousFile), s.state.Epoch+1, s.state.Step))
	}
	if best := filepath.Join(cfg.Out, BestFile); s.existing(BestFile) != "" {
		if err := verify(best); err != nil {
			s.notes = append(s.notes, fmt.Sprintf("warning: the best model so far is damaged: %v; it is written again when an epoch is better", err))
		}
	}
	return c, s.extend(cfg.Epochs)
}
