package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/resnet-go/resnet/internal/chart"
	"github.com/resnet-go/resnet/ssl"
)

// The learning-rate range test tries rates up to highestRate.
const (
	highestRate = 10
	rateSmooth  = 0.9 // of the moving average of the loss
	rateBlowUp  = 4   // times the lowest loss, at which the test ends
)

// rateRange is what the test tries: from the lowest rate, in a number of updates, each at a
// higher rate.
type rateRange struct {
	lowest float64
	steps  int
}

// rates returns the range for a recipe. Without labels, where an update takes the time of
// several, it leaves out rates at which nothing is learned, with as many updates for each
// power of ten.
func (r *Recipe) rates() rateRange {
	if r.SSL != nil {
		return rateRange{1e-4, 63}
	}
	return rateRange{1e-7, 100}
}

func (r rateRange) at(update int) float64 {
	return r.lowest * math.Pow(highestRate/r.lowest, float64(update)/float64(r.steps-1))
}

// blownUp reports whether the loss has risen so far that higher rates show nothing: above
// a multiple of the lowest, or, as losses without labels may be negative, as far above the
// first as it fell below it.
func (r *Recipe) blownUp(now, first, lowest float64) bool {
	if r.SSL == nil {
		return now > rateBlowUp*lowest
	}
	return now > first+max(first-lowest, 0.1*max(1, math.Abs(first)))
}

// LRSearch is the result of [FindLR].
type LRSearch struct {
	Points []LRPoint `json:"points"`
	// Suggestion is the rate at which the loss falls fastest in relation to how far it
	// will still fall, but no more than a third of the rate with the lowest loss. It is
	// meant for lr.peak.
	Suggestion float64 `json:"suggestion"`
	Current    float64 `json:"current"` // lr.peak of the recipe

	lowest float64 // rate that was tried
}

// LRPoint is an update of [FindLR].
type LRPoint struct {
	LR     float64 `json:"lr"`
	Loss   float64 `json:"loss"`
	Smooth float64 `json:"smooth"` // the moving average of the loss
}

// FindLR looks for a learning rate by the range test (Smith 2017, arXiv 1506.01186,
// section 3.3): it trains for 100 updates (63 without labels), each at a higher rate, until
// the loss rises again or features collapse. Nothing is saved.
func FindLR(ctx context.Context, cfg Config) (*LRSearch, error) {
	if cfg.Resume {
		return nil, errors.New("a search for the learning rate starts a network of its own: leave out --resume")
	}
	cfg.Out, cfg.Exchange, cfg.whole = "", nil, true
	s, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.findLR(ctx)
}

func (s *session) findLR(ctx context.Context) (*LRSearch, error) {
	search := &LRSearch{Current: s.rec.LR.Peak, lowest: s.rec.rates().lowest}
	rates := s.rec.rates()
	if s.rec.SSL != nil && (s.rec.SSL.Method == ssl.SimSiam || s.rec.SSL.Method == ssl.BYOL) {
		s.log.note("the loss of %s also falls where the features collapse: watch spread and dimensions in a training at the rate that is found", s.rec.SSL.Method)
	}
	smooth, first, lowest := 0.0, 0.0, math.Inf(1)
	acc, update, micro := s.step.accumulate, 0, 0
	s.log.count("searching", 0, rates.steps*s.clock.batch)
	defer s.log.endEpoch()
	for epoch := 0; update < rates.steps; epoch++ {
		for b, err := range s.train.Epoch(ctx, epoch, 0) {
			if err != nil {
				return nil, err
			}
			if b.step() == max(0, s.train.Steps()-1-s.train.Prefetch()) {
				s.train.Prepare(ctx, epoch+1, 0)
			}
			lr := rates.at(update)
			in := StepInput{Batch: b.labels, Objects: b.objects, LR: lr, Seed: s.seed, Draw: update*acc + micro, Update: update + 1, Add: micro+1 < acc, FixedLR: lr, TargetDecay: s.targetDecay(micro)}
			if s.teacher != nil {
				if in.Teacher, err = s.teacher.logits(b.labels); err != nil {
					return nil, err
				}
			}
			r, err := s.stepFor(b).Run(in)
			if err != nil {
				return nil, err
			}
			if micro++; micro < acc {
				continue
			}
			micro = 0
			update++
			smooth = rateSmooth*smooth + (1-rateSmooth)*r.Loss
			now := smooth / (1 - math.Pow(rateSmooth, float64(update))) // without the bias of its start at 0
			if update == 1 {
				first = now
			}
			if notFinite("", now) != "" || s.rec.blownUp(now, first, lowest) || s.collapsed(Gauge{r.Spread, r.Dimensions}) {
				return search.suggest()
			}
			lowest = min(lowest, now)
			search.Points = append(search.Points, LRPoint{LR: lr, Loss: r.Loss, Smooth: now})
			s.log.advance(s.clock.batch, fmt.Sprintf("loss %.4f · lr %.3g", now, lr))
			if update == rates.steps {
				break
			}
		}
	}
	return search.suggest()
}

// suggest sets the Suggestion. What a loss loses first, at the lowest rates that move it
// at all, is often the most: outputs of a wrong scale at the start, or the variances of
// Barlow Twins and VICReg. So each fall counts in relation to what is left of the whole
// one, to which a tenth of the whole is added, as nothing is left at the end.
func (s *LRSearch) suggest() (*LRSearch, error) {
	const window = 5 // points on either side over which the slope is taken
	low := 0
	for i, p := range s.Points {
		if p.Smooth < s.Points[low].Smooth {
			low = i
		}
	}
	if low < 2*window {
		return s, fmt.Errorf("the loss does not fall at any learning rate from %g on: look at the data (resnet data check), or at the loss by --json", s.lowest)
	}
	lowest, highest := s.Points[low].Smooth, s.Points[0].Smooth
	for _, p := range s.Points[:low] {
		highest = max(highest, p.Smooth)
	}
	left := func(i int) float64 { return math.Log(s.Points[i].Smooth - lowest + 0.1*(highest-lowest)) }
	steepest, at := 0.0, low
	for i := window; i+window < len(s.Points) && i <= low; i++ {
		if slope := left(i+window) - left(i-window); slope < steepest {
			steepest, at = slope, i
		}
	}
	best := min(s.Points[at].LR, s.Points[low].LR/3)
	// Two digits are more than the test is worth.
	var err error
	s.Suggestion, err = strconv.ParseFloat(strconv.FormatFloat(best, 'g', 2, 64), 64)
	return s, err
}

// Chart draws the loss over the exponent of the learning rate.
func (s *LRSearch) Chart(dir string) (string, error) {
	var x, loss, smooth []float64
	for _, p := range s.Points {
		x, loss, smooth = append(x, math.Log10(p.LR)), append(loss, p.Loss), append(smooth, p.Smooth)
	}
	c, err := chart.Lines(chart.Panel{Title: "Loss by learning rate", XLabel: "learning rate, power of ten", YLabel: "loss",
		Series: []chart.Series{{Name: "step", X: x, Y: loss}, {Name: "mean", X: x, Y: smooth}}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "lr-find.png")
	return path, c.Save(path)
}
