package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/weights"
)

// saveIfDue saves in the middle of an epoch, when the recipe says so.
func (s *session) saveIfDue() error {
	c := s.rec.Checkpoint
	due := c.EverySteps > 0 && s.state.Update%c.EverySteps == 0 ||
		c.EverySeconds > 0 && time.Since(s.saved).Seconds() >= c.EverySeconds
	if s.out == "" || !due {
		return nil
	}
	return s.save()
}

// save writes the whole state. What it writes depends on nothing but the state:
// no clock, no host. A value that is not finite is a *Diverged error and the
// file stays as it was.
func (s *session) save() error {
	f, err := s.fileOf()
	if err != nil {
		return err
	}
	if f.Training, err = json.Marshal(s.state); err != nil {
		return err
	}
	if n := len(s.state.History); n > 0 {
		f.Metrics = s.state.History[n-1].figures()
	}
	s.saved = time.Now()
	return weights.Save(filepath.Join(s.out, LastFile), f, weights.SaveOptions{})
}

// saveBest writes the model of the epoch just ended, without training state.
func (s *session) saveBest(rec EpochRecord) error {
	f, err := s.fileOf()
	if err != nil {
		return err
	}
	f = f.ModelOnly()
	f.Metrics = rec.figures()
	return weights.Save(filepath.Join(s.out, BestFile), f, weights.SaveOptions{})
}

// figures returns the record as a model file keeps it.
func (r EpochRecord) figures() map[string]float64 {
	m := map[string]float64{"epoch": float64(r.Epoch), "train.loss": r.Train.Loss}
	if r.Train.Top5 > 0 || r.Train.Top1 > 0 {
		m["train.top1"] = r.Train.Top1
	}
	if r.Val != nil {
		m["val.loss"] = r.Val.Loss
		if r.Val.MAP > 0 {
			m["val.map"] = r.Val.MAP
		} else {
			m["val.top1"], m["val.top5"] = r.Val.Top1, r.Val.Top5
		}
	}
	return m
}

// existing returns the path of a file of the run, "" if there is none.
func (s *session) existing(name string) string {
	if s.out == "" {
		return ""
	}
	path := filepath.Join(s.out, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
