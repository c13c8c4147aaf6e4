package train

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// output is what a run leaves behind and reports.
type output struct {
	out     string // folder of the run's files; empty writes none
	log     *logger
	results *results      // nil without out
	saved   time.Time     // when the checkpoint was written last
	unsaved *weights.File // the best model, where it could not be written yet
	made    []string      // folders that were made for out, the outermost last
}

// existing returns the path of a file of the run, "" if there is none.
func (o *output) existing(name string) string {
	if o.out == "" {
		return ""
	}
	path := filepath.Join(o.out, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// meter measures how fast a session goes.
type meter struct {
	began   time.Time
	trained time.Duration // in training steps and in waiting for their data
	waited  time.Duration // for data, of trained
	images  int           // trained on

	evaluated time.Duration // that the last evaluation took
}

// pace is how fast a session goes. It differs between runs that are the same
// otherwise, so it is in no checkpoint.
type pace struct {
	rate    float64 // images per second of training steps
	wait    float64 // share of the training time spent waiting for data
	elapsed time.Duration
}

func (m *meter) pace() pace {
	p := pace{elapsed: time.Since(m.began)}
	if m.trained > 0 {
		p.rate, p.wait = float64(m.images)/m.trained.Seconds(), float64(m.waited)/float64(m.trained)
	}
	return p
}

// announce logs what the run is.
func (s *session) announce() {
	if !s.splits.MultiLabel() && data.Masks(s.splits.Train) == nil {
		s.log.classes = len(s.splits.Classes())
	}
	for _, n := range s.notes {
		s.log.note("%s", n)
	}
	trainable := 0
	for _, v := range s.step.trainable {
		trainable += v.Value.Shape.Numel()
	}
	all := nn.NumParams(s.module)
	evalN := "no pictures to evaluate on"
	if ev := s.splits.Eval(); s.eval != nil {
		evalN = fmt.Sprintf("%d to evaluate on", ev.Len())
	}
	s.log.begin("%s: %d parameters (%d trained), %d classes; %s: %d pictures to train on, %s; recipe %s: %d epochs of %d steps of %d, seed %d",
		s.name(), all, trainable, s.step.classes, s.splits.Spec, s.splits.Train.Len(), evalN,
		s.rec.Name, s.epochs-s.start.epoch, s.perEpoch, s.clock.batch, s.seed)
	st := &s.state
	if g := st.Gate; g != nil && !g.Open {
		s.log.note("%d layers: the learning rate is %g until the training error is below %.0f%%",
			s.depth, s.rec.LR.Gate.LR, 100*s.rec.LR.Gate.UntilError)
	}
	switch {
	case st.Epoch >= s.epochs || st.Stopped != "":
		s.log.note("the run is complete: there is nothing left to do")
	case st.Update > s.start.update:
		s.log.note("resuming in epoch %d after step %d", st.Epoch+1, st.Step)
	case st.Update > 0:
		s.log.note("continuing with epoch %d after %d steps", st.Epoch+1, st.Update)
	}
}

func (s *session) name() string {
	if n, ok := s.module.(interface{ Kind() string }); ok {
		return n.Kind()
	}
	return fmt.Sprintf("%T", s.module)
}
