package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/resnet-go/resnet/internal/chart"
)

// The learning-rate range test tries rates from lowestRate to highestRate.
const (
	lowestRate  = 1e-7
	highestRate = 10
	rateSteps   = 100 // updates, each at a higher rate
	rateSmooth  = 0.9 // of the moving average of the loss
	rateBlowUp  = 4   // times the lowest loss, at which the test ends
)

// LRSearch is the result of [FindLR].
type LRSearch struct {
	Points []LRPoint `json:"points"`
	// Suggestion is the rate at which the loss falls fastest, but no more than a third
	// of the rate with the lowest loss. It is meant for lr.peak.
	Suggestion float64 `json:"suggestion"`
	Current    float64 `json:"current"` // lr.peak of the recipe
}

// LRPoint is an update of [FindLR].
type LRPoint struct {
	LR     float64 `json:"lr"`
	Loss   float64 `json:"loss"`
	Smooth float64 `json:"smooth"` // the moving average of the loss
}

// FindLR looks for a learning rate by the range test (Smith 2017, arXiv 1506.01186,
// section 3.3): it trains for 100 updates, each at a higher rate, until the loss
// rises again. Nothing is saved.
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
	search := &LRSearch{Current: s.rec.LR.Peak}
	smooth, lowest := 0.0, math.Inf(1)
	acc, update, micro := s.step.accumulate, 0, 0
	s.log.count("searching", 0, rateSteps)
	defer s.log.endEpoch()
	for epoch := 0; update < rateSteps; epoch++ {
		for b, err := range s.train.Epoch(ctx, epoch, 0) {
			if err != nil {
				return nil, err
			}
			lr := lowestRate * math.Pow(highestRate/lowestRate, float64(update)/(rateSteps-1))
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
			if notFinite("", now) != "" || now > rateBlowUp*lowest {
				return search.suggest()
			}
			lowest = min(lowest, now)
			search.Points = append(search.Points, LRPoint{LR: lr, Loss: r.Loss, Smooth: now})
			s.log.advance(1, fmt.Sprintf("loss %.4f · lr %.3g", now, lr))
			if update == rateSteps {
				break
			}
		}
	}
	return search.suggest()
}

// suggest sets the Suggestion.
func (s *LRSearch) suggest() (*LRSearch, error) {
	const window = 5 // points on either side over which the slope is taken
	low := 0
	for i, p := range s.Points {
		if p.Smooth < s.Points[low].Smooth {
			low = i
		}
	}
	if low < 2*window {
		return s, fmt.Errorf("the loss does not fall at any learning rate from %g on: look at the data (resnet data check), or at the loss by --json", lowestRate)
	}
	steepest, at := 0.0, low
	for i := window; i+window < len(s.Points) && i <= low; i++ {
		if slope := s.Points[i+window].Smooth - s.Points[i-window].Smooth; slope < steepest {
			steepest, at = slope, i
		}
	}
	best := min(s.Points[at].LR, s.Points[low].LR/3)
	// Two digits are more than the test is worth.
	scale := math.Pow(10, math.Floor(math.Log10(best))-1)
	s.Suggestion = math.Round(best/scale) * scale
	return s, nil
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
