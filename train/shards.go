package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// A step of a batch that is cut into shards has two plans. One computes the gradients of
// a shard, and the running statistics that batch norms would have after it. The other
// updates the network by the means over all shards. The sums of these means are made in
// the order of a binary tree over the shards, whichever rank has computed which: so the
// number of ranks does not change a bit.

// The outputs of the first plan that are inputs of the second, by what follows: the name
// of a parameter.
const (
	outGrad = "grad."
	outStat = "stat."
)

// sharedPart is a part of what the shards of a batch contribute: the gradient of a
// parameter, or a running statistic.
type sharedPart struct {
	name   string // with its prefix
	shape  tensor.Shape
	node   int // whose output it is, in the graph
	at     int // in the vector
	bucket int
}

// vector is what a shard contributes, or a sum of such, with each part as a tensor.
type vector struct {
	all   []float32
	parts map[string]*tensor.Tensor
}

// newVector returns a vector for the step's parts.
func (s *Step) newVector() (*vector, error) {
	v := &vector{all: make([]float32, s.shared), parts: map[string]*tensor.Tensor{}}
	for _, p := range s.parts {
		t, err := tensor.FromFloat32(v.all[p.at:p.at+p.shape.Numel()], p.shape...)
		if err != nil {
			return nil, err
		}
		v.parts[p.name] = t
	}
	return v, nil
}

// giveGradients makes gradients and new running statistics outputs of the graph, which
// then changes no variable.
func (s *Step) giveGradients(g *graph.Graph, grads []*graph.Value) error {
	updates := g.Updates
	g.Updates = nil
	s.parts = nil
	give := func(name string, variable, v *graph.Value) error {
		g.Output(name, v)
		s.parts = append(s.parts, sharedPart{name: name, shape: variable.Shape, node: v.Node.ID})
		// A plan reads variables that it does not update only once, when it is compiled.
		return g.Assign(variable, variable)
	}
	for i, v := range s.trainable {
		if err := give(outGrad+v.Name, v.Value, grads[i]); err != nil {
			return err
		}
	}
	for _, u := range updates {
		if err := give(outStat+u.Variable.Node.Op.(graph.Variable).Label, u.Variable, u.New); err != nil {
			return err
		}
	}
	s.fillBuckets()
	return nil
}

// updateByMeans adds the update of the network by the means over the shards.
func (s *Step) updateByMeans(t *nn.Traced) error {
	g := t.Graph
	updates := g.Updates
	g.Updates = nil
	params, grads := make([]*graph.Value, len(s.trainable)), make([]*graph.Value, len(s.trainable))
	var err error
	for i, v := range s.trainable {
		params[i] = v.Value
		if grads[i], err = g.Input(outGrad+v.Name, v.Value.Type); err != nil {
			return err
		}
	}
	for _, u := range updates {
		mean, err := g.Input(outStat+u.Variable.Node.Op.(graph.Variable).Label, u.Variable.Type)
		if err != nil {
			return err
		}
		if err := g.Assign(u.Variable, mean); err != nil {
			return err
		}
	}
	if err := s.learn(g, params, s.clip(g, grads)); err != nil {
		return err
	}
	if s.ema {
		return s.average(g, t)
	}
	return nil
}

// runShard computes the contribution of a shard to the update. It calls ready with the
// number of each bucket that is in the vector, while it computes the others.
func (s *Step) runShard(in StepInput, to *vector, ready func(bucket int)) (StepResult, error) {
	p, err := s.bindTo(s.shard, in)
	if err != nil {
		return StepResult{}, err
	}
	ports := p.plan.Outputs()
	out := slices.Clone(p.out)
	for i, port := range ports {
		if t := to.parts[port.Name]; t != nil {
			out[i] = t
		}
	}
	missing, bucket := make([]int, len(s.buckets)), map[string]int{}
	for _, part := range s.parts {
		missing[part.bucket]++
		bucket[part.name] = part.bucket
	}
	err = p.plan.Stream(p.in, out, func(output int) {
		if b, ok := bucket[ports[output].Name]; ok {
			if missing[b]--; missing[b] == 0 {
				ready(b)
			}
		}
	})
	if err != nil {
		return StepResult{}, err
	}
	return p.result(), nil
}

// runUpdate updates the network by the means over the shards.
func (s *Step) runUpdate(in StepInput, means *vector) (StepResult, error) {
	p := s.update
	p.scalars(in)
	for i, port := range p.plan.Inputs() {
		switch t := means.parts[port.Name]; {
		case t != nil:
			p.in[i] = t
		case p.in[i] == nil:
			p.in[i] = unused(port)
		}
	}
	if err := p.plan.Run(p.in, p.out); err != nil {
		return StepResult{}, err
	}
	return p.result(), nil
}

// unused returns a value for an input that a plan has and does not read.
func unused(port engine.Port) *tensor.Tensor {
	s := port.Shape
	switch {
	case port.DType == tensor.Int64:
		return tensor.NewInt64(s...)
	case port.Name == nn.ImageInput:
		return tensor.NewNHWC(s[0], s[1], s[2], s[3])
	}
	return tensor.New(s...)
}

// span is the shards from lo to below hi, of a batch of a number of shards.
type span struct{ lo, hi int }

// spanOf returns the shards that a rank computes.
func spanOf(rank, ranks, shards int) span {
	return span{shards * rank / ranks, shards * (rank + 1) / ranks}
}

// halves returns what a node of the tree of sums adds up.
func (s span) halves() (a, b span) {
	mid := (s.lo + s.hi) / 2
	return span{s.lo, mid}, span{mid, s.hi}
}

func (s span) within(o span) bool { return s.lo >= o.lo && s.hi <= o.hi }

// nodes returns the largest nodes of the tree below root that lie within a span.
func (s span) nodes(root span) []span {
	switch {
	case root.within(s):
		return []span{root}
	case root.hi <= s.lo || root.lo >= s.hi:
		return nil
	}
	a, b := root.halves()
	return append(s.nodes(a), s.nodes(b)...)
}

// parent returns the node below root whose halves are a and b; ok is false if there is
// none.
func parent(root, a, b span) (node span, ok bool) {
	for root.hi-root.lo > 1 {
		x, y := root.halves()
		switch {
		case x == a && y == b:
			return root, true
		case a.within(x) && b.within(x):
			root = x
		case a.within(y) && b.within(y):
			root = y
		default:
			return span{}, false
		}
	}
	return span{}, false
}

// mine returns which batches of the loader, of those of an update, this rank computes.
func (s *session) mine() span {
	if s.step.shards == 0 {
		return span{0, s.step.accumulate}
	}
	return s.mineOf(s.step.shards)
}

func (s *session) mineOf(shards int) span { return spanOf(s.group.rank(), s.group.size(), shards) }

// shardPart returns which batches of the loader this rank makes: its shards.
func (s *session) shardPart() data.Part {
	n := s.rec.Shards
	if n == 0 {
		return data.Part{}
	}
	own := s.mineOf(n)
	return data.Part{Of: n, From: own.lo, To: own.hi}
}

// shardSize returns the number of pictures of a batch of the loader.
func (r *Recipe) shardSize() int { return r.BatchSize / max(1, r.Shards) }

// lastBut returns the batch at which all further ones of the epoch are being made.
func (s *session) lastBut(last int, mine span) int {
	if s.step.shards == 0 {
		return last - s.train.Prefetch()
	}
	return last + 1 - s.step.shards + mine.lo
}

// batches returns the number of batches of the loader of which an update consists.
func (s *Step) batches() int { return max(s.accumulate, s.shards) }

// shardReport is what a rank has found on its shards of a batch.
type shardReport struct {
	Sums []tally
	Hits []int
	Stop bool // its context has ended
}

// trainOnShard computes a shard by its step, and after the last one of this rank updates
// the network together with the others.
func (s *session) trainOnShard(step *Step, b batch, in StepInput, sum *summing) error {
	st := &s.state
	if got, want := b.step()%s.step.shards, sum.next(); got != want {
		return fmt.Errorf("epoch %d, step %d: shard %d of the batch has no picture that can be decoded", st.Epoch+1, st.Update+1, want+1)
	}
	last := sum.next() == sum.own.hi-1
	if last {
		if err := s.ready(); err != nil {
			return err
		}
	}
	err := sum.add(step, in, b)
	if known := (*agreed)(nil); errors.As(err, &known) {
		return err
	}
	if err != nil {
		err = fmt.Errorf("epoch %d, step %d: %w", st.Epoch+1, st.Update+1, err)
	}
	if !last {
		return err
	}
	defer sum.clear()
	all, err := together(s.group, shardReport{sum.sums, sum.hits, s.own.Err() != nil}, err)
	if err != nil {
		return err
	}
	var batch tally
	hits, n := 0, float64(s.step.shards)
	var gauge *Gauge
	for _, report := range all {
		for i, t := range report.Sums {
			batch.plus(t)
			hits += report.Hits[i]
			if t.Gauge != nil {
				if gauge == nil {
					gauge = new(Gauge)
				}
				gauge.Spread += t.Gauge.Spread / n
				gauge.Dimensions += t.Gauge.Dimensions / n
			}
		}
		if report.Stop {
			defer s.stopAll(s.stopCause())
		}
	}
	loss := batch.Loss / n
	if what := notFinite("the loss", loss); what != "" {
		return s.diverged(what, in.LR)
	}
	r, err := sum.step.runUpdate(in, sum.means())
	if err != nil {
		return fmt.Errorf("epoch %d, step %d: %w", st.Epoch+1, st.Update+1, err)
	}
	if what := notFinite("the norm of the gradients", r.GradNorm); what != "" {
		return s.diverged(what, in.LR)
	}
	st.Sums.plus(batch)
	if gauge != nil {
		st.Sums.follow(*gauge)
	}
	s.images += s.clock.batch
	m := batch.metrics()
	done := StepRecord{LR: in.LR, Loss: loss, Top1: m.Top1, PixelAccuracy: m.PixelAccuracy, Gauge: gauge}
	for _, name := range step.shard.partNames {
		done.Parts = append(done.Parts, LossPart{name, m.Detection.Parts[name]})
	}
	return s.updated(done, hits)
}

// stopCause returns why the context of a rank has ended, for this one.
func (s *session) stopCause() error {
	if s.own.Err() != nil {
		return context.Cause(s.own)
	}
	return errOtherStopped
}

// plus adds the sums of u, but for a gauge.
func (t *tally) plus(u tally) {
	t.Loss += u.Loss
	t.Batches += u.Batches
	t.Top1 += u.Top1
	t.Top5 += u.Top5
	t.Samples += u.Samples
	t.Pixels += u.Pixels
	for name, loss := range u.Parts {
		if t.Parts == nil {
			t.Parts = map[string]float64{}
		}
		t.Parts[name] += loss
	}
}

// defaultShards is the number of shards where ranks need some and the recipe has none.
const defaultShards = 8

// chooseShards settles into how many shards a batch is cut.
func (s *session) chooseShards(cfg Config) error {
	rec := *s.rec
	if cfg.whole {
		rec.Shards = 0
	}
	if s.group.x != nil && rec.Shards == 0 {
		if rec.SyncBatchNorm {
			rec.Shards = s.group.size()
		} else {
			rec.Shards = defaultShards
		}
		if cfg.Resume {
			return errors.New("the run was begun without shards, so several ranks cannot continue it with the same result: continue it by resnet, or begin another")
		}
	}
	s.rec = &rec
	if rec.SyncBatchNorm && rec.Shards == 0 {
		return badKey("sync_batch_norm", "it is about batches that ranks share: start the training by mpirun with resnet-mpi, or leave it out")
	}
	switch n := s.group.size(); {
	case rec.Shards == 0:
		return nil
	case n > rec.Shards:
		return fmt.Errorf("%d ranks cannot share a batch of %d shards: give --shards %d or more, or start fewer ranks", n, rec.Shards, n)
	case rec.Accumulate > 1:
		return badKey("accumulate", "accumulate and shards exclude each other: a batch is computed shard by shard anyway, so give a larger batch_size and more shards")
	case rec.BatchSize%rec.Shards != 0:
		return badKey("batch_size", "%d is not a multiple of the %d shards of a batch: change one of them, as --batch %d or --shards %d",
			rec.BatchSize, rec.Shards, (rec.BatchSize/rec.Shards+1)*rec.Shards, largestDivisor(rec.BatchSize, rec.Shards))
	}
	return s.checkSynchronized()
}

// largestDivisor returns the largest divisor of n that is at most top.
func largestDivisor(n, top int) int {
	d := min(n, top)
	for n%d != 0 {
		d--
	}
	return d
}

// contributes reports whether a port is one of what shards contribute.
func contributes(port string) bool {
	return strings.HasPrefix(port, outGrad) || strings.HasPrefix(port, outStat)
}
