// Package train trains networks: recipes and learning-rate schedules, one
// compiled graph per step (forward, loss, gradients, optimizer, moving averages),
// evaluation, checkpoints from which a run continues to the same bits, logs and
// curves. The command calls [Run]; programs that build their own network use
// [Compile] and [Trainer.Fit].
package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/weights"
)

// The files of a run in Config.Out.
const (
	LastFile = "last.safetensors" // the newest state, complete, from which Resume continues
	// PreviousFile is the state before LastFile's, from which Resume continues if
	// LastFile is damaged.
	PreviousFile = "previous.safetensors"
	BestFile     = "best.safetensors" // the best model so far, without training state
	RecipeFile   = "recipe.yaml"      // the complete recipe
	ResultsFile  = "results.csv"      // one line per epoch
	CurvesPNG    = "curves.png"
	CurvesSVG    = "curves.svg"
)

// Config describes a run: the network, the data, the recipe.
type Config struct {
	// Model is a name of package models, a model file (to start from its
	// weights), or NAME@FILE for a file that holds weights only (see
	// modelfile.Open). Empty means the recipe's.
	Model string
	// Keys renames the tensors of FILE in NAME@FILE; nil renames none.
	Keys *weights.KeyMap
	// Data is opened by Open (nil means data.Open), unless Splits is given.
	Data   string
	Open   func(spec string, opt data.Options) (*data.Splits, error)
	Splits *data.Splits
	// ValData is opened like Data, for the pictures to evaluate on: its val, test or
	// only part, whose classes must be among Data's. Empty means Data's own, or a
	// share of its training part.
	ValData string
	// Recipe is how to train; nil means the one that [Choose] chooses. Set changes
	// keys of the chosen one, each KEY=VALUE.
	Recipe *Recipe
	Set    []string
	// Optimizer, if it is not empty, is given to the chosen recipe by
	// [Recipe.SetOptimizer]; lr.peak in Set stays.
	Optimizer string
	// Out is the folder for the files of the run, created if it does not exist. It
	// must not hold a run unless Resume is set. If it is empty, nothing is written.
	Out string
	// Resume continues the run in Out, with its model, recipe, seed and data: Model
	// and Recipe must be zero, and the content of the data must be the same.
	Resume bool
	// Epochs, with Resume, is a new length of the run, also of one that has ended; 0
	// leaves it.
	Epochs int
	// MaxTime ends the session early, after an evaluation, for which time is set aside; 0
	// is no limit. An epoch that it breaks off stays in progress: Resume continues within
	// it, to the bits of a run without a limit. An evaluation that would end more than a
	// tenth and two seconds later is cut off: the session then ends without its figures.
	MaxTime time.Duration
	Seed    uint64 // of initial weights, order, augmentation and dropout
	// Threads is the number of threads that compute and decode; 0 means one per CPU.
	// It does not change the results.
	Threads int
	// Device computes the network in training and evaluation instead of the processor;
	// nil for none. A run can be continued on another device, or without one: the numbers
	// then differ by rounding.
	Device *engine.Device
	// Exchange connects this process with the other ranks of a training on several
	// machines, which have the same Config but for it; nil trains in this process alone.
	// The batches are cut into Recipe.Shards, 8 if the recipe has none.
	Exchange Exchange
	// Workers is the number of goroutines that decode pictures; 0 means Threads.
	Workers int
	// SkipBad leaves out pictures that cannot be decoded, and counts them.
	SkipBad bool
	// SkipCheck leaves out the check at the start that decodes every picture once.
	// A resumed run makes the check only if the data have changed since the last one.
	SkipCheck bool
	// SkipHash leaves out the hash of the data, for which all files are read.
	SkipHash bool
	// Reference refuses a run, before it begins, of whose best model no reference of its
	// answers can be kept, as resnet train --reference does: the error wraps ErrNoReference.
	Reference bool
	Command   []string // the command line, recorded in the model file
	Log       Log

	chosen []string // notes of Choose

	fold, folds int  // of CrossValidate; else 0
	whole       bool // ignore Recipe.Shards
}

// Log receives the progress of a run. The zero Log discards it.
type Log struct {
	// W receives lines of text. If it is a terminal, a progress bar is drawn.
	W io.Writer
	// Event is called with every event, for programs; may be nil.
	Event func(Event)
}

// Event is one thing that happened in a run.
type Event struct {
	Kind  string       `json:"kind"`            // "start", "step", "epoch", "note"
	Note  string       `json:"note,omitempty"`  // of start and note
	Epoch *EpochRecord `json:"epoch,omitempty"` // of epoch
	Step  *StepRecord  `json:"step,omitempty"`  // of step
	// DataWait, of epoch, is the share of the session's training time so far that
	// was spent waiting for data. It differs between otherwise equal runs, so it is
	// in no record.
	DataWait *float64 `json:"data_wait,omitempty"`
}

// StepRecord describes one update. Epoch counts from 1, Step from 1 through the
// whole run.
type StepRecord struct {
	Epoch int     `json:"epoch"`
	Step  int     `json:"step"`
	LR    float64 `json:"lr"`
	Loss  float64 `json:"loss"`
	Top1  float64 `json:"top1"` // of the batch
	// PixelAccuracy is the share of the batch's pixels whose class is right, in
	// segmentation.
	PixelAccuracy float64 `json:"pixel_accuracy,omitempty"`
	// Parts are the losses of a detector.
	Parts []LossPart `json:"parts,omitempty"`
	// Gauge is of the batch, of a network that learns without labels.
	Gauge *Gauge `json:"gauge,omitempty"`
}

// EpochRecord describes one epoch, counted from 1.
type EpochRecord struct {
	Epoch int      `json:"epoch"`
	Step  int      `json:"step"` // updates so far
	LR    float64  `json:"lr"`   // of the last update
	Train Metrics  `json:"train"`
	Val   *Metrics `json:"val,omitempty"` // nil if it was not evaluated
	// Partial tells that Config.MaxTime ended the session within the epoch.
	Partial bool `json:"partial,omitempty"`
}

// Result describes a run that has ended.
type Result struct {
	Epochs int `json:"epochs"` // done
	Steps  int `json:"steps"`  // updates done
	// Last is the last epoch, or the part of one in which Config.MaxTime ended the session;
	// that is in no History.
	Last EpochRecord  `json:"last"`
	Best *EpochRecord `json:"best,omitempty"` // nil without validation
	// EvaluatedOn is the part of the data that chose Best: val, or test where there is no
	// val; empty without validation.
	EvaluatedOn string `json:"evaluated_on,omitempty"`
	Stopped     string `json:"stopped,omitempty"` // why the session ended before the recipe; empty if it did not
	// LinearProbe is the top-1 accuracy, 0 to 1, of a linear classifier of the features at
	// the end of a run without labels, on the part to evaluate on: fitted to the training
	// part's labels by features.FitLinear. nil where there are no labels.
	LinearProbe *float64 `json:"linear_probe,omitempty"`
	// Warnings are what makes the result doubtful, such as that it is no better than
	// chance.
	Warnings  []string `json:"warnings"`
	Skipped   int      `json:"skipped"` // bad pictures, in this session
	LastFile  string   `json:"last_file,omitempty"`
	BestFile  string   `json:"best_file,omitempty"`
	Seconds   float64  `json:"seconds"` // of this session
	PerSecond float64  `json:"images_per_second"`
	// DataWait is the share of PerSecond's time that was spent waiting for data.
	DataWait float64 `json:"data_wait"`
	// History has all epochs, including those before a resume.
	History []EpochRecord `json:"history"`
}

// ErrNoReference is wrapped by the error for [Config.Reference] of a run whose model has
// no reference.
var ErrNoReference = errors.New("no reference can be kept")

// Interrupted is the error of a run whose context ended. The step in progress was
// finished and everything saved.
type Interrupted struct {
	Epoch, Step int    // epoch from 1, and its updates that are done
	Checkpoint  string // empty if Config.Out is empty
	Cause       error
}

// Error describes where the run stopped and how to continue.
func (e *Interrupted) Error() string {
	s := fmt.Sprintf("stopped in epoch %d after step %d", e.Epoch, e.Step)
	if e.Checkpoint == "" {
		return s + notSaved
	}
	return fmt.Sprintf("%s; saved as %s: %s", s, e.Checkpoint, continued(filepath.Dir(e.Checkpoint)))
}

const notSaved = "; nothing was saved, as no output folder was given"

// continued tells how to continue a run.
func continued(out string) string { return "continue with --resume --out " + term.Quote(out) }

// Unwrap returns the context's error.
func (e *Interrupted) Unwrap() error { return e.Cause }

// Diverged is the error of a run whose numbers are no longer finite.
type Diverged struct {
	Epoch, Step int // epoch from 1; step of the whole run from 1
	LR          float64
	What        string // "the loss is NaN"
	Checkpoint  string // the last good checkpoint, empty if there is none
}

// Error describes where it happened and what may help.
func (e *Diverged) Error() string {
	s := fmt.Sprintf("%s in epoch %d, step %d, at learning rate %.4g", e.What, e.Epoch, e.Step, e.LR)
	if e.Checkpoint != "" {
		s += "; the last good state is kept in " + e.Checkpoint
	}
	return s + "; try a lower lr.peak, a longer lr.warmup or optimizer.clip_norm=1"
}

// Run trains by cfg until the recipe ends. If ctx ends, the step in progress is
// finished, everything is saved, and the error is an *[Interrupted]. Numbers that
// are not finite stop the run with a *[Diverged] error; the last good checkpoint
// stays. Other errors name the file, key or flag at fault. The Result is not nil if
// training began.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	ranks := group{cfg.Exchange}
	s, err := prepare(ctx, cfg)
	if err != nil {
		return nil, ranks.end(err)
	}
	defer s.close()
	var r *Result
	if err = s.sameEverywhere(); err == nil {
		r, err = s.run(ctx)
	}
	if err = ranks.end(err); err != nil {
		s.abandon()
	}
	return r, err
}

// Status is a run's progress as recorded in its output folder.
type Status struct {
	Recipe   *Recipe
	Model    string // the network's name
	Seed     uint64
	History  []EpochRecord
	Finished bool // the recipe has ended, or has stopped the run early
}

// ReadStatus reads the progress of the run in a folder. Its error wraps
// fs.ErrNotExist if there is none.
func ReadStatus(out string) (*Status, error) {
	meta, st, rec, err := readState(filepath.Join(out, LastFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if m, s, r, before := readState(filepath.Join(out, PreviousFile)); before == nil {
			meta, st, rec, err = m, s, r, nil
		}
	}
	if err != nil {
		return nil, err
	}
	s := &Status{Recipe: rec, Seed: meta.Seed, History: st.History}
	s.Model = s.Recipe.Model
	s.Finished = st.Stopped != "" || s.Recipe.Epochs > 0 && st.Epoch >= s.Recipe.Epochs ||
		s.Recipe.Iterations > 0 && st.Update >= s.Recipe.Iterations
	return s, nil
}

func readState(path string) (*weights.Meta, *state, *Recipe, error) {
	meta, _, err := weights.LoadMeta(path)
	if err != nil {
		return nil, nil, nil, err
	}
	st := new(state)
	rec, err := st.read(path, meta)
	return meta, st, rec, err
}
