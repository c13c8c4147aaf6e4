package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/train"
)

// labeledData are the flags of commands that measure a model on labeled pictures.
type labeledData struct {
	data    string
	split   string
	seed    uint64
	seeded  func() bool // --seed was given
	skipBad bool
	// recorded is the model from whose file the data are; nil if they were given.
	recorded *resnet.Model
}

// addData adds the flags; part is the text of --split, seed that of --seed.
func (d *labeledData) addData(cmd *cobra.Command, part string, parts []string, seed string) {
	f := cmd.Flags()
	f.StringVarP(&d.data, "data", "d", "", "SPEC of the data (default: those that the model was trained on)")
	f.StringVar(&d.split, "split", "", part+" (default: test, else val)")
	f.Uint64Var(&d.seed, "seed", 0, seed)
	d.seeded = func() bool { return f.Changed("seed") }
	f.BoolVar(&d.skipBad, "skip-bad", false, "leave out pictures that cannot be decoded, and count them")
	completeWith(cmd, "split", parts)
}

// choose settles which data a model is measured on: those of --data, else those that it
// was trained on, if its file tells. The sample inside the program is for models that know
// its classes.
func (d *labeledData) choose(a *app, m *resnet.Model) error {
	switch spec := m.Meta().Data.Spec; {
	case d.data != "":
	case spec != "":
		a.note("without --data, the data are those that %s was trained on: %s", m.Name(), spec)
		d.data, d.recorded = spec, m
	case !knowsSample(m):
		return usagef("--data is missing: the file of %s does not tell what it was trained on, and it does not have the classes of the sample inside the program (T-shirt/top, Trouser, …); "+
			"name data such as folder:photos, or the sample by --data %s", m.Name(), embedded.SampleName)
	}
	return nil
}

// opened explains why data cannot be opened that nobody named.
func (d *labeledData) opened(err error) error {
	if err == nil || d.recorded == nil {
		return err
	}
	if none := (*data.NoClassesError)(nil); errors.As(err, &none) {
		return usagef("--data is missing, and what %s was trained on, %s, has no classes: name pictures that are sorted into classes", d.recorded.Name(), d.data)
	}
	return usagef("--data is missing, and what %s was trained on cannot be opened here: %w", d.recorded.Name(), err)
}

// knowsSample reports whether a model has the classes of the sample inside the program.
func knowsSample(m *resnet.Model) bool {
	if m.Task() != models.Classification {
		return false
	}
	s, err := openData("", data.Options{})
	if err != nil {
		return true // which opening it again reports
	}
	defer s.Close()
	_, err = m.LabelsOf(s.Eval())
	return err == nil
}

// options returns how the data are divided: as in the model's training, unless --seed is
// given. Pictures are left as stored if asStored is set.
func (d *labeledData) options(m *resnet.Model, asStored bool) data.Options {
	opt := train.DataOptions(m.Meta())
	if d.seeded() {
		opt.Seed = d.seed
	}
	opt.IgnoreOrientation = asStored
	return opt
}

// explain adds what to do about a picture that cannot be decoded.
func (d *labeledData) explain(err error) error {
	var bad *data.SampleError
	if errors.As(err, &bad) && !d.skipBad {
		return fmt.Errorf("%w (--skip-bad leaves it out)", err)
	}
	return err
}

// openParts opens the data for a model, and prints the notes. If they are those that it was
// trained on, and it was evaluated then on others (train --val-data) or on a fold of them
// (--folds), those are the part to evaluate on: the model has seen all the rest.
func (d *labeledData) openParts(a *app, m *resnet.Model, opt data.Options) (*data.Splits, error) {
	of, open := m.Meta().Data, openData
	if m.Task() == models.Detection {
		open = detection.OpenData
	}
	if of.Val == "" && of.Folds == 0 || d.data != of.Spec {
		s, err := a.openNoted(open, d.data, opt, false)
		return s, d.opened(err)
	}
	opt.ValFraction = -1
	s, err := a.openNoted(open, d.data, opt, true)
	if err != nil {
		return nil, d.opened(err)
	}
	if of.Folds > 0 {
		a.note("the part to evaluate on is that of the training, fold %d of %d", of.Fold, of.Folds)
		if of.Fold < 1 || of.Fold > of.Folds || s.Train == nil || of.Folds > s.Train.Len() {
			return nil, errors.Join(fmt.Errorf("%s was trained on a fold of other data than are in %s", m.Name(), of.Spec), s.Close())
		}
		fold := data.Folds(s.Train, of.Folds, m.Meta().Seed)[of.Fold-1]
		s.Train, s.Val, s.Test = fold.Train, fold.Val, nil
		return s, nil
	}
	a.note("the part to evaluate on is that of the training, %s", of.Val)
	v, err := a.openNoted(open, of.Val, opt, false)
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		return nil, errors.Join(d.opened(err), s.Close())
	}
	return s, nil
}

// openNoted opens data by open, and prints the notes. A test part that cannot be used is
// left out where there is a validation part, as in training, and with spare, which is for
// callers that do not need it.
func (a *app) openNoted(open func(spec string, opt data.Options) (*data.Splits, error), spec string, opt data.Options, spare bool) (*data.Splits, error) {
	s, err := data.OpenSparing(open, spec, opt, spare)
	if err != nil {
		return nil, err
	}
	for _, n := range s.Notes {
		a.note("%s", n)
	}
	return s, nil
}
