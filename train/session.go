package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// session is one run of training, from its start or from a checkpoint.
type session struct {
	job          // what is trained, on what
	state  state // where the run is
	loop         // what computes
	meter        // how fast it goes
	output       // what it leaves behind
}

// job is what is trained, on what and how: settled before the first step.
type job struct {
	rec     *Recipe
	group   group
	seed    uint64
	skipBad bool
	bad     map[string]int  // pictures that cannot be decoded, by part, as far as is known
	keys    *weights.KeyMap // of Config
	depth   int             // layers of the network; 0 if not known
	meta    weights.Meta    // of the model files
	hash    string          // of the training part, as it is now; may be empty
	notes   []string        // for the log

	splits    *data.Splits
	ownSplits bool // close closes them
	prep      data.Preprocess
	module    nn.Module
	bf16      engine.BF16
	device    *engine.Device // nil for the processor
	threads   int            // 0 means one per CPU
	workers   int            // that decode; 0 means threads
	teacher   *teacher
	// What FitOptions has and no recipe.
	rate    RateFunc
	onStep  func(StepRecord) error
	onEpoch func(EpochRecord) error
	maxTime time.Duration
	// paused is why the limit of time ended the session; empty if it did not. The state
	// is then that of a run that can go on.
	paused string
	cutOff bool // the limit of time ended the last evaluation
	// partial is the epoch that the limit of time broke off, as far as it was trained.
	partial *EpochRecord
}

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
	Plateau *plateauState `json:"plateau,omitempty"`
	// ValData is Config.ValData.
	ValData string `json:"val_data,omitempty"`
	// Checked is the hash of all parts of the data when every picture was
	// looked at; empty if that was left out.
	Checked string `json:"checked,omitempty"`
	// Bad are the numbers of pictures that could not be decoded then, by part.
	Bad map[string]int `json:"bad,omitempty"`
}

// gateState is the progress of a [Gate].
type gateState struct {
	Open bool  `json:"open"`
	Hits []int `json:"hits,omitempty"` // correct predictions in each of the last gateWindow steps
}

func (s *session) close() {
	s.stop()
	s.results.close() // after an error that matters more
	s.leave()
	if s.ownSplits {
		s.splits.Close()
	}
}

func (s *session) run(ctx context.Context) (*Result, error) {
	s.loading, s.stopLoading = context.WithCancel(context.WithoutCancel(ctx))
	s.began, s.saved = time.Now(), time.Now()
	ctx = s.joint(ctx)
	err := s.epochsFrom(ctx)
	r := s.result()
	if err != nil {
		return r, err
	}
	if err := s.countSkipped(r); err != nil {
		return r, err
	}
	if err := s.linearProbe(ctx, r); err != nil {
		return r, err
	}
	if last := s.last(); last != nil {
		if w := s.collapse(*last); w != "" {
			r.Warnings = append(r.Warnings, w)
		}
	}
	if best := r.Best; best != nil && s.eval != nil {
		if d := doubt(best.Val, s.splits.Eval()); d != "" {
			r.Warnings = append(r.Warnings, d)
		}
	}
	return r, s.results.close()
}

// epochsFrom trains from the epoch in progress to the end, or until the time is up.
func (s *session) epochsFrom(ctx context.Context) error {
	for s.state.Epoch < s.epochs && s.state.Stopped == "" && s.paused == "" {
		if e, ok := s.eval.(*neighborEvaluator); ok {
			e.forget()
		}
		whole, err := s.epoch(ctx)
		if err != nil {
			return err
		}
		rec := EpochRecord{Epoch: s.state.Epoch + 1, Step: s.state.Update, Train: s.state.Sums.metrics()}
		rec.LR = s.lastLR()
		if err := s.stillEqual(); err != nil {
			return err
		}
		late, err := s.outOfTime()
		if err != nil {
			return err
		}
		if s.eval != nil && (s.due() || late) {
			val, err := s.evaluateInTime(ctx)
			if err != nil {
				return err
			}
			rec.Val = val
		}
		if late, err = s.outOfTime(); err != nil {
			return err
		}
		if !whole {
			return s.pause(rec)
		}
		if late && s.state.Epoch+1 < s.epochs {
			s.paused = s.timeIsUp("with epoch %d of %d", s.state.Epoch+1, s.epochs)
		}
		if err := s.endEpoch(rec); err != nil {
			return err
		}
	}
	return nil
}

// pause saves a run whose time is up within an epoch: the epoch stays in progress, and
// rec, its evaluation so far, counts for nothing but the best model.
func (s *session) pause(rec EpochRecord) error {
	rec.Partial = true
	s.partial = &rec
	s.paused = s.timeIsUp("in epoch %d of %d after step %d of %d", rec.Epoch, s.epochs, s.state.Step, s.updatesIn(s.state.Epoch))
	isBest := s.keepBest(rec)
	s.log.partial(rec, s.epochs, isBest, s.pace(), s.remaining())
	if s.out == "" {
		return nil
	}
	return s.saveJudged(rec, isBest)
}

// timeIsUp tells where the limit of time ended the session, and how to continue.
func (s *session) timeIsUp(format string, args ...any) string {
	text := fmt.Sprintf("stopped after %s, the limit of time, ", s.maxTime) + fmt.Sprintf(format, args...)
	if s.out == "" {
		return text + notSaved
	}
	return text + "; " + continued(s.out)
}

// last returns the record of the newest weights that were evaluated, or of the last
// epoch; nil if there is none.
func (s *session) last() *EpochRecord {
	if n := len(s.state.History); s.partial == nil && n > 0 {
		return &s.state.History[n-1]
	}
	return s.partial
}

// outOfTime reports whether the time of the session is up, but for what an evaluation
// needs; on several ranks, by the clock of rank 0.
func (s *session) outOfTime() (bool, error) {
	if s.maxTime <= 0 {
		return false, nil
	}
	all, err := together(s.group, time.Since(s.began)+s.evaluationTime() >= s.maxTime, nil)
	return err == nil && all[0], err
}

// evaluationTime estimates how long an evaluation takes, with what follows it at the end:
// as long as the one before, and half as long as training on these pictures before the
// first.
func (s *session) evaluationTime() time.Duration {
	after, pictures := time.Duration(0), 0.0
	switch e := s.eval.(type) {
	case nil:
		return 0
	case *neighborEvaluator:
		after, pictures = e.probeTime(), float64(e.pictures())/float64(s.rec.SSL.Rows())
	default:
		pictures = float64(s.splits.Eval().Len())
	}
	switch {
	case s.evaluated > 0:
		return s.evaluated + after
	case s.images == 0:
		return 0
	}
	return time.Duration(float64(s.trained)/float64(s.images)*pictures/2) + after
}

// graceTime is the least by which an evaluation may exceed the limit of time, so that
// small data are evaluated even then.
const graceTime = 2 * time.Second

// evaluateInTime is evaluate, but it returns nil, and notes it, if that would take
// much longer than the time of the session.
func (s *session) evaluateInTime(outer context.Context) (*Metrics, error) {
	ctx := outer
	if s.maxTime > 0 && s.group.alone() { // else the ranks would disagree on whether it was cut off
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(outer, s.began.Add(s.maxTime+max(s.maxTime/10, graceTime)))
		defer cancel()
	}
	began := time.Now()
	m, err := s.evaluate(ctx, outer)
	switch {
	case err != nil && ctx.Err() != nil && outer.Err() == nil:
		s.evaluated, s.cutOff = time.Since(began), true
		s.log.note("the evaluation of epoch %d was cut off after %s by the limit of time, %s%s", s.state.Epoch+1, s.evaluated.Round(time.Millisecond), s.maxTime, s.evaluatedBy())
		return nil, nil
	case err != nil:
		return nil, err
	}
	s.evaluated = time.Since(began)
	return &m, nil
}

// evaluatedBy tells the command that evaluates the model of the run, as the end of a
// sentence; "" if no file is written.
func (s *session) evaluatedBy() string {
	if s.out == "" {
		return ""
	}
	command := "eval"
	if s.rec.SSL != nil { // a backbone, whose features are judged
		command = "linear"
	}
	words := []string{"resnet", command, "--model", filepath.Join(s.out, LastFile)}
	if s.splits.Spec != "" {
		words = append(words, "--data", s.splits.Spec)
	}
	return ": " + term.Quote(words...) + " evaluates the model"
}

// due reports whether the epoch in progress ends with an evaluation.
func (s *session) due() bool {
	return (s.state.Epoch+1)%max(1, s.rec.EvalEvery) == 0 || s.state.Epoch+1 == s.epochs
}

// endEpoch records an epoch, keeps the best model and saves.
func (s *session) endEpoch(rec EpochRecord) error {
	st := &s.state
	st.History = append(st.History, rec)
	isBest := s.judge(rec)
	s.lowerRate(rec)
	st.Epoch, st.Step, st.Sums = st.Epoch+1, 0, tally{}
	pace := s.pace()
	s.log.epoch(rec, s.epochs, isBest, pace, s.remaining())
	if w := s.collapse(rec); w != "" && st.Epoch < s.epochs && (len(st.History) < 2 || s.collapse(st.History[len(st.History)-2]) == "") {
		s.log.note("warning: %s", w) // where it begins; the result tells how it ended
	}
	if s.onEpoch != nil {
		if err := s.stopped(s.onEpoch(rec)); err != nil {
			return err
		}
	}
	if s.out == "" {
		return nil
	}
	if err := s.saveJudged(rec, isBest); err != nil {
		return err
	}
	if err := s.tolerate(s.keep(rec)); err != nil {
		return err
	}
	return s.tolerate(s.results.epoch(rec, st, pace))
}

// saveJudged saves the run after rec, which may be the best so far.
func (s *session) saveJudged(rec EpochRecord, isBest bool) error {
	if isBest {
		f, err := s.bestFile(rec)
		if err != nil {
			return err
		}
		s.unsaved = f
	}
	return s.tolerate(s.save())
}

// keepBest makes rec the best epoch if it is better. It reports whether it is, or there
// is nothing to judge by.
func (s *session) keepBest(rec EpochRecord) bool {
	if s.eval == nil {
		return true
	}
	if rec.Val == nil || !better(rec.Val, s.state.Best, 0) {
		return false
	}
	s.state.Best = &rec
	return true
}

// judge updates the best epoch and early stopping. It reports what keepBest does.
func (s *session) judge(rec EpochRecord) bool {
	st := &s.state
	if s.eval == nil || rec.Val == nil {
		return s.keepBest(rec)
	}
	delta := 0.0
	if s.rec.EarlyStop != nil {
		delta = s.rec.EarlyStop.MinDelta
	}
	if better(rec.Val, st.Best, delta) {
		st.Waited = 0
	} else {
		st.Waited++
	}
	best := s.keepBest(rec)
	if e := s.rec.EarlyStop; e != nil && !s.warmingHead() && st.Waited >= e.Patience && st.Epoch+1 < s.epochs {
		st.Stopped = fmt.Sprintf("early stop: no better result in %s (best epoch %d)", term.Plural(st.Waited, "evaluation"), st.Best.Epoch)
	}
	return best
}

// stopped turns ErrStop of a callback into the end of the run.
func (s *session) stopped(err error) error {
	if errors.Is(err, ErrStop) {
		s.state.Stopped = "stopped by a callback"
		return nil
	}
	return err
}

// lowerRate is a step of a plateau schedule.
func (s *session) lowerRate(rec EpochRecord) {
	loss := rec.Train.Loss
	switch {
	case rec.Val != nil:
		loss = rec.Val.Loss
	case s.eval != nil:
		return
	}
	if s.state.plateau(&s.rec.LR, loss) {
		s.log.note("the loss no longer falls: the learning rate goes down to %.3g", s.rec.LR.Peak*s.state.Plateau.Scale)
	}
}

// better compares by top-1 or mean average precision, then by loss.
func better(m *Metrics, best *EpochRecord, delta float64) bool {
	if best == nil {
		return true
	}
	a, b := m.Score(), best.Val.Score()
	if a != b {
		return a > b+delta
	}
	return delta == 0 && m.Loss < best.Val.Loss
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

func (s *session) result() *Result {
	st, pace := &s.state, s.pace()
	r := &Result{Epochs: st.Epoch, Steps: st.Update, Best: st.Best, Stopped: cmp.Or(st.Stopped, s.paused), Skipped: len(s.train.Bad()),
		LastFile: s.existing(LastFile), BestFile: s.existing(BestFile),
		Seconds: pace.elapsed.Seconds(), PerSecond: pace.rate, DataWait: pace.wait, History: st.History}
	if last := s.last(); last != nil {
		r.Last = *last
	}
	if s.eval != nil {
		r.EvaluatedOn = s.evalPart()
		r.Skipped += s.eval.skipped()
	}
	return r
}

// countSkipped adds the pictures to a result that other ranks could not decode. Ranks may
// have met the same ones in training; in evaluation each has its own.
func (s *session) countSkipped(r *Result) error {
	type skipped struct {
		Train []int
		Eval  int
	}
	var own skipped
	for _, b := range s.train.Bad() {
		own.Train = append(own.Train, b.Index)
	}
	if s.eval != nil {
		own.Eval = s.eval.skipped()
	}
	all, err := together(s.group, own, nil)
	if err != nil {
		return err
	}
	r.Skipped = 0
	seen := map[int]bool{}
	for _, o := range all {
		r.Skipped += o.Eval
		for _, i := range o.Train {
			seen[i] = true
		}
	}
	r.Skipped += len(seen)
	return nil
}

// remaining estimates the time to the end from the pace of this session.
func (s *session) remaining() time.Duration {
	done := s.images / s.clock.batch
	if done == 0 {
		return 0
	}
	return time.Duration(float64(time.Since(s.began)) / float64(done) * float64(s.total-s.state.Update))
}
