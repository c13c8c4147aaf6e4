package train

import (
	"errors"

	"github.com/resnet-go/resnet/data"
)

// checkReference returns why the best model of the run will have no answers to keep a
// reference of; nil if it will have them.
func (j *job) checkReference() error {
	ev := j.splits.Eval()
	switch {
	case j.rec.SSL != nil:
		return errors.New("it is of a classifier's answers, and training without labels gives a backbone, which has none")
	case j.rec.Detect != nil:
		return errors.New("it is of a classifier's answers, and this trains a detector")
	case data.Masks(j.splits.Train) != nil:
		return errors.New("it is of a classifier's answers, and this trains a segmentation network")
	case ev == nil || ev.Len() == 0:
		return errors.New("it is of the best model's answers, and there is nothing to evaluate on, so that no epoch is the best: leave a share for validation, or give other data to evaluate on")
	}
	return nil
}
