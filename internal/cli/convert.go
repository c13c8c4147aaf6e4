package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// convertFlags are the flags of resnet convert.
type convertFlags struct {
	app *app

	model      string
	preprocess string
	classes    string
	keys       []string
	dict       string
	partial    bool
	numClasses int
	seed       uint64
	half       bool
	force      bool
	output     string
	nonFinite  bool
	normEps    normEpsFlag
	skipSums   bool
}

func (a *app) convertCommand() *cobra.Command {
	f := &convertFlags{app: a}
	cmd := &cobra.Command{
		Use:   "convert IN OUT",
		Short: "Convert weights between file formats",
		Long: `convert reads weights in one format and writes them in another. The format of IN
is detected from its content, the format of OUT is chosen by its ending:

  .safetensors          our own model file, which other programs read too
  .pth .pt .th .bin     PyTorch; torch.load(OUT, weights_only=True) reads it
  .onnx                 ONNX, the network with its batch norms, for any batch size
  .keras .h5            Keras 3, with the network

IN is a file of any of these, a safetensors or PyTorch file in several parts (its
.index.json), or NAME@FILE, which is the same as --model NAME. With --model, the
weights are checked against that network and OUT gets its description, so that
OUT alone is enough for predict, eval and train. Our own files, Keras models and
ONNX files that resnet has written describe their network themselves. From other
safetensors and PyTorch files only tensors are copied, and the graph of another
ONNX file can only become ONNX or Keras.

The names that torchvision, timm, transformers, pytorch_resnet_cifar10 and
pytorch-cifar use for tensors are known. For others, give --keys OLD=NEW, or --keys
FILE with one rule per line: a whole name, or a beginning that ends with a dot.
* stands for one part between dots, ** for any number of parts; - as NEW drops the
tensor.`,
		Example: `  resnet convert resnet50.pth resnet50.safetensors --model resnet50 --classes imagenet.txt
  resnet convert model.safetensors model.pth
  resnet convert model.safetensors model.onnx
  resnet convert keras-resnet50.h5 resnet50.onnx
  resnet convert resnet20-cifar@cifar10-resnet20.th r20.safetensors
  resnet convert lightning.ckpt.pth m.safetensors --model resnet18 --keys model.backbone.= --keys model.head.=fc.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := atLeast(2, "IN or OUT")(cmd, args); err != nil {
				return err
			}
			return atMost(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.partial {
				if err := without(cmd.Flags(), "without --partial", "seed"); err != nil {
					return err
				}
			}
			return f.run(args[0], args[1])
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "", "name of the network that the weights are for (see resnet models)")
	fs.StringVar(&f.preprocess, "preprocess", "", "how pictures become inputs: "+strings.Join(data.PresetNames(), ", ")+", or a JSON file")
	fs.StringVar(&f.classes, "classes", "", "file with one class name per line")
	fs.StringArrayVar(&f.keys, "keys", nil, "rename tensors: OLD=NEW, or a file with one rule per line; may be repeated")
	fs.StringVar(&f.dict, "state-dict", "", "which state dict of a PyTorch file that has several, such as model_ema")
	fs.BoolVar(&f.partial, "partial", false, "take the tensors that fit, and fresh values for the rest of the network")
	fs.IntVar(&f.numClasses, "num-classes", 0, "number of classes of the network (default: the number in the weights)")
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the fresh values of --partial")
	fs.BoolVar(&f.half, "half", false, "write floating point as float16")
	fs.BoolVar(&f.force, "force", false, "replace OUT if it exists")
	fs.StringVar(&f.output, "output-name", "", "which output of an ONNX or Keras file is the answer, if it has several (default: the one with the scores of classes)")
	f.normEps.add(cmd)
	fs.BoolVar(&f.nonFinite, "allow-nonfinite", false, "convert weights that are NaN or infinite, too")
	fs.BoolVar(&f.skipSums, "skip-checksums", false, "do not compare the checksums in IN")
	completeWith(cmd, "preprocess", data.PresetNames())
	return cmd
}

// converted is what resnet convert --json prints.
type converted struct {
	In         string          `json:"in"`
	InFormat   weights.Format  `json:"in_format"`
	Out        string          `json:"out"`
	OutFormat  weights.Format  `json:"out_format"`
	Model      string          `json:"model"` // "" if unknown
	Tensors    int             `json:"tensors"`
	Elements   int64           `json:"elements"`
	Classes    int             `json:"classes"` // names known
	Preprocess json.RawMessage `json:"preprocess,omitempty"`
	Report     *weights.Report `json:"report,omitempty"`
}

func (f *convertFlags) run(in, out string) error {
	format, err := weights.FormatOf(out)
	if err != nil {
		return usageError{err}
	}
	if in, err = f.app.fetch(in); err != nil {
		return err
	}
	ref, err := parseModel(in)
	if err != nil {
		return err
	}
	if ref, err = ref.Fetch(f.app.ctx, nil); err != nil {
		return err
	}
	switch {
	case ref.File == "":
		return usagef("IN is missing: a file, or NAME@FILE, not %q", in)
	case ref.Name == "":
		ref.Name = f.model
	case f.model != "" && f.model != ref.Name:
		return usagef("IN names the network %s, --model %s", ref.Name, f.model)
	}
	if !f.force && exists(out) {
		return fmt.Errorf("%s exists already; --force replaces it", out)
	}
	c := &conversion{convertFlags: f, in: ref.File}
	if ref.Name != "" {
		err = c.forModel(ref)
	} else {
		err = c.asItIs(ref)
	}
	if err != nil {
		return err
	}
	if err := c.describe(); err != nil {
		return err
	}
	if c.net != nil && !c.file.Ours() && !holdsNetwork(format) {
		return usagef("%s holds a graph of its own, which %s files cannot describe: write .onnx or .keras, or name by --model the network that its tensors are for", c.in, format)
	}
	opt := weights.SaveOptions{Half: f.half}
	switch {
	case holdsNetwork(format):
		err = c.export(out, format)
	case format == weights.PyTorch:
		err = weights.SavePyTorch(out, c.file, c.order, opt)
	default:
		err = weights.Save(out, c.file, opt)
	}
	if err != nil {
		return err
	}
	return c.print(out, format)
}

// conversion is the work on one file.
type conversion struct {
	*convertFlags
	in     string
	file   *weights.File
	source *weights.Source
	order  []string          // of the tensors in OUT
	net    *modelfile.Result // nil if the file does not describe its network
	report *weights.Report
}

// forModel reads weights for the network that is named.
func (c *conversion) forModel(ref modelfile.Ref) error {
	if _, err := modelfile.Lookup(ref.Name); err != nil {
		return usageError{err}
	}
	keys, err := keyRules(c.keys)
	if err != nil {
		return err
	}
	if c.numClasses < 0 {
		return usagef("--num-classes %d is below 0", c.numClasses)
	}
	r, err := ref.Open(modelfile.Options{
		Keys: keys, Dict: c.dict, Partial: c.partial, Seed: c.seed, Classes: c.numClasses, AllowNonFinite: c.nonFinite, SkipChecksums: c.skipSums, NormEps: c.normEps.value,
	})
	if err != nil {
		return err
	}
	c.report = &r.Report
	if err := c.take(r); err != nil {
		return err
	}
	if !r.Report.Complete() {
		for line := range strings.Lines(r.Report.String()) {
			c.app.note("skipped: %s", strings.TrimSpace(line))
		}
	}
	return nil
}

// take chooses a network with its values as what is written.
func (c *conversion) take(r *modelfile.Result) error {
	c.net, c.file, c.source, c.order = r, r.File, r.Source, nil
	for _, e := range nn.Params(r.Module) {
		c.order = append(c.order, e.Name)
	}
	for _, n := range r.Notes {
		c.app.note("%s: %s", c.in, n)
	}
	if r.Preprocess != nil && c.preprocess == "" {
		var err error
		if c.file.Preprocess, err = json.Marshal(r.Preprocess); err != nil {
			return err
		}
		c.app.note("%s: pictures are prepared as %s: %s", c.in, r.Why, r.Preprocess)
	}
	return nil
}

// asItIs reads a file that describes its network, or tensors of any names.
func (c *conversion) asItIs(ref modelfile.Ref) error {
	if c.partial || c.numClasses != 0 {
		return usagef("--partial and --num-classes need --model")
	}
	if c.normEps.value != nil {
		return usagef("--norm-eps needs --model, a detector that IN has PyTorch's weights for")
	}
	keys, err := keyRules(c.keys)
	if err != nil {
		return err
	}
	r, err := ref.Open(modelfile.Options{Dict: c.dict, Bare: true, Output: c.output, AllowNonFinite: c.nonFinite, SkipChecksums: c.skipSums})
	if err != nil {
		return err
	}
	if len(r.Source.Dicts) > 1 {
		c.app.note("%s: state dict %q was chosen of %q", c.in, r.Source.Dict, r.Source.Dicts)
	}
	if r.Module != nil {
		if keys.Len() > 0 {
			return usagef("%s describes its own network, so its tensors cannot be renamed: --keys needs --model, the network that they are for", c.in)
		}
		if r.Resumable() {
			c.app.note("%s: the state of the training is left out", c.in)
		}
		return c.take(r)
	}
	c.file, c.source, c.order = r.File, r.Source, r.Source.Names
	if c.file.Tensors, err = keys.Apply(c.file.Tensors); err != nil {
		return fmt.Errorf("%s: %w", c.in, err)
	}
	if c.preprocess != "" || c.classes != "" {
		return usagef("%s does not say which network it is for: --preprocess and --classes need --model", c.in)
	}
	c.app.note("%s does not say which network it is for, so OUT will not either: name it by --model NAME", c.in)
	return nil
}

// name returns the name of the network in package models, or "".
func (c *conversion) name() string {
	if c.net == nil || c.net.Model == nil {
		return ""
	}
	return c.net.Model.Config.Name
}

// describe puts preprocessing and classes into the file.
func (c *conversion) describe() error {
	detector := c.net != nil && c.net.Model != nil && c.net.Model.Config.Task() == models.Detection
	if c.preprocess != "" {
		if detector {
			return usagef("--preprocess is for models that leave it open, but %s is a detector, which prepares pictures itself: leave it out", c.net.Model.Config.Name)
		}
		p, err := readPreprocess(c.preprocess)
		if err != nil {
			return err
		}
		if err := c.net.Suit(&p); err != nil {
			return fmt.Errorf("--preprocess %s: %w", c.preprocess, err)
		}
		if c.file.Preprocess, err = json.Marshal(p); err != nil {
			return err
		}
	}
	if c.classes != "" {
		names, err := readClassNames(c.classes)
		if err != nil {
			return fmt.Errorf("--classes: %w", err)
		}
		if len(names) != c.net.Classes {
			return fmt.Errorf("--classes %s has %d names, the network has %d classes", c.classes, len(names), c.net.Classes)
		}
		c.file.Classes = names
	}
	if len(c.file.Preprocess) > 0 && !detector { // of IN, whose mistakes OUT would have
		if _, err := parsePreprocess(c.file.Preprocess); err != nil {
			return fmt.Errorf("%s: its preprocessing: %w", c.in, err)
		}
	}
	if c.net != nil && len(c.file.Preprocess) == 0 && !detector {
		c.app.note("how pictures become inputs is not known: name it by --preprocess NAME")
	}
	return nil
}

func (c *conversion) print(out string, format weights.Format) error {
	v := converted{
		In: c.in, InFormat: c.source.Format, Out: out, OutFormat: format, Model: c.name(),
		Tensors: len(c.file.Tensors), Classes: len(c.file.Classes), Preprocess: c.file.Preprocess, Report: c.report,
	}
	for _, t := range c.file.Tensors {
		v.Elements += int64(t.Numel())
	}
	if c.app.json {
		return c.app.printJSON(v)
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	c.app.printf("%s: %d tensors, %s numbers, %s, %s\n", out, v.Tensors, term.Count(v.Elements), term.Bytes(info.Size()), format)
	return nil
}

// keyRules reads the values of --keys.
func keyRules(values []string) (*weights.KeyMap, error) {
	keys := &weights.KeyMap{}
	for _, v := range values {
		var k *weights.KeyMap
		var err error
		if strings.Contains(v, "=") {
			k, err = weights.ParseKeyMap(v)
		} else {
			k, err = weights.ReadKeyMap(v)
		}
		if err == nil {
			err = keys.Append(k)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--keys: %w", err)}
		}
	}
	return keys, nil
}

// readPreprocess returns a preset, or the preprocessing in a JSON file.
func readPreprocess(v string) (data.Preprocess, error) {
	if !strings.HasSuffix(v, ".json") {
		p, err := data.Preset(v)
		if err != nil {
			return p, usageError{err}
		}
		return p, nil
	}
	var p data.Preprocess
	b, err := limitread.File(v, maxClassFile)
	if err != nil {
		return p, fmt.Errorf("--preprocess: %w", err)
	}
	if p, err = parsePreprocess(b); err != nil {
		return p, fmt.Errorf("--preprocess %s: %w", v, err)
	}
	return p, nil
}

func parsePreprocess(b []byte) (p data.Preprocess, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return p, err
	}
	return p, p.Valid()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
