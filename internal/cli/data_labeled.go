package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/train"
)

// labeledData are the flags of commands that measure a model on labeled pictures.
type labeledData struct {
	data    string
	split   string
	seed    uint64
	seeded  func() bool // --seed was given
	skipBad bool
}

// addData adds the flags; part is the text of --split, selects what --seed selects.
func (d *labeledData) addData(cmd *cobra.Command, part string, parts []string, selects string) {
	f := cmd.Flags()
	f.StringVarP(&d.data, "data", "d", "", "SPEC of the data (default: the sample inside the program, for models trained on it)")
	f.StringVar(&d.split, "split", "", part+" (default: test, else val)")
	f.Uint64Var(&d.seed, "seed", 0, "selects "+selects+" if the data have none (default: as the model was trained)")
	d.seeded = func() bool { return f.Changed("seed") }
	f.BoolVar(&d.skipBad, "skip-bad", false, "leave out pictures that cannot be decoded, and count them")
	completeWith(cmd, "split", parts)
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

// openNoted is openData, and prints the notes. A test part that cannot be used is left
// out where there is a validation part, as in training.
func (a *app) openNoted(spec string, opt data.Options) (*data.Splits, error) {
	s, err := data.OpenSparing(openData, spec, opt, false)
	if err != nil {
		return nil, err
	}
	for _, n := range s.Notes {
		a.note("%s", n)
	}
	return s, nil
}
