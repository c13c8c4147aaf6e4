package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// state is where a run is: all that the next step depends on besides the
// tensors, the recipe and the data. It travels in the checkpoint as JSON, whose
// numbers come back to the same bits.
type state struct {
	Epoch   int           `json:"epoch"` // in progress, from 0
	Step    int           `json:"step"`  // updates done in it
	Update  int           `json:"update"`
	Sums    tally         `json:"sums"` // of the epoch in progress
	Gate    *gateState    `json:"gate,omitempty"`
	Best    *EpochRecord  `json:"best,omitempty"`
	Waited  int           `json:"waited,omitempty"` // evaluations since Best
	Stopped string        `json:"stopped,omitempty"`
	History []EpochRecord `json:"history,omitempty"`
	SkipBad bool          `json:"skip_bad,omitempty"`
	// Checked is the hash of all parts of the data when every picture was
	// looked at; empty if that was left out.
	Checked string `json:"checked,omitempty"`
}

// gateState is the progress of a [Gate]: the hits of the newest steps.
type gateState struct {
	Open bool  `json:"open"`
	Hits []int `json:"hits,omitempty"`
}

// session is one run of training from its start or a checkpoint.
type session struct {
	rec     *Recipe
	seed    uint64
	skipBad bool
	keys    *weights.KeyMap // of Config
	out     string
	depth   int // 0 if not known
	meta    weights.Meta
	hash    string // of the training part, as it is now; may be empty
	notes   []string

	splits    *data.Splits
	ownSplits bool
	prep      data.Preprocess
	module    nn.Module
	threads   int
	vars      *engine.Vars
	bf16      engine.BF16
	prog      *program
	train     *data.Loader
	eval      *evaluator // nil without validation
	// loading is the context of the training part's loader, which does not see
	// that of the run: the step in progress is to be finished.
	loading     context.Context
	stopLoading context.CancelFunc

	perEpoch, total, epochs int // updates an epoch, updates in all, epochs
	clock                   clock
	state                   state
	counted                 map[string]int64 // num_batches_tracked before the run

	log     *logger
	results *results // nil without Out
	saved   time.Time
	began   time.Time
	trained time.Duration // in training steps and in waiting for their data, of this session
	waited  time.Duration // for data, of trained
	images  int           // trained on in this session
	unsaved *weights.File // the best model, where it could not be written yet
}

func (s *session) close() {
	if s.loading != nil {
		s.stopLoading()
		s.train.Close()
		if s.eval != nil {
			s.eval.loader.Close()
		}
	}
	s.results.close() // after an error that matters more
	if s.ownSplits {
		s.splits.Close()
	}
}

// start fills the variables and compiles.
func (s *session) start(from *weights.File) error {
	for _, e := range nn.StateDict(s.module) {
		if err := s.vars.Set(e.Name, e.Param.Value); err != nil {
			return err
		}
		e.Param.Value = nil // the engine has its own copy
	}
	if from != nil {
		for name, t := range from.State {
			if err := s.vars.Set(name, t); err != nil {
				return err
			}
		}
	}
	if err := s.prog.compile(); err != nil {
		return err
	}
	if err := s.schedule(); err != nil {
		return err
	}
	s.counted = map[string]int64{}
	for _, key := range s.prog.counters {
		t, err := s.vars.Get(key)
		if err != nil {
			return err
		}
		s.counted[key] = t.Int64s()[0] - int64(s.state.Update*s.prog.accumulate)
	}
	if s.out == "" {
		return nil
	}
	var err error
	s.results, err = openResults(s.out, &s.state, s.meta)
	return err
}

// schedule works out how long the run is.
func (s *session) schedule() error {
	batches := s.train.Steps()
	s.perEpoch = batches / s.prog.accumulate
	if s.perEpoch == 0 {
		return fmt.Errorf("accumulate is %d, but an epoch has only %d batches of %d", s.prog.accumulate, batches, s.rec.BatchSize)
	}
	s.clock = clock{unit: s.perEpoch, batch: s.rec.BatchSize * s.prog.accumulate}
	if s.rec.Iterations > 0 {
		s.total, s.clock.unit = s.rec.Iterations, 1
	} else {
		s.total = s.rec.Epochs * s.perEpoch
	}
	s.clock.total = s.total
	s.epochs = (s.total + s.perEpoch - 1) / s.perEpoch
	if g := s.rec.LR.Gate; g != nil && s.state.Gate == nil && s.depth >= g.FromDepth {
		s.state.Gate = &gateState{}
	}
	return nil
}

// updatesIn returns the number of updates of an epoch; the last may be short.
func (s *session) updatesIn(epoch int) int { return min(s.perEpoch, s.total-epoch*s.perEpoch) }

// lr returns the learning rate of the next update.
func (s *session) lr() float64 {
	if g := s.state.Gate; g != nil && !g.Open {
		return s.rec.LR.Gate.LR
	}
	return s.rec.LR.at(s.state.Update, s.clock)
}

func (s *session) run(ctx context.Context) (*Result, error) {
	s.loading, s.stopLoading = context.WithCancel(context.WithoutCancel(ctx))
	s.began, s.saved = time.Now(), time.Now()
	err := s.epochsFrom(ctx)
	r := s.result()
	if err != nil {
		return r, err
	}
	return r, s.results.close()
}

func (s *session) epochsFrom(ctx context.Context) error {
	for s.state.Epoch < s.epochs && s.state.Stopped == "" {
		if err := s.epoch(ctx); err != nil {
			return err
		}
		rec := EpochRecord{Epoch: s.state.Epoch + 1, Step: s.state.Update, Train: s.state.Sums.metrics()}
		rec.LR = s.lastLR()
		if s.eval != nil && s.due() {
			val, err := s.evaluate(ctx)
			if err != nil {
				return err
			}
			rec.Val = &val
		}
		if err := s.endEpoch(rec); err != nil {
			return err
		}
	}
	return nil
}

// lastLR is the rate of the update before.
func (s *session) lastLR() float64 {
	if g := s.state.Gate; g != nil && !g.Open {
		return s.rec.LR.Gate.LR
	}
	return s.rec.LR.at(max(0, s.state.Update-1), s.clock)
}

func (s *session) due() bool {
	return (s.state.Epoch+1)%max(1, s.rec.EvalEvery) == 0 || s.state.Epoch+1 == s.epochs
}

// epoch trains to the end of the epoch in progress.
func (s *session) epoch(ctx context.Context) error {
	acc := s.prog.accumulate
	updates := s.updatesIn(s.state.Epoch)
	s.log.startEpoch(s.state.Epoch+1, s.epochs, s.state.Step*s.clock.batch, updates*s.clock.batch)
	defer s.log.endEpoch()
	if s.state.Step >= updates {
		return nil
	}
	first, last := s.state.Step*acc, updates*acc-1 // batches
	micro, began, asked := 0, time.Now(), time.Now()
	for b, err := range s.train.Epoch(s.loading, s.state.Epoch, first) {
		if err != nil {
			return err
		}
		if b.Step == max(first, last-s.train.Prefetch()) {
			s.prepareNext()
		}
		if micro == 0 && ctx.Err() != nil {
			return s.interrupted(ctx)
		}
		s.waited += time.Since(asked)
		s.log.waited(time.Since(asked))
		micro++
		plan := s.prog.update
		if micro < acc {
			plan = s.prog.add
		}
		if err := s.step(b, plan, micro-1); err != nil {
			return err
		}
		s.images += b.N
		if micro < acc {
			asked = time.Now()
			continue
		}
		micro = 0
		s.trained += time.Since(began)
		if err := s.saveIfDue(); err != nil {
			return err
		}
		if s.state.Step == updates {
			break
		}
		began = time.Now()
		asked = began
	}
	if ctx.Err() != nil {
		return s.interrupted(ctx)
	}
	return nil
}

// prepareNext has the first batches made of what follows the training of this
// epoch, while its last steps run.
func (s *session) prepareNext() {
	if s.eval != nil && s.due() {
		s.eval.loader.Prepare(s.loading, 0, 0)
	} else {
		s.prepareEpoch()
	}
}

// prepareEpoch has the first batches of the next epoch made.
func (s *session) prepareEpoch() {
	if s.state.Epoch+1 < s.epochs {
		s.train.Prepare(s.loading, s.state.Epoch+1, 0)
	}
}

// step runs a plan on a batch and counts.
func (s *session) step(b *data.Batch, plan *stepPlan, micro int) error {
	st, lr := &s.state, s.lr()
	draw := st.Update*s.prog.accumulate + micro
	if err := plan.run(s.prog, b, lr, s.decay(), s.seed, draw, st.Update+1); err != nil {
		return fmt.Errorf("epoch %d, step %d: %w", st.Epoch+1, st.Update+1, err)
	}
	loss := float64(plan.loss.Float32s()[0])
	if what := notFinite("the loss", loss); what != "" {
		return s.diverged(what, lr)
	}
	if plan.norm != nil {
		if what := notFinite("the norm of the gradients", float64(plan.norm.Float32s()[0])); what != "" {
			return s.diverged(what, lr)
		}
	}
	hits := 0
	if b.Labels != nil {
		hits = st.Sums.count(plan.logits.Float32s(), b.Labels, b.N, s.prog.classes)
	} else {
		st.Sums.Samples += b.N
	}
	st.Sums.Loss += loss
	st.Sums.Batches++
	if plan == s.prog.update {
		st.Update++
		st.Step++
	}
	s.gate(hits)
	if plan == s.prog.update {
		step := StepRecord{Epoch: st.Epoch + 1, Step: st.Update, LR: lr, Loss: loss, Top1: float64(hits) / float64(b.N)}
		s.log.step(step, st.Sums.metrics(), s.clock.batch)
		return s.tolerate(s.results.step(step))
	}
	return nil
}

// decay returns the decay of the moving averages at the next update: during the
// warm-up they just follow, as the weights of the start are of no use.
func (s *session) decay() float64 {
	switch e, next := s.rec.EMA, s.state.Update; {
	case e == nil:
		return 0
	case next < s.clock.steps(s.rec.LR.Warmup):
		return 0
	case (next+1)%max(1, e.Every) != 0:
		return 1
	default:
		return e.Decay
	}
}

// gate opens when the error over the newest batches has fallen enough.
func (s *session) gate(hits int) {
	g := s.state.Gate
	if g == nil || g.Open {
		return
	}
	g.Hits = append(g.Hits, hits)
	if len(g.Hits) > gateWindow {
		g.Hits = g.Hits[1:]
	}
	sum := 0
	for _, h := range g.Hits {
		sum += h
	}
	wrong := 1 - float64(sum)/float64(gateWindow*s.rec.BatchSize)
	if len(g.Hits) == gateWindow && wrong < s.rec.LR.Gate.UntilError {
		g.Open, g.Hits = true, nil
		s.log.note("training error below %.0f%% after %d steps: the learning rate goes from %g to the schedule's",
			100*s.rec.LR.Gate.UntilError, s.state.Update, s.rec.LR.Gate.LR)
	}
}

func notFinite(what string, x float64) string {
	switch {
	case math.IsNaN(x):
		return what + " is NaN"
	case math.IsInf(x, 0):
		return what + " is infinite"
	}
	return ""
}

func (s *session) diverged(what string, lr float64) error {
	return &Diverged{Epoch: s.state.Epoch + 1, Step: s.state.Update + 1, LR: lr, What: what, Checkpoint: s.existing(LastFile)}
}

// interrupted saves the state.
func (s *session) interrupted(ctx context.Context) error {
	e := &Interrupted{Epoch: s.state.Epoch + 1, Step: s.state.Step, Cause: context.Cause(ctx)}
	if s.out != "" {
		if err := s.save(); err != nil {
			return err
		}
		e.Checkpoint = filepath.Join(s.out, LastFile)
	}
	return e
}

// evaluate runs the validation. When ctx ends in the middle, the state at the
// end of the epoch is saved, and resuming evaluates again.
func (s *session) evaluate(ctx context.Context) (Metrics, error) {
	s.log.startEval(s.splits.Eval().Len())
	defer s.log.endEpoch()
	left := s.eval.loader.Steps()
	ahead := min(s.eval.loader.Prefetch(), left-1)
	m, err := s.eval.run(ctx, s.vars, func(samples int) {
		if left--; left == ahead {
			s.prepareEpoch()
		}
		s.log.evaluated(samples)
	})
	if err != nil && ctx.Err() != nil {
		return m, s.interrupted(ctx)
	}
	if err != nil {
		return m, fmt.Errorf("evaluation after epoch %d: %w", s.state.Epoch+1, err)
	}
	if what := notFinite("the validation loss", m.Loss); what != "" {
		return m, s.diverged(what, s.lastLR())
	}
	return m, nil
}

// endEpoch records an epoch, keeps the best model and saves.
func (s *session) endEpoch(rec EpochRecord) error {
	st := &s.state
	st.History = append(st.History, rec)
	isBest := s.judge(rec)
	st.Epoch, st.Step, st.Sums = st.Epoch+1, 0, tally{}
	pace := pace{s.rate(), s.dataWait(), time.Since(s.began)}
	s.log.epoch(rec, s.epochs, isBest, pace, s.remaining())
	if s.out == "" {
		return nil
	}
	if isBest {
		f, err := s.bestFile(rec)
		if err != nil {
			return err
		}
		s.unsaved = f
	}
	if err := s.tolerate(s.save()); err != nil {
		return err
	}
	return s.tolerate(s.results.epoch(rec, st, pace))
}

// pace is how fast a session goes: of no effect on results, so in no
// checkpoint.
type pace struct {
	rate    float64 // images a second
	wait    float64 // share of the training time spent waiting for data
	elapsed time.Duration
}

// dataWait returns the share of the time of training steps in this session
// that was spent waiting for data.
func (s *session) dataWait() float64 {
	if s.trained <= 0 {
		return 0
	}
	return float64(s.waited) / float64(s.trained)
}

// judge updates the best epoch and early stopping; true if rec is the best or
// there is nothing to judge by.
func (s *session) judge(rec EpochRecord) bool {
	st := &s.state
	if s.eval == nil {
		return true
	}
	if rec.Val == nil {
		return false
	}
	delta := 0.0
	if s.rec.EarlyStop != nil {
		delta = s.rec.EarlyStop.MinDelta
	}
	best := better(rec.Val, st.Best, 0)
	if better(rec.Val, st.Best, delta) {
		st.Waited = 0
	} else {
		st.Waited++
	}
	if best {
		r := rec
		st.Best = &r
	}
	if e := s.rec.EarlyStop; e != nil && st.Waited >= e.Patience && st.Epoch+1 < s.epochs {
		st.Stopped = fmt.Sprintf("early stop: no better result in %d evaluations (best epoch %d)", st.Waited, st.Best.Epoch)
	}
	return best
}

// better compares by top-1 or mean average precision, then by loss.
func better(m *Metrics, best *EpochRecord, delta float64) bool {
	if best == nil {
		return true
	}
	a, b := m.Top1+m.MAP, best.Val.Top1+best.Val.MAP
	if a != b {
		return a > b+delta
	}
	return delta == 0 && m.Loss < best.Val.Loss
}

// rate returns the images a second of training steps in this session.
func (s *session) rate() float64 {
	if s.trained <= 0 {
		return 0
	}
	return float64(s.images) / s.trained.Seconds()
}

// remaining estimates the time to the end, by all that was done in this
// session.
func (s *session) remaining() time.Duration {
	done := s.images / s.clock.batch
	if done == 0 {
		return 0
	}
	return time.Duration(float64(time.Since(s.began)) / float64(done) * float64(s.total-s.state.Update))
}

func (s *session) result() *Result {
	st := &s.state
	r := &Result{Epochs: st.Epoch, Steps: st.Update, Best: st.Best, Stopped: st.Stopped, Skipped: len(s.train.Bad()),
		LastFile: s.existing(LastFile), BestFile: s.existing(BestFile),
		Seconds: time.Since(s.began).Seconds(), PerSecond: s.rate(), DataWait: s.dataWait(), History: st.History}
	if n := len(st.History); n > 0 {
		r.Last = st.History[n-1]
	}
	if s.eval != nil {
		r.Skipped += len(s.eval.loader.Bad())
	}
	return r
}

// announce tells what the run is.
func (s *session) announce() {
	for _, n := range s.notes {
		s.log.note("%s", n)
	}
	trainable := 0
	for _, v := range s.prog.trainable {
		trainable += v.Value.Shape.Numel()
	}
	all := nn.NumParams(s.module)
	evalN := "no pictures to evaluate on"
	if ev := s.splits.Eval(); s.eval != nil {
		evalN = fmt.Sprintf("%d to evaluate on", ev.Len())
	}
	s.log.begin("%s: %d parameters (%d trained), %d classes; %s: %d pictures to train on, %s; recipe %s: %d epochs of %d steps of %d, seed %d",
		s.name(), all, trainable, s.prog.classes, s.splits.Spec, s.splits.Train.Len(), evalN,
		s.rec.Name, s.epochs, s.perEpoch, s.clock.batch, s.seed)
	st := &s.state
	if g := st.Gate; g != nil && !g.Open {
		s.log.note("%d layers: the learning rate is %g until the training error is below %.0f%%",
			s.depth, s.rec.LR.Gate.LR, 100*s.rec.LR.Gate.UntilError)
	}
	switch {
	case st.Epoch >= s.epochs || st.Stopped != "":
		s.log.note("the run is complete: there is nothing left to do")
	case st.Update > 0:
		s.log.note("resuming in epoch %d after step %d", st.Epoch+1, st.Step)
	}
}

func (s *session) name() string {
	if n, ok := s.module.(interface{ Kind() string }); ok {
		return n.Kind()
	}
	return fmt.Sprintf("%T", s.module)
}

// fileOf returns a tensor copy of every variable as a model file.
func (s *session) fileOf() (*weights.File, error) {
	f := &weights.File{Meta: s.meta, Tensors: map[string]*tensor.Tensor{}, State: map[string]*tensor.Tensor{}}
	for _, name := range s.vars.Names() {
		if len(name) >= len(accPrefix) && name[:len(accPrefix)] == accPrefix {
			continue
		}
		t, err := s.vars.Get(name)
		if err != nil {
			return nil, err
		}
		if before, ok := s.counted[name]; ok {
			t.Int64s()[0] = before + int64(s.state.Update*s.prog.accumulate)
		}
		if t.DType() == tensor.Float32 {
			for _, x := range t.Float32s() {
				if what := notFinite(name, float64(x)); what != "" {
					return nil, s.diverged(what, s.lastLR())
				}
			}
		}
		if weights.IsState(name) {
			f.State[name] = t
		} else {
			f.Tensors[name] = t
		}
	}
	return f, nil
}
