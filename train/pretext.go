package train

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/ssl"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// selfSupervised is the task of learning without labels: the network's output is its
// loss.
type selfSupervised struct{ net *ssl.Network }

func (selfSupervised) module(s *Step) nn.Module { return s.module }

func (selfSupervised) loss(_ *Step, t *nn.Traced) (loss, logits *graph.Value, err error) {
	for _, o := range t.Outputs {
		switch o.Name {
		case ssl.SpreadOutput:
			t.Graph.Output(outSpread, o.Value)
		case ssl.DimensionsOutput:
			t.Graph.Output(outDimensions, o.Value)
		}
	}
	return t.Output, nil, nil
}

// targets has the decay of BYOL's target.
func (t selfSupervised) targets(_ *Step, in StepInput) (infer.Tensors, error) {
	if t.net.Pretext().Method != ssl.BYOL {
		return nil, nil
	}
	decay := tensor.New()
	decay.Float32s()[0] = float32(in.TargetDecay)
	return infer.Tensors{ssl.MomentumInput: decay}, nil
}

func (t selfSupervised) count(sums *tally, r StepResult, b batch, _ int) (hits int, share float64) {
	sums.Samples += b.n()
	sums.follow(Gauge{r.Spread, r.Dimensions})
	return 0, 0
}

// follow takes what a batch shows into the moving averages.
func (t *tally) follow(g Gauge) {
	if t.Gauge == nil {
		t.Gauge = &g
		return
	}
	const keep = 0.9
	t.Gauge.Spread = keep*t.Gauge.Spread + (1-keep)*g.Spread
	t.Gauge.Dimensions = keep*t.Gauge.Dimensions + (1-keep)*g.Dimensions
}

// Gauge shows whether a network that learns without labels collapses: as moving averages
// over about ten steps at the end of an epoch.
type Gauge struct {
	// Spread is about 1 where projections are healthy and 0 where all are alike, see
	// ssl.SpreadOutput.
	Spread float64 `json:"spread"`
	// Dimensions is the number of directions in which projections differ, 1 where they lie
	// on a line, see ssl.DimensionsOutput.
	Dimensions float64 `json:"dimensions"`
}

// withoutLabels returns the network if it is one that learns without labels, else nil.
func withoutLabels(m nn.Module) *ssl.Network {
	net, _ := m.(*ssl.Network)
	return net
}

// pretext puts on a backbone what it needs to learn without labels. state is the state of
// the run that is continued, nil at first.
func (j *job) pretext(backbone *models.Model, state map[string]*tensor.Tensor) (nn.Module, error) {
	net, err := ssl.New(backbone, j.rec.SSL.Config)
	if err != nil {
		return nil, err
	}
	if state == nil {
		return net, net.Start(j.seed)
	}
	values := map[string]*tensor.Tensor{}
	for _, e := range nn.Params(net) {
		if t := state[e.Name]; t != nil && strings.HasPrefix(e.Name, weights.PretextPrefix) {
			values[e.Name] = t
		} else if e.Param.Value != nil {
			values[e.Name] = e.Param.Value
		}
	}
	if _, err := nn.Load(net, values, nn.LoadOptions{}); err != nil {
		return nil, fmt.Errorf("the run's state: %w", err)
	}
	return net, nil
}

// withoutHead leaves out the last layer of a trained model, which becomes a backbone.
func (j *job) withoutHead(r *modelfile.Result, model string) error {
	if r.Model.Config.Task() == models.Features {
		return nil
	}
	if err := canLoseHead(r.Model.Config); err != nil {
		return fmt.Errorf("model %s: %w", model, err)
	}
	kept := map[string]*tensor.Tensor{}
	for name, t := range r.File.Tensors {
		if !inHeads(name, r.Model.Heads()) {
			kept[name] = t
		}
	}
	r.File.Tensors, r.File.Classes = kept, nil
	j.notes = append(j.notes, "the last layer of "+model+" is left out")
	return nil
}

// canLoseHead returns an error unless a network can learn without labels.
func canLoseHead(conf models.Config) error {
	switch conf.Task() {
	case models.Features, models.Classification:
		return nil
	}
	return fmt.Errorf("%s is a network for %s: training without labels begins with a classifier or a backbone", conf.Name, conf.Task())
}

// views sets what the loader of a run without labels makes of each picture.
func (r *Recipe) views(c *data.LoaderConfig) {
	if r.SSL == nil {
		return
	}
	c.Views, c.Second, c.Turned = r.SSL.Rows(), r.SSL.Second, r.SSL.Method == ssl.Rotation
}

// targetDecay returns the decay of BYOL's target for a batch, number micro of its
// update: it follows once for an update. Shards each compute where it follows to, from the
// same values.
func (s *session) targetDecay(micro int) float64 {
	switch {
	case s.rec.SSL == nil || s.rec.SSL.Method != ssl.BYOL:
		return 0
	case micro > 0 && s.rec.Shards == 0:
		return 1
	}
	return s.rec.SSL.MomentumAt(s.state.Update-s.start.update, s.clock.total)
}

// predictorPath is where an ssl.Network has its predictor.
const predictorPath = weights.PretextPrefix + "predictor"

// Below this spread, or these dimensions, projections are nearly all alike. Healthy ones
// of a few hundred pictures have tens of dimensions.
const (
	leastSpread     = 0.2
	leastDimensions = 1.25
	// leastJudged is the smallest batch whose figures show a collapse: two pictures always
	// lie on one line, and a few do by chance.
	leastJudged = 8
)

// checkViews returns an error for fewer pictures than can be compared with each other, and
// notes what a small batch does not show.
func (j *job) checkViews() error {
	if j.rec.SSL == nil {
		return nil
	}
	if n := j.readable("train", j.splits.Train); n < 2 {
		return fmt.Errorf("%s has %s to learn from: without labels, a network learns from how pictures differ, so give it two or more, better hundreds", j.splits.Spec, term.Plural(n, "picture"))
	}
	if n := j.rec.shardSize(); n >= 2 && n < leastJudged {
		j.notes = append(j.notes, fmt.Sprintf("batches of %d pictures are too small for spread and dimensions to show whether the features collapse: give %d or more", n, leastJudged))
	}
	return nil
}

// noteLabels tells what the labels of a run without labels are for, and leaves out the
// parts that nothing can be evaluated on.
func (j *job) noteLabels() {
	sp := j.splits
	switch {
	case !judges(sp) && j.rec.Validation > 0 && sp.Val == nil:
		j.notes = append(j.notes, "validation (--val-split) has no effect, because there are no labels to judge the features by")
	case !judges(sp) && sp.Eval() != nil:
		j.notes = append(j.notes, "nothing is evaluated: features are judged by pictures with one label each")
	case judges(sp) && sp.Eval() != nil:
		j.notes = append(j.notes, fmt.Sprintf("the network does not learn from the labels: they judge its features, on the %s part, by nearest neighbors and a linear probe", j.evalPart()))
	}
	if !judges(sp) {
		alone := *sp
		alone.Val, alone.Test = nil, nil
		j.splits = &alone
	}
}

// collapsed reports whether projections are nearly all alike.
func (j *job) collapsed(g Gauge) bool {
	return j.rec.SSL != nil && j.rec.shardSize() >= leastJudged && (g.Spread < leastSpread || g.Dimensions < leastDimensions)
}

// collapse returns a warning if an epoch shows that the network gives all pictures the
// same features; "" if it does not.
func (j *job) collapse(rec EpochRecord) string {
	g := rec.Train.Gauge
	if g == nil || !j.collapsed(*g) {
		return ""
	}
	advice := "lower lr.peak, lengthen lr.warmup"
	switch m := j.rec.SSL.Method; {
	case j.rec.SSL.NoStopGradient:
		advice = "remove ssl.no_stop_gradient"
	case m == ssl.SimSiam:
		advice += ", take a batch of 256 or more, set ssl.fix_predictor_lr"
	case m == ssl.BYOL:
		advice += ", raise ssl.momentum, take a batch of 256 or more"
	case m == ssl.SimCLR:
		advice += ", lower ssl.temperature, take a larger batch"
	case m == ssl.Barlow:
		advice += ", lower ssl.lambda"
	case m == ssl.VICReg:
		advice += ", raise ssl.variance"
	}
	return fmt.Sprintf("the features collapse: in epoch %d pictures got nearly the same ones (spread %.3f, about 1 is healthy; %.1f dimensions, tens are healthy). Do this: %s",
		rec.Epoch, g.Spread, g.Dimensions, advice)
}

// viewsText is the figure of a line of the log.
func viewsText(m Metrics) string {
	if m.KNN != nil {
		return "kNN " + term.Percent(*m.KNN)
	}
	return fmt.Sprintf("spread %.3f, %.1f dimensions", m.Gauge.Spread, m.Gauge.Dimensions)
}
