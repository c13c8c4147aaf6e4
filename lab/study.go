package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
)

// Study is an experiment in a folder.
type Study struct {
	*Experiment
	Options
	Variants []Variant
	Runs     []*Run // by variant, then seed
	Classes  []string
	Spec     string // of the data, with the numbers of pictures taken
	counts   [2]int // pictures to train and to test on
}

// Run is one training.
type Run struct {
	Variant  *Variant
	Seed     uint64
	Dir      string
	History  []train.EpochRecord
	Finished bool
	Diverged string  // why it ended with numbers that are not finite; "" if it did not
	work     float64 // multiply-adds of the whole training
	done     float64
}

// studyFile records the choices of a folder's study.
const studyFile = "study.json"

// plan is the content of studyFile: the choices that must be equal to continue.
type plan struct {
	Experiment string            `json:"experiment"`
	Data       string            `json:"data"`
	Images     int               `json:"images,omitempty"`
	TestImages int               `json:"test_images,omitempty"`
	Recipes    map[string]string `json:"recipes"` // by variant
}

// New creates or continues the study of an experiment in opt.Dir.
func New(e *Experiment, opt Options) (*Study, error) {
	s := &Study{Experiment: e, Options: opt}
	if e.defaults != nil {
		e.defaults(&s.Options)
	}
	if s.Seeds < 1 {
		s.Seeds = 1
	}
	if s.Threads < 1 {
		s.Threads = runtime.GOMAXPROCS(0)
	}
	if s.Jobs < 1 {
		s.Jobs = s.Threads // with one thread per run, no thread waits for another
	}
	var err error
	if s.Variants, err = e.variants(&s.Options); err != nil {
		return nil, err
	}
	for _, v := range s.Variants {
		if err := v.Recipe.Valid(); err != nil {
			return nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	sp, err := s.open(s.Data, data.Options{})
	if err != nil {
		return nil, err
	}
	defer sp.Close()
	for _, n := range sp.Notes {
		s.Log.line("%s", n)
	}
	s.Classes, s.Spec, s.counts[0] = sp.Classes(), sp.Spec, sp.Train.Len()
	ev := sp.Eval()
	if ev == nil {
		return nil, fmt.Errorf("%s has no part to test on: val or test is needed", sp.Spec)
	}
	s.counts[1] = ev.Len()
	if err := s.settle(); err != nil {
		return nil, err
	}
	for i := range s.Variants {
		v := &s.Variants[i]
		work, err := s.work(v)
		if err != nil {
			return nil, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		for seed := uint64(1); seed <= uint64(s.Seeds); seed++ {
			r := &Run{Variant: v, Seed: seed, Dir: filepath.Join(s.Dir, "runs", fmt.Sprintf("%s-s%d", v.Name, seed)), work: work}
			if err := r.look(); err != nil {
				return nil, err
			}
			s.Runs = append(s.Runs, r)
		}
	}
	return s, nil
}

// settle checks that the folder holds the same study, or starts it there.
func (s *Study) settle() error {
	p := plan{Experiment: s.Name, Data: s.Data, Images: s.Images, TestImages: s.TestImages, Recipes: map[string]string{}}
	for _, v := range s.Variants {
		text, err := v.Recipe.YAML()
		if err != nil {
			return err
		}
		p.Recipes[v.Name] = string(text)
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "runs"), 0o755); err != nil {
		return fmt.Errorf("folder of the study: %w", err)
	}
	path := filepath.Join(s.Dir, studyFile)
	b, err := limitread.File(path, maxRecord)
	if err == nil {
		var old plan
		if err := json.Unmarshal(b, &old); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if d := p.differs(old); d != "" {
			return fmt.Errorf("%s holds another study (%s): name another folder by --out, or repeat the choices of that study", s.Dir, d)
		}
		for name, text := range old.Recipes { // of depths that are not chosen this time
			if p.Recipes[name] == "" {
				p.Recipes[name] = text
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b, err = json.MarshalIndent(p, "", "  "); err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(append(b, '\n')); return err })
}

// differs describes how old is another study, "" if it is not.
func (p plan) differs(old plan) string {
	switch {
	case p.Experiment != old.Experiment:
		return fmt.Sprintf("%s, not %s", old.Experiment, p.Experiment)
	case p.Data != old.Data:
		return fmt.Sprintf("on %q, not %q", old.Data, p.Data)
	case p.Images != old.Images || p.TestImages != old.TestImages:
		return fmt.Sprintf("of %d and %d pictures, not %d and %d", old.Images, old.TestImages, p.Images, p.TestImages)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Recipes)) {
		text := p.Recipes[name]
		if before, ok := old.Recipes[name]; ok && before != text {
			return fmt.Sprintf("%s by another recipe", name)
		}
	}
	return ""
}

// open opens the data and takes the chosen numbers of pictures.
func (s *Study) open(spec string, opt data.Options) (*data.Splits, error) {
	open := s.Open
	if open == nil {
		open = data.Open
	}
	sp, err := open(spec, opt)
	if err != nil {
		return nil, err
	}
	if sp.Train == nil {
		sp.Close()
		return nil, fmt.Errorf("%s has no training part", sp.Spec)
	}
	if s.Images > 0 {
		sp.Train = firstOfEach(sp.Train, s.Images)
		sp.Spec += fmt.Sprintf(", the first %d of each class", s.Images/len(sp.Classes()))
	}
	if s.TestImages > 0 {
		for _, part := range []*data.Dataset{&sp.Val, &sp.Test} {
			if *part != nil {
				*part = firstOfEach(*part, s.TestImages)
			}
		}
	}
	return sp, nil
}

// firstOfEach takes n samples, the first of each class.
func firstOfEach(ds data.Dataset, n int) data.Dataset {
	each := max(1, n/len(ds.Classes()))
	taken := make([]int, len(ds.Classes()))
	var index []int
	for i := range ds.Len() {
		if l := ds.Labels(i); len(l) > 0 && taken[l[0]] < each {
			taken[l[0]]++
			index = append(index, i)
		}
	}
	return data.Subset(ds, index)
}

// network builds a variant's network for the study's data, without values.
func (s *Study) network(v *Variant) (*models.Model, data.Preprocess, error) {
	prep, err := v.Recipe.Input()
	if err != nil {
		return nil, prep, err
	}
	net, err := models.New(v.Recipe.Model, models.Classes(len(s.Classes)), models.InChannels(prep.Channels), models.InputSize(prep.Width))
	return net, prep, err
}

// work estimates a run's multiply-adds: three times the forward pass for each
// picture.
func (s *Study) work(v *Variant) (float64, error) {
	net, prep, err := s.network(v)
	if err != nil {
		return 0, err
	}
	rows, err := nn.Summarize(net, graph.F32(1, prep.Channels, prep.Height, prep.Width))
	if err != nil {
		return 0, err
	}
	images := float64(v.Recipe.Epochs) * float64(s.counts[0])
	if v.Recipe.Iterations > 0 {
		images = float64(v.Recipe.Iterations * v.Recipe.BatchSize)
	}
	if v.Recipe.SSL != nil { // two views
		images *= 2
	}
	return 3 * float64(rows[0].MACs) * images, nil
}

// steps estimates the updates of an epoch, until one has shown them.
func (s *Study) steps(v *Variant) int {
	r := v.Recipe
	if r.Iterations > 0 && r.Epochs > 0 {
		return max(1, r.Iterations/r.Epochs)
	}
	return max(1, s.counts[0]/max(1, r.BatchSize))
}

// maxRecord is the limit of the files that a study writes for itself.
const maxRecord = 64 << 20

// divergedFile records why a run ended early.
const divergedFile = "diverged.txt"

// look reads the progress of the run.
func (r *Run) look() error {
	if b, err := limitread.File(filepath.Join(r.Dir, divergedFile), maxRecord); err == nil {
		r.Diverged, r.Finished = strings.TrimSpace(string(b)), true
	}
	st, err := train.ReadStatus(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	want, err := bare(r.Variant.Recipe)
	if err != nil {
		return err
	}
	is, err := bare(st.Recipe)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, is) || st.Seed != r.Seed || st.Recipe.Model != r.Variant.Recipe.Model {
		return fmt.Errorf("%s holds a run of another recipe, model or seed: remove it, or name another folder by --out", r.Dir)
	}
	r.History = st.History
	r.Finished = r.Finished || st.Finished
	return nil
}

// bare returns a recipe without the keys that do not change the training.
func bare(r *train.Recipe) ([]byte, error) {
	c := *r
	c.Name, c.About, c.Model, c.Checkpoint = "", "", "", train.Checkpoint{}
	return c.YAML()
}

// Train trains the runs that are not finished. A run whose numbers are no longer
// finite is a result, too. Other errors end the study, which can be continued.
func (s *Study) Train(ctx context.Context) error {
	var todo []*Run
	var total, done float64
	for _, r := range s.Runs {
		total += r.work
		if r.Finished {
			done += r.work
		} else {
			todo = append(todo, r)
		}
	}
	if len(todo) < len(s.Runs) {
		s.Log.line("%d of %d runs are there already", len(s.Runs)-len(todo), len(s.Runs))
	}
	// By seed, so that a study that is stopped has all variants; within a seed the
	// longest runs first, so that the threads end together.
	slices.SortStableFunc(todo, func(a, b *Run) int {
		if a.Seed != b.Seed {
			return int(a.Seed) - int(b.Seed)
		}
		if a.work > b.work {
			return -1
		}
		return 1
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	tell := func(r *Run, share float64) {
		mu.Lock()
		defer mu.Unlock()
		done += (share - r.done) * r.work
		r.done = share
		if s.Log.Work != nil {
			s.Log.Work(done, total)
		}
	}
	jobs := min(s.Jobs, len(todo))
	queue := make(chan *Run)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for r := range queue {
				if err := s.train(ctx, r, max(1, s.Threads/jobs), tell); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, r := range todo {
		select {
		case queue <- r:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func (s *Study) train(ctx context.Context, r *Run, threads int, tell func(*Run, float64)) error {
	_, err := os.Stat(filepath.Join(r.Dir, train.LastFile))
	cfg := train.Config{
		Data: s.Data, Open: s.open, Out: r.Dir, Threads: threads, Resume: err == nil,
		SkipCheck: true, Command: s.Command,
	}
	if !cfg.Resume {
		cfg.Model, cfg.Recipe, cfg.Seed = r.Variant.Recipe.Model, r.Variant.Recipe, r.Seed
	}
	epochs := max(1, r.Variant.Recipe.Epochs)
	steps, exact := s.steps(r.Variant), false // of an epoch
	every := &seldom{}
	cfg.Log.Event = func(e train.Event) {
		switch {
		case e.Epoch != nil:
			steps, exact = e.Epoch.Step/e.Epoch.Epoch, true
			every.reset()
			tell(r, float64(e.Epoch.Epoch)/float64(epochs))
			text := fmt.Sprintf("loss %.3f", e.Epoch.Train.Loss)
			if v := trainError(*e.Epoch); !math.IsNaN(v) {
				text = fmt.Sprintf("training error %.2f %%", 100*v)
			}
			if v := testError(*e.Epoch); !math.IsNaN(v) {
				text += fmt.Sprintf(", test error %.2f %%", 100*v)
			} else if m := e.Epoch.Val; m != nil && m.KNN != nil {
				text += fmt.Sprintf(", nearest neighbors %.2f %% right", 100**m.KNN)
			}
			s.Log.line("%s, seed %d: epoch %d of %d, %s", r.Variant.Name, r.Seed, e.Epoch.Epoch, epochs, text)
		case e.Step != nil:
			share := float64(e.Step.Step) / float64(steps*epochs)
			if !exact { // not more than an epoch
				share = min(share, float64(e.Step.Epoch)/float64(epochs))
			}
			tell(r, min(1, share))
			if every.due() {
				s.Log.line("%s, seed %d: epoch %d of %d, update %d of about %d, loss %.3f", r.Variant.Name, r.Seed, e.Step.Epoch, epochs, e.Step.Step-steps*(e.Step.Epoch-1), steps, e.Step.Loss)
			}
		}
	}
	res, err := train.Run(ctx, cfg)
	var diverged *train.Diverged
	switch {
	case errors.As(err, &diverged):
		r.Diverged = diverged.Error()
		s.Log.line("%s, seed %d diverged: %v", r.Variant.Name, r.Seed, err)
		err = atomicfile.Write(filepath.Join(r.Dir, divergedFile), func(w io.Writer) error {
			_, err := io.WriteString(w, r.Diverged+"\n")
			return err
		})
	case err != nil:
		return fmt.Errorf("%s, seed %d: %w", r.Variant.Name, r.Seed, err)
	}
	if res != nil {
		r.History = res.History
	}
	r.Finished = err == nil
	tell(r, 1)
	return err
}
