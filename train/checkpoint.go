package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/weights"
)

// saveIfDue saves in the middle of an epoch, at the intervals of the recipe.
func (s *session) saveIfDue() error {
	c := s.rec.Checkpoint
	due := c.EverySteps > 0 && s.state.Update%c.EverySteps == 0 ||
		c.EverySeconds > 0 && time.Since(s.saved).Seconds() >= c.EverySeconds
	if s.out == "" || !due {
		return nil
	}
	return s.tolerate(s.save())
}

// save writes the best model, if there is a new one, and the whole state. The
// files depend only on the state, not on the clock or the host. A value that is not
// finite is a *Diverged error, and the files stay as they were.
func (s *session) save() error {
	f, err := s.fileOf()
	if err != nil {
		return err
	}
	if f.Training, err = json.Marshal(s.state); err != nil {
		return err
	}
	if last := s.last(); last != nil {
		f.Metrics = last.figures()
	}
	s.saved = time.Now()
	// The best model is written first: the state refers to it.
	if s.unsaved != nil {
		if err := weights.Save(filepath.Join(s.out, BestFile), s.unsaved, weights.SaveOptions{}); err != nil {
			return &unwritten{err}
		}
		s.unsaved = nil
	}
	last := filepath.Join(s.out, LastFile)
	if !s.lastDamaged { // else the one before it is the only one to continue from
		if err := atomicfile.Keep(last, filepath.Join(s.out, PreviousFile)); err != nil {
			return &unwritten{err}
		}
	}
	if err := weights.Save(last, f, weights.SaveOptions{}); err != nil {
		return &unwritten{err}
	}
	s.lastDamaged = false
	return nil
}

// EpochFile is the name of the file in Config.Out that keeps the model of an epoch
// from 1, see [Checkpoint].EveryEpochs.
func EpochFile(epoch int) string { return fmt.Sprintf("epoch-%04d.safetensors", epoch) }

// keep writes the model of the epoch just ended into a file of its own, at the
// intervals of the recipe.
func (s *session) keep(rec EpochRecord) error {
	if every := s.rec.Checkpoint.EveryEpochs; every == 0 || rec.Epoch%every != 0 {
		return nil
	}
	f, err := s.bestFile(rec)
	if err != nil {
		return err
	}
	if err := weights.Save(filepath.Join(s.out, EpochFile(rec.Epoch)), f, weights.SaveOptions{}); err != nil {
		return &unwritten{err}
	}
	return nil
}

// unwritten is the error of a file that could not be written.
type unwritten struct{ error }

func (e *unwritten) Unwrap() error { return e.error }

// tolerate turns the error of a file that could not be written (a full disk, a
// lost mount) into a warning while the run continues: the older files stay, and the
// next save tries again. At the end of the run it stays an error.
func (s *session) tolerate(err error) error {
	if w := (*unwritten)(nil); !errors.As(err, &w) || s.state.Epoch >= s.epochs || s.state.Stopped != "" || s.paused != "" {
		return err
	}
	kept := "there is no checkpoint yet"
	if s.existing(LastFile) != "" {
		kept = "the checkpoint before it is kept"
	}
	s.log.note("warning: %v; %s, and the run continues and will try again", err, kept)
	return nil
}

// bestFile returns the model of the epoch just ended, without training state.
func (s *session) bestFile(rec EpochRecord) (*weights.File, error) {
	f, err := s.fileOf()
	if err != nil {
		return nil, err
	}
	f = f.ModelOnly()
	f.Metrics = rec.figures()
	return f, nil
}

// figures returns the record in the form in which a model file keeps it.
func (r EpochRecord) figures() map[string]float64 {
	m := map[string]float64{"epoch": float64(r.Epoch), "train.loss": r.Train.Loss}
	if r.Train.Top5 > 0 || r.Train.Top1 > 0 {
		m["train.top1"] = r.Train.Top1
	}
	if r.Train.PixelAccuracy > 0 {
		m["train.pixel_accuracy"] = r.Train.PixelAccuracy
	}
	if g := r.Train.Gauge; g != nil {
		m["train.spread"], m["train.dimensions"] = g.Spread, g.Dimensions
	}
	if d := r.Train.Detection; d != nil {
		for name, v := range d.Parts {
			m["train."+name] = v
		}
	}
	switch {
	case r.Val != nil && r.Val.Detection != nil:
		d := r.Val.Detection
		m["val.box_ap"], m["val.box_ap50"] = d.Boxes[0], d.Boxes[1]
		if d.Masks != nil {
			m["val.mask_ap"], m["val.mask_ap50"] = d.Masks[0], d.Masks[1]
		}
	case r.Val != nil && r.Val.KNN != nil:
		m["val.knn"] = *r.Val.KNN
	case r.Val != nil:
		m["val.loss"] = r.Val.Loss
		switch {
		case r.Val.PixelAccuracy > 0:
			m["val.mean_iou"], m["val.pixel_accuracy"] = r.Val.MeanIoU, r.Val.PixelAccuracy
		case r.Val.MAP > 0:
			m["val.map"] = r.Val.MAP
		default:
			m["val.top1"], m["val.top5"] = r.Val.Top1, r.Val.Top5
		}
	}
	return m
}
