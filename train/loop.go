package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// loop is what computes: the compiled step, what feeds it, and how long it goes
// on.
type loop struct {
	step *Step
	head *Step        // trains the last layer alone, see Finetune.WarmHead; nil if there is no such phase
	vars *engine.Vars // of step
	// inputs are those of a detector, and steps its steps for each of them, with one set
	// of values.
	inputs []detection.Shape
	steps  map[detection.Shape]*Step
	train  feed
	eval   evaluator // nil without validation
	// loading is the context of the training part's loader, which does not see
	// that of the run: the step in progress is to be finished.
	loading     context.Context
	stopLoading context.CancelFunc

	start                   position // before the first step of the run
	perEpoch, total, epochs int      // updates per epoch, updates and epochs at the end
	clock                   clock
	sum, headSum            *summing // of step and head, with shards
	// own is the context of this process; stopAll ends that of all ranks.
	own     context.Context
	stopAll context.CancelCauseFunc
	counted map[string]int64 // num_batches_tracked before the run
}

// position is how far training was.
type position struct{ epoch, update int }

// stop ends loading.
func (l *loop) stop() {
	if l.loading == nil || l.train == nil {
		return
	}
	l.stopLoading()
	l.train.Close()
	if l.eval != nil {
		l.eval.close()
	}
}

// build makes loaders, variables and plans. state holds the optimizer's slots
// and the averages of a run that is continued; nil starts fresh.
func (s *session) build(state map[string]*tensor.Tensor) error {
	rec := s.rec
	opt := StepOptions{
		Optimizer: rec.Optimizer, EMA: rec.EMA != nil || rec.SWA != nil, Lookahead: rec.EMA != nil && rec.EMA.Lookahead, Accumulate: rec.Accumulate, Recompute: rec.Recompute,
		Compute: s.compute(s.bf16),
	}
	load := s.load
	if rec.Detect != nil {
		load = s.loadObjects
	}
	err := load(&opt)
	if err != nil {
		return err
	}
	if rec.EarlyStop != nil && s.eval == nil {
		s.notes = append(s.notes, "early_stop (--patience) has no effect, because there is nothing to evaluate on")
	}
	if err := s.fill(state); err != nil {
		return err
	}
	opt.Vars, opt.shards, opt.synchronized = s.vars, rec.Shards, s.synchronized()
	if rec.Finetune != nil {
		opt.BodyLR = rec.Finetune.BackboneLR
	}
	opt.AuxLR, opt.NormBiasLR = rec.LR.Aux, rec.LR.NormBias
	if s.teacher != nil {
		opt.Teacher = &Teaching{Weight: orDefault(rec.Distill.Weight, 0.5), Temperature: orDefault(rec.Distill.Temperature, 4)}
	}
	if s.step, err = NewStep(s.module, opt); err != nil {
		return err
	}
	if err := s.stepsOfInputs(opt); err != nil {
		return err
	}
	if err := s.warmHead(opt); err != nil {
		return err
	}
	if rec.Shards > 0 {
		s.sum = newSumming(s.group, s.step, rec.Shards)
		if s.head != nil {
			s.headSum = newSumming(s.group, s.head, rec.Shards)
		}
	}
	if err := s.schedule(); err != nil {
		return err
	}
	if err := s.countBatches(); err != nil {
		return err
	}
	if s.out == "" {
		return nil
	}
	s.results, err = openResults(s.out, &s.state, s.meta, s.step.csvHead())
	return err
}

// compute is how the network is computed.
func (j *job) compute(bf16 engine.BF16) infer.Options {
	return infer.Options{Threads: j.threads, Exact: j.rec.Exact, BF16: bf16, Device: j.device}
}

// sendAhead returns what sends the pictures of a batch to the device while another is
// computed there. If that fails, the step tries again and has the error.
func (j *job) sendAhead() func(*data.Batch) {
	if j.device == nil {
		return nil
	}
	return func(b *data.Batch) {
		if x, err := tensor.FromNHWC(b.X, b.N, b.C, b.H, b.W); err == nil {
			_ = j.device.Stage(x)
		}
	}
}

// load makes the loaders of pictures with labels or masks, and sets what a step
// depends on.
func (s *session) load(opt *StepOptions) error {
	rec, sp := s.rec, s.splits
	train := s.prep
	if rec.TrainSize > 0 {
		train.Width, train.Height = rec.TrainSize, rec.TrainSize
	}
	loss, err := rec.Loss.on(sp.Train, sp.Spec)
	if err != nil {
		return err
	}
	batch := rec.shardSize()
	opt.Input = tensor.Shape{batch, train.Channels, train.Height, train.Width}
	opt.Classes, opt.Loss, opt.SoftTargets, opt.Inputs = len(sp.Classes()), loss, rec.Augment.Mixes(), data.Inputs(sp.Train)
	if rec.SSL != nil {
		opt.Input[0] *= rec.SSL.Rows()
		opt.Classes, opt.Loss = 0, nil
		if rec.SSL.FixPredictorLR {
			opt.FixedLR = predictorPath
		}
	}
	common := data.LoaderConfig{Seed: s.seed, SkipBad: s.skipBad, Workers: s.threads}
	if s.workers > 0 {
		common.Workers = s.workers
	}
	lc := common
	lc.BatchSize, lc.Preprocess, lc.Augment, lc.SoftTargets = batch, train, &rec.Augment, loss.bce()
	lc.Shuffle, lc.Balanced, lc.Last = true, rec.Balanced, data.Drop
	rec.views(&lc)
	lc.Made, lc.Part = s.sendAhead(), s.shardPart()
	l, err := data.NewLoader(sp.Train, lc)
	if err != nil {
		return fmt.Errorf("training part of %s: %w", sp.Spec, err)
	}
	s.train = labelFeed{l}
	ev := sp.Eval()
	if ev == nil || ev.Len() == 0 {
		return nil
	}
	ec := common
	ec.BatchSize, ec.Preprocess, ec.Made = rec.EvalBatch, s.prep, s.sendAhead()
	if ec.BatchSize == 0 {
		ec.BatchSize = rec.BatchSize
	}
	if net := withoutLabels(s.module); net != nil {
		e, err := newNeighborEvaluator(net.Model, sp, ec, s.compute(engine.BF16Off), s.group)
		if err != nil {
			return fmt.Errorf("validation part of %s: %w", sp.Spec, err)
		}
		if e != nil { // else there are no labels to evaluate by
			s.eval = e
		}
		return nil
	}
	if s.eval, err = newEvaluator(s.module, ev, ec, s.compute(engine.BF16Off), s.group); err != nil {
		return fmt.Errorf("validation part of %s: %w", sp.Spec, err)
	}
	if e, ok := s.eval.(*pictureEvaluator); ok {
		e.mirror = rec.EvalMirror
	}
	return nil
}

// fill gives the variables their values.
func (s *session) fill(state map[string]*tensor.Tensor) error {
	s.vars = engine.NewVars()
	for _, e := range nn.Params(s.module) {
		if err := s.vars.Set(e.Name, e.Param.Value); err != nil {
			return err
		}
		e.Param.Value = nil // the engine has its own copy
	}
	for name, t := range state {
		if err := s.vars.Set(name, t); err != nil {
			return err
		}
	}
	return nil
}

// countBatches notes num_batches_tracked, which no plan counts.
func (s *session) countBatches() error {
	s.counted = map[string]int64{}
	for _, key := range s.step.counters {
		t, err := s.vars.Get(key)
		if err != nil {
			return err
		}
		s.counted[key] = t.Int64s()[0] - s.tracked()
	}
	return nil
}

// tracked returns the number of batches that batch norms have seen in this run: all
// but those of the epochs that train the last layer alone.
func (s *session) tracked() int64 {
	updates := s.state.Update
	if s.head != nil {
		updates = max(s.start.update, updates-s.rec.Finetune.WarmHead*s.perEpoch)
	}
	return int64(updates * s.step.accumulate)
}

// value returns a copy of a variable as it is now.
func (s *session) value(name string) (*tensor.Tensor, error) {
	t, err := s.vars.Get(name)
	if err != nil {
		return nil, err
	}
	if before, ok := s.counted[name]; ok {
		t.Int64s()[0] = before + s.tracked()
	}
	return t, nil
}

// schedule works out how long the run is.
func (s *session) schedule() error {
	batches, acc := s.train.Steps(), s.step.accumulate
	s.perEpoch = batches / s.step.batches()
	if n := s.step.shards; s.perEpoch == 0 && n > 0 {
		return fmt.Errorf("an epoch has only %d of the %d shards of a batch of %d: give a smaller batch_size", batches, n, s.rec.BatchSize)
	}
	if s.perEpoch == 0 {
		return badKey("accumulate", "an update of %d batches is more than an epoch has, %s of %d", acc, term.Plural(batches, "batch"), s.rec.BatchSize)
	}
	s.clock = clock{unit: s.perEpoch, batch: s.rec.BatchSize * acc}
	if s.rec.Iterations > 0 {
		s.clock.total, s.clock.unit = s.rec.Iterations, 1
	} else {
		s.clock.total = s.rec.Epochs * s.perEpoch
	}
	s.total = s.start.update + s.clock.total
	s.epochs = s.start.epoch + (s.clock.total+s.perEpoch-1)/s.perEpoch
	if g := s.rec.LR.Gate; g != nil && s.state.Gate == nil && s.depth >= g.FromDepth {
		s.state.Gate = &gateState{}
	}
	return nil
}

// updatesIn returns the number of updates of an epoch; the last may be short.
func (l *loop) updatesIn(epoch int) int {
	return min(l.perEpoch, l.clock.total-(epoch-l.start.epoch)*l.perEpoch)
}

// lr returns the learning rate of the next update.
func (s *session) lr() float64 { return s.lrOf(s.state.Update) }

// lastLR returns the learning rate of the update before.
func (s *session) lastLR() float64 { return s.lrOf(max(s.start.update, s.state.Update-1)) }

func (s *session) lrOf(update int) float64 {
	if s.rate != nil {
		return s.rate(update-s.start.update, s.clock.total)
	}
	if g := s.state.Gate; g != nil && !g.Open {
		return s.rec.LR.Gate.LR
	}
	if p := s.state.Plateau; p != nil {
		return p.Scale * s.rec.LR.at(update-s.start.update, s.clock)
	}
	return s.rec.LR.at(update-s.start.update, s.clock)
}

// epoch trains to the end of the epoch in progress, or until the time is up: it reports
// whether the epoch is whole.
func (s *session) epoch(ctx context.Context) (whole bool, err error) {
	acc := s.step.batches()
	mine := s.mine()
	updates := s.updatesIn(s.state.Epoch)
	s.log.startEpoch(s.state.Epoch+1, s.epochs, s.state.Step*s.clock.batch, updates*s.clock.batch)
	defer s.log.endEpoch()
	if s.state.Step >= updates {
		return true, nil
	}
	first, last := s.state.Step*acc, updates*acc-1 // batches
	micro, began, asked, late := 0, time.Now(), time.Now(), false
	for b, err := range s.train.Epoch(s.loading, s.state.Epoch, first) {
		if err != nil {
			return false, err
		}
		if b.step() == max(first+mine.lo, s.lastBut(last, mine)) {
			s.prepareNext()
		}
		if micro == 0 && ctx.Err() != nil {
			return false, s.interrupted(ctx)
		}
		s.waited += time.Since(asked)
		s.log.waited(time.Since(asked))
		micro++
		if err := s.trainOn(b, mine.lo+micro-1); err != nil {
			return false, err
		}
		if s.step.shards == 0 {
			s.images += b.n()
		}
		if micro < mine.hi-mine.lo {
			asked = time.Now()
			continue
		}
		micro = 0
		s.trained += time.Since(began)
		if err := s.saveIfDue(); err != nil {
			return false, err
		}
		if s.state.Step == updates || s.state.Stopped != "" {
			break
		}
		if late, err = s.outOfTime(); err != nil {
			return false, err
		} else if late {
			break
		}
		began = time.Now()
		asked = began
	}
	if ctx.Err() != nil {
		return false, s.interrupted(ctx)
	}
	return !late, nil
}

// prepareNext prefetches the first batches of the next phase, validation or the
// next epoch, during the last steps of this one.
func (s *session) prepareNext() {
	if s.eval != nil && s.due() {
		s.eval.prepare(s.loading)
	} else {
		s.prepareEpoch()
	}
}

// prepareEpoch prefetches the first batches of the next epoch.
func (s *session) prepareEpoch() {
	if s.state.Epoch+1 < s.epochs {
		s.train.Prepare(s.loading, s.state.Epoch+1, 0)
	}
}

// trainOn runs the step on a batch, number micro of its update, and counts.
func (s *session) trainOn(b batch, micro int) error {
	st, lr, acc := &s.state, s.lr(), s.step.batches()
	in := StepInput{Batch: b.labels, Objects: b.objects, LR: lr, EMADecay: s.decay(), Seed: s.seed, Draw: st.Update*acc + micro, Update: st.Update + 1, Add: micro+1 < acc,
		FixedLR: s.rec.LR.peakOf(s.clock), TargetDecay: s.targetDecay(micro)}
	if !(lr >= 0) || math.IsInf(lr, 1) {
		return fmt.Errorf("epoch %d, step %d: the learning rate is %v: it must be a number of 0 or more", st.Epoch+1, st.Update+1, lr)
	}
	if s.teacher != nil {
		var err error
		if in.Teacher, err = s.teacher.logits(b.labels); err != nil {
			return fmt.Errorf("epoch %d, step %d: the teacher: %w", st.Epoch+1, st.Update+1, err)
		}
	}
	step, sum := s.stepFor(b), s.sum
	if s.warmingHead() {
		step, sum = s.head, s.headSum
	}
	if s.step.shards > 0 {
		return s.trainOnShard(step, b, in, sum)
	}
	r, err := step.Run(in)
	if err != nil {
		return fmt.Errorf("epoch %d, step %d: %w", st.Epoch+1, st.Update+1, err)
	}
	if what := notFinite("the loss", r.Loss); what != "" {
		return s.diverged(what, lr)
	}
	if what := notFinite("the norm of the gradients", r.GradNorm); what != "" {
		return s.diverged(what, lr)
	}
	hits, share := s.step.task.count(&st.Sums, r, b, s.step.classes)
	st.Sums.Loss += r.Loss
	st.Sums.Batches++
	if in.Add {
		s.gate(hits)
		return nil
	}
	done := StepRecord{LR: lr, Loss: r.Loss, Parts: r.Parts}
	if s.rec.SSL != nil {
		done.Gauge = &Gauge{r.Spread, r.Dimensions}
	}
	if st.Sums.Pixels > 0 {
		done.PixelAccuracy = share
	} else {
		done.Top1 = share
	}
	return s.updated(done, hits)
}

// updated counts an update.
func (s *session) updated(done StepRecord, hits int) error {
	st := &s.state
	st.Update++
	st.Step++
	s.gate(hits)
	done.Epoch, done.Step = st.Epoch+1, st.Update
	s.log.step(done, st.Sums.metrics(), s.clock.batch)
	if s.onStep != nil {
		if err := s.stopped(s.onStep(done)); err != nil {
			return err
		}
	}
	return s.tolerate(s.results.step(done))
}

// decay returns the decay of the moving averages at the next update. During the
// warm-up they just follow: the first weights are of no use.
func (s *session) decay() float64 {
	if s.rec.SWA != nil {
		return s.meanDecay()
	}
	switch e, next := s.rec.EMA, s.state.Update; {
	case e == nil:
		return 0
	case next-s.start.update < s.clock.steps(s.rec.LR.Warmup):
		return 0
	case (next+1)%max(1, e.Every) != 0:
		return 1
	default:
		return e.Decay * math.Pow(float64(next+1-s.start.update)/float64(s.clock.total), e.Power)
	}
}

// meanDecay returns the decay by which moving averages become the plain mean of the
// weights at the ends of epochs, see [SWARecipe]. Before, they just follow.
func (s *session) meanDecay() float64 {
	first := s.start.epoch + int(orDefault(s.rec.SWA.Start, 0.75)*float64(s.epochs-s.start.epoch))
	n := s.state.Epoch - first
	switch {
	case n < 0:
		return 0
	case s.state.Step+1 < s.updatesIn(s.state.Epoch):
		if n == 0 {
			return 0
		}
		return 1
	}
	return float64(n) / float64(n+1)
}

// gate opens the [Gate] when the error over the last batches has fallen enough.
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

// notFinite returns "WHAT is NaN" or the like, "" if x is finite.
func notFinite(what string, x float64) string {
	switch {
	case math.IsNaN(x):
		return what + " is NaN"
	case math.IsInf(x, 0):
		return what + " is infinite"
	}
	return ""
}

// evaluate runs the validation. When outer, around ctx, ends in the middle, the state
// at the end of the epoch is saved, and resuming evaluates again.
func (s *session) evaluate(ctx, outer context.Context) (Metrics, error) {
	s.log.startEval(s.splits.Eval().Len())
	defer s.log.endEpoch()
	left := s.eval.idle()
	m, err := s.eval.run(ctx, s.vars, func(samples int) {
		if left--; left == 0 {
			s.prepareEpoch()
		}
		s.log.evaluated(samples)
	})
	if known := (*agreed)(nil); errors.As(err, &known) {
		return m, err
	}
	if err != nil && outer.Err() != nil {
		return m, s.interrupted(outer)
	}
	if err != nil {
		return m, fmt.Errorf("evaluation after epoch %d: %w", s.state.Epoch+1, err)
	}
	if what := notFinite("the validation loss", m.Loss); what != "" {
		return m, s.diverged(what, s.lastLR())
	}
	return m, nil
}

// fileOf returns a copy of every variable as a model file.
func (s *session) fileOf() (*weights.File, error) {
	f := &weights.File{Meta: s.meta, Tensors: map[string]*tensor.Tensor{}, State: map[string]*tensor.Tensor{}}
	for _, name := range s.vars.Names() {
		if len(name) >= len(accPrefix) && name[:len(accPrefix)] == accPrefix {
			continue
		}
		t, err := s.value(name)
		if err != nil {
			return nil, err
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
