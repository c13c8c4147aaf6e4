package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/suggest"
)

// The kinds of [Schedule].
const (
	Constant   = "constant"   // the peak
	StepDecay  = "step"       // times Gamma every Every
	MultiStep  = "multistep"  // times Gamma at each of Milestones
	Cosine     = "cosine"     // half a cosine from the peak to Final
	Polynomial = "polynomial" // (1-progress)^Power from the peak to Final
	OneCycle   = "one-cycle"  // up and down once (Smith and Topin 2018)
	Plateau    = "plateau"    // times Gamma when the validation loss no longer falls
)

var scheduleKinds = []string{Constant, StepDecay, MultiStep, Cosine, Polynomial, OneCycle, Plateau}

// Schedule gives the learning rate of each step. Lengths of time (Warmup, Every,
// Milestones) are in the unit of the run's length: epochs, or iterations if the
// recipe gives iterations.
type Schedule struct {
	Kind string `yaml:"schedule"`
	// Peak is the highest rate.
	Peak float64 `yaml:"peak"`
	// PeakBatch is the batch size that Peak is meant for. The rate of another batch
	// size changes in proportion (Goyal et al. 2017, section 2.1). 0 is off.
	PeakBatch int `yaml:"peak_batch,omitempty"`
	// Warmup is the time during which the rate first rises linearly:
	// peak*(f + (1-f)*(t+1)/W) at step t of W, where f is WarmupFrom.
	Warmup     float64 `yaml:"warmup,omitempty"`
	WarmupFrom float64 `yaml:"warmup_from,omitempty"`
	// Every and Gamma belong to step, Milestones and Gamma to multistep. Times count
	// from the start of the run.
	Every      float64   `yaml:"every,omitempty"`
	Gamma      float64   `yaml:"gamma,omitempty"`
	Milestones []float64 `yaml:"milestones,omitempty,flow"`
	// Patience belongs to plateau: the number of evaluations without a lower
	// validation loss (training loss, if nothing is evaluated) after which the rate
	// is multiplied by Gamma, default 0.1. It equals PyTorch's ReduceLROnPlateau,
	// whose relative threshold of 1e-4 it has.
	Patience int `yaml:"patience,omitempty"` // default 10
	// Final is the rate at the end of cosine and polynomial, as a share of the
	// peak; they begin when the warm-up has ended. For plateau it is the lowest.
	Final float64 `yaml:"final,omitempty"`
	Power float64 `yaml:"power,omitempty"` // of polynomial, default 1
	// Rise, Div and FinalDiv belong to one-cycle, which equals PyTorch's OneCycleLR:
	// the rate starts at peak/Div, reaches the peak after the share Rise of the
	// steps, and ends at peak/Div/FinalDiv, along half cosines.
	Rise     float64 `yaml:"rise,omitempty"`      // default 0.3
	Div      float64 `yaml:"div,omitempty"`       // default 25
	FinalDiv float64 `yaml:"final_div,omitempty"` // default 1e4
	// Aux scales the rate of auxiliary classifiers of segmentation networks; 0 means 1.
	Aux float64 `yaml:"aux,omitempty"`
	// NormBias scales the rate of the biases of batch norms; 0 means 1. They have small
	// gradients and no weight decay, and can move much faster than weights (Jordan 2024,
	// arXiv 2404.00498, section 3.4: 64).
	NormBias float64 `yaml:"norm_bias,omitempty"`
	// Gate is a warm-up for very deep networks that ends when the network has
	// begun to learn; nil is off.
	Gate *Gate `yaml:"gate,omitempty"`
}

// Gate holds the rate at LR until the training error over a window of steps is
// below UntilError, for networks of FromDepth layers or more. He et al. 2015
// (arXiv 1512.03385, section 4.2) do so for their 110-layer network: 0.01
// until the error is below 80 %, about 400 iterations. The schedule's time passes
// meanwhile.
type Gate struct {
	LR         float64 `yaml:"lr"`
	UntilError float64 `yaml:"until_error"`
	FromDepth  int     `yaml:"from_depth"`
}

// gateWindow is the number of steps over which [Gate] measures the error.
const gateWindow = 100

// valid returns an error that starts with the key at fault.
func (s *Schedule) valid() error {
	switch {
	case !slices.Contains(scheduleKinds, s.Kind):
		return &keyError{"lr.schedule", fmt.Sprintf("unknown schedule %q", s.Kind), suggest.Name(s.Kind, scheduleKinds)}
	case !(s.Peak > 0) || math.IsInf(s.Peak, 0):
		return badKey("lr.peak", "%v is not a rate above 0", s.Peak)
	case s.PeakBatch < 0:
		return badKey("lr.peak_batch", "%d is below 0", s.PeakBatch)
	case !(s.Warmup >= 0):
		return badKey("lr.warmup", "%v is below 0", s.Warmup)
	case !(s.WarmupFrom >= 0 && s.WarmupFrom <= 1):
		return badKey("lr.warmup_from", "%v is not a share from 0 to 1", s.WarmupFrom)
	case s.Warmup > 0 && s.Kind == OneCycle:
		return badKey("lr.warmup", "one-cycle has its own rise (lr.rise) and takes no warm-up")
	case s.Kind == StepDecay && !(s.Every > 0):
		return badKey("lr.every", "the step schedule needs a length above 0")
	case s.Kind == MultiStep && len(s.Milestones) == 0:
		return badKey("lr.milestones", "the multistep schedule needs at least one")
	case !slices.IsSorted(s.Milestones):
		return badKey("lr.milestones", "%v do not rise", s.Milestones)
	case (s.Kind == StepDecay || s.Kind == MultiStep) && !(s.Gamma > 0 && s.Gamma <= 1):
		return badKey("lr.gamma", "%v is not a factor above 0 and up to 1", s.Gamma)
	case s.Kind == Plateau && !(s.Gamma >= 0 && s.Gamma < 1):
		return badKey("lr.gamma", "%v is not a factor above 0 and below 1", s.Gamma)
	case s.Patience < 0:
		return badKey("lr.patience", "%d is below 0", s.Patience)
	case !(s.Final >= 0 && s.Final <= 1):
		return badKey("lr.final", "%v is not a share from 0 to 1", s.Final)
	case !(s.Aux >= 0 && s.Aux < 1e6):
		return badKey("lr.aux", "%v is not a factor of 0 or more", s.Aux)
	case !(s.NormBias >= 0 && s.NormBias < 1e6):
		return badKey("lr.norm_bias", "%v is not a factor of 0 or more", s.NormBias)
	case !(s.Power >= 0):
		return badKey("lr.power", "%v is below 0", s.Power)
	case !(s.Rise >= 0 && s.Rise < 1):
		return badKey("lr.rise", "%v is not a share below 1", s.Rise)
	case !(s.Div >= 0) || !(s.FinalDiv >= 0):
		return badKey("lr.div", "div %v and final_div %v must be above 0", s.Div, s.FinalDiv)
	}
	if g := s.Gate; g != nil {
		if !(g.LR > 0) {
			return badKey("lr.gate.lr", "%v is not a rate above 0", g.LR)
		}
		if !(g.UntilError > 0 && g.UntilError <= 1) {
			return badKey("lr.gate.until_error", "%v is not an error rate, above 0 and up to 1", g.UntilError)
		}
	}
	return nil
}

// clock is the length of a run in the units of a schedule.
type clock struct {
	total int // steps of the whole run
	unit  int // steps of one unit of time: of an epoch, or 1
	batch int // samples per update, for Schedule.PeakBatch
}

func (c clock) steps(units float64) int { return int(math.Round(units * float64(c.unit))) }

// peakOf returns the highest rate of a run.
func (s *Schedule) peakOf(c clock) float64 {
	if s.PeakBatch == 0 {
		return s.Peak
	}
	return s.Peak * (float64(c.batch) / float64(s.PeakBatch))
}

// at returns the rate of step t, from 0, without the gate.
func (s *Schedule) at(t int, c clock) float64 {
	peak := s.peakOf(c)
	warm := c.steps(s.Warmup)
	if t < warm {
		f := s.WarmupFrom
		return peak * (f + (1-f)*(float64(t+1)/float64(warm)))
	}
	progress := 1.0
	if c.total > warm {
		progress = math.Min(float64(t-warm)/float64(c.total-warm), 1)
	}
	switch s.Kind {
	case StepDecay:
		return peak * math.Pow(s.Gamma, float64(t/max(1, c.steps(s.Every))))
	case MultiStep:
		n := 0
		for _, m := range s.Milestones {
			if t >= c.steps(m) {
				n++
			}
		}
		return peak * math.Pow(s.Gamma, float64(n))
	case Cosine:
		return peak * (s.Final + (1-s.Final)*(0.5*(1+math.Cos(math.Pi*progress))))
	case Polynomial:
		return peak * (s.Final + (1-s.Final)*math.Pow(1-progress, orDefault(s.Power, 1)))
	case OneCycle:
		return s.oneCycle(t, c.total, peak)
	}
	return peak
}

func (s *Schedule) oneCycle(t, total int, peak float64) float64 {
	first := peak / orDefault(s.Div, 25)
	last := first / orDefault(s.FinalDiv, 1e4)
	top := orDefault(s.Rise, 0.3)*float64(total) - 1
	end := float64(total) - 1
	ease := func(from, to, share float64) float64 { return to + (from-to)/2*(1+math.Cos(math.Pi*share)) }
	switch x := float64(t); {
	case top > 0 && x <= top:
		return ease(first, peak, x/top)
	case end > top:
		return ease(peak, last, (x-top)/(end-top))
	}
	return last
}

func orDefault(x, d float64) float64 {
	if x == 0 {
		return d
	}
	return x
}

// ScheduleNames returns the kinds of [Schedule].
func ScheduleNames() []string { return slices.Clone(scheduleKinds) }
