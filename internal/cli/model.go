package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
)

// modelFlags choose a trained model.
type modelFlags struct {
	model      string
	preprocess string
	classes    string
	batch      int
	keys       []string
	exact      bool
	bf16       bf16Flag
	device     deviceFlags
	noTuning   bool
	invariant  bool
	asStored   bool // pictures are not turned by their orientation
	output     string
	nonFinite  bool
	skipSums   bool
	mirror     bool // average with the mirror image
	features   bool // the command needs no last layer
	normEps    normEpsFlag
}

func (f *modelFlags) add(cmd *cobra.Command, batch int) {
	f.addModel(cmd, "model file (.safetensors, .onnx, .keras, .h5) or NAME@FILE (default: the model inside the program)")
	f.addChoices(cmd, batch)
}

// addFor is add for a command whose model must be of a task that the model inside the
// program does not have.
func (f *modelFlags) addFor(cmd *cobra.Command, task models.Task, batch int) {
	f.addModel(cmd, ofTask[task].name+": a file (.safetensors, .onnx), NAME@FILE or a published name; must be given")
	f.addChoices(cmd, batch)
}

func (f *modelFlags) addModel(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVarP(&f.model, "model", "m", "", usage)
}

// addChoices adds the flags of how a model is opened, without the one of which.
func (f *modelFlags) addChoices(cmd *cobra.Command, batch int) {
	fs := cmd.Flags()
	fs.StringVar(&f.preprocess, "preprocess", "", "how pictures become inputs, for a file without this information: "+strings.Join(data.PresetNames(), ", ")+", or a JSON file")
	fs.StringVar(&f.classes, "classes", "", "file of class names, one per line or JSON, or imagenet, for a model file that has none")
	fs.IntVar(&f.batch, "batch", batch, "pictures per batch")
	fs.StringArrayVar(&f.keys, "keys", nil, "rename the tensors of NAME@FILE: OLD=NEW, or a file with one rule per line; may be repeated")
	fs.BoolVar(&f.exact, "exact", false, "disable Winograd convolution (slower, rounding as in PyTorch)")
	f.bf16.add(cmd)
	fs.StringVar(&f.output, "output-name", "", "which output of an ONNX or Keras file is the answer, if it has several (default: the one with the scores of classes)")
	fs.BoolVar(&f.nonFinite, "allow-nonfinite", false, "open a file whose weights are NaN or infinite")
	fs.BoolVar(&f.skipSums, "skip-checksums", false, "do not compare the checksums in a model file")
	fs.BoolVar(&f.invariant, "batch-invariant", false, "the same bits for a picture in any batch (chooses algorithms for one picture)")
	fs.BoolVar(&f.noTuning, "no-tuning", false, "ignore the times that resnet tune has measured")
	completeWith(cmd, "preprocess", data.PresetNames())
}

// addOrientation adds the flag of commands that decode pictures.
func (f *modelFlags) addOrientation(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.asStored, "ignore-orientation", false, "leave pictures as stored instead of turning them by their EXIF orientation (as torchvision's datasets)")
}

// normEpsFlag is --norm-eps, whose zero is another value than none.
type normEpsFlag struct{ value *float32 }

// String implements pflag.Value.
func (f *normEpsFlag) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*f.value), 'g', -1, 32)
}

// Type implements pflag.Value.
func (*normEpsFlag) Type() string { return "number" }

// Set implements pflag.Value.
func (f *normEpsFlag) Set(s string) error {
	v, err := strconv.ParseFloat(s, 32)
	if err != nil || !(v >= 0 && v < 1) {
		return fmt.Errorf("%q is not a number from 0 to below 1, such as 0 or 1e-5", s)
	}
	eps := float32(v)
	f.value = &eps
	return nil
}

func (f *normEpsFlag) add(cmd *cobra.Command) {
	cmd.Flags().Var(f, "norm-eps", "epsilon of the frozen batch norms of a detector's PyTorch weights: 0 as in torchvision's COCO_V1, 1e-5 without (default: that of torchvision's files of the same form)")
}

// completeWith gives the shell the values with which it completes a flag.
func completeWith(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // only if the command has no such flag
	}
}

// open opens the model; topK is resnet.Options.TopK.
func (f *modelFlags) open(a *app, topK int) (*resnet.Model, error) {
	if f.batch < 1 {
		return nil, usagef("--batch %d is below 1", f.batch)
	}
	keys, err := keyRules(f.keys)
	if err != nil {
		return nil, err
	}
	opt := resnet.Options{Threads: a.threads, Batch: f.batch, TopK: topK, IgnoreOrientation: f.asStored, Mirror: f.mirror,
		Compute: resnet.Compute{Exact: f.exact, BF16: engine.BF16(f.bf16), Tuning: a.tuning(f.noTuning || f.exact), BatchInvariant: f.invariant}}
	opt.Weights.Keys, opt.Weights.Output, opt.Weights.AllowNonFinite = keys, f.output, f.nonFinite
	opt.Weights.Features, opt.Weights.SkipChecksums, opt.Weights.NormEps = f.features, f.skipSums, f.normEps.value
	if f.preprocess != "" {
		p, err := readPreprocess(f.preprocess)
		if err != nil {
			return nil, err
		}
		opt.Weights.Preprocess = &p
	}
	if f.classes == "imagenet" && !exists(f.classes) {
		opt.Weights.Classes = data.ImageNetClasses()
	} else if f.classes != "" {
		names, err := readClassNames(f.classes)
		if err != nil {
			return nil, fmt.Errorf("--classes: %w", err)
		}
		opt.Weights.Classes = names
	}
	if opt.Compute.Device, err = f.device.open(a, f.exact); err != nil {
		return nil, err
	}
	if err := f.bf16.check(opt.Compute.Device); err != nil {
		return nil, err
	}
	model, err := a.fetch(f.model)
	if err != nil {
		return nil, err
	}
	m, err := resnet.Open(model, opt)
	if errors.Is(err, resnet.ErrUnknown) || errors.Is(err, resnet.ErrNoWeights) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	if names := m.Classes(); f.classes != "" && !slices.Equal(names, opt.Weights.Classes) {
		return nil, usagef("--classes %s names the classes of a model without names, but %s has names, such as %q: leave it out", f.classes, m.Name(), names[len(names)-1])
	}
	for _, n := range m.Notes() {
		a.note("%s: %s", f.model, n)
	}
	return m, nil
}

// ofTask is what a model of a task is called, what it does, and the command for it.
var ofTask = map[models.Task]struct{ name, does, command string }{
	models.Classification: {"a classifier", "which gives whole pictures a class", "resnet predict"},
	models.Segmentation:   {"a segmentation network", "which gives each pixel a class", "resnet segment"},
	models.Detection:      {"a detector", "which finds objects", "resnet detect"},
	models.Features:       {"a backbone", "which gives numbers and no classes, because it has no last layer", "resnet embed"},
}

// openFor is open for a command that needs a model of one task, such as those in
// examples. A command that needs features takes a classifier, too.
func (f *modelFlags) openFor(a *app, topK int, task models.Task, examples string) (*resnet.Model, error) {
	f.features = task == models.Features
	m, err := f.open(a, topK)
	if err != nil || m.Task() == task || task == models.Features && m.Task() == models.Classification {
		return m, err
	}
	if m.Task() == models.Features {
		return nil, noClasses(m)
	}
	have, want := ofTask[m.Task()], ofTask[task]
	return nil, usagef("%s is a model for %s, %s: use %s, or name %s by --model%s", m.Name(), m.Task(), have.does, have.command, want.name, examples)
}

// noClasses is the error for a backbone where classes are needed.
func noClasses(m *resnet.Model) error {
	return usagef("%s has no last layer, so it gives features and no classes: train one by resnet train --model %s --data folder:PHOTOS, fit one by resnet linear, or print its features by resnet embed", m.Name(), m.Name())
}

// parseModel is [modelfile.Parse] with usage errors.
func parseModel(model string) (modelfile.Ref, error) {
	ref, err := modelfile.Parse(model)
	if err != nil {
		return ref, usageError{err}
	}
	return ref, nil
}

// maxClassFile is the limit of a file of class names. ImageNet-21k's has under
// a megabyte.
const maxClassFile = 64 << 20

// readClassNames reads a file of class names, in any form of
// [data.ParseClassNames].
func readClassNames(path string) ([]string, error) {
	b, err := limitread.File(path, maxClassFile)
	if err != nil {
		return nil, err
	}
	names, err := data.ParseClassNames(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}
