package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/quantize"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

type quantizeCommand struct {
	*evalCommand
	calib    string
	pictures int
	method   string
	out      string
	opt      quantize.Options
	force    bool
}

func (a *app) quantizeCommand() *cobra.Command {
	c := &quantizeCommand{evalCommand: &evalCommand{app: a}}
	cmd := &cobra.Command{
		Use:   "quantize [MODEL] --calib SPEC -o OUT.onnx",
		Short: "Make an 8-bit integer model of a trained one",
		Long: `quantize rounds a model's weights to int8, with one scale per output channel, and
its activations to uint8, with ranges measured while pictures of --calib run
through the model. Nothing is trained. OUT is an ONNX file in QDQ form, which
predict, eval and other programs (onnxruntime, OpenVINO) run. Its layers compute
with integers, fastest on processors with AVX-512 VNNI.

Accuracy before and after is measured on the test part of --data, or of --calib
(val if there is no test part): top-1, and the share of equal answers.

--method chooses the range of an activation: minmax takes all values seen,
percentile leaves out the outermost 0.01 % at each end, entropy minimizes the
Kullback-Leibler divergence.`,
		Example: `  resnet quantize runs/photos/best.safetensors --calib folder:photos -o photos-int8.onnx
  resnet quantize --calib folder:cifar10.zip --method percentile -o r20-int8.onnx
  resnet quantize resnet50.onnx --preprocess imagenet --calib folder:imagenet --float-last -o r50-int8.onnx`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if c.model != "" {
					return usagef("MODEL is given twice: %s and --model %s", args[0], c.model)
				}
				c.model = args[0]
			}
			return c.run(cmd.Context())
		},
	}
	c.add(cmd, 32)
	f := cmd.Flags()
	f.StringVar(&c.calib, "calib", "", "SPEC of the pictures for measuring ranges: the train part, or val, or test")
	f.StringVarP(&c.data, "data", "d", "", "SPEC of the data for measuring accuracy (default: the SPEC of --calib)")
	f.IntVar(&c.pictures, "pictures", 512, "number of pictures of --calib to use, spread over it")
	f.StringVar(&c.method, "method", quantize.Percentile, "range of an activation: "+strings.Join(quantize.Methods(), ", "))
	f.StringVarP(&c.out, "out", "o", "", "file to write, .onnx")
	f.BoolVar(&c.opt.FloatFirst, "float-first", false, "leave the first layer in floating point")
	f.BoolVar(&c.opt.FloatLast, "float-last", false, "leave the last layer in floating point")
	f.BoolVar(&c.force, "force", false, "replace OUT if it exists")
	f.BoolVar(&c.skipBad, "skip-bad", false, "skip pictures that cannot be decoded")
	completeWith(cmd, "method", quantize.Methods())
	return cmd
}

// quantized is the result of quantize.
type quantized struct {
	Model     string  `json:"model"`
	Out       string  `json:"out"`
	Method    string  `json:"method"`
	Pictures  int     `json:"calibration_pictures"`
	Data      string  `json:"data"`
	Split     string  `json:"split"`
	Evaluated int     `json:"evaluated"`
	Before    float64 `json:"top1_before"`
	After     float64 `json:"top1_after"`
	Agreement float64 `json:"agreement"`    // share of the same answers
	Weights   int64   `json:"bytes_before"` // of the parameters in float32
	Bytes     int64   `json:"bytes_after"`  // of OUT
}

func (c *quantizeCommand) check() error {
	switch {
	case c.calib == "":
		return usagef("--calib is missing: name pictures like the ones that the model will see")
	case c.out == "":
		return usagef("-o is missing: the file to write, such as model-int8.onnx")
	case filepath.Ext(c.out) != ".onnx":
		return usagef("-o %s: quantized models are written as .onnx", c.out)
	case c.pictures < 1:
		return usagef("--pictures %d is below 1", c.pictures)
	case !slices.Contains(quantize.Methods(), c.method):
		return usagef("unknown method %q%s", c.method, suggest.Phrase(c.method, quantize.Methods()))
	case exists(c.out) && !c.force:
		return fmt.Errorf("%s exists already; --force replaces it", c.out)
	}
	return nil
}

func (c *quantizeCommand) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	m, err := c.openFor(c.app, 0, models.Classification, "; others cannot be quantized yet")
	if err != nil {
		return err
	}
	if m.MultiLabel() {
		return errors.New("models with several labels per picture cannot be quantized yet: their accuracy has no top-1")
	}
	calib, err := openData(c.calib, data.Options{})
	if err != nil {
		return err
	}
	defer calib.Close()
	test := calib
	if c.data != "" && c.data != c.calib {
		if test, err = openData(c.data, data.Options{}); err != nil {
			return err
		}
		defer test.Close()
	}
	ds, part, err := split(test, "")
	if err != nil {
		return err
	}
	r := &quantized{Model: m.Name(), Out: c.out, Method: c.method, Data: test.Spec, Split: part}
	if _, err := m.LabelsOf(ds); err != nil {
		return fmt.Errorf("%s: %w", test.Spec, err)
	}
	from := firstOf(calib.Train, calib.Val, calib.Test)
	if test == calib && from == ds {
		c.note("%s has one part only: accuracy is measured on the pictures that were used for the ranges", calib.Spec)
	}
	if err := c.write(ctx, m, from, r); err != nil {
		return err
	}

	after := *c.evalCommand
	after.model, after.preprocess, after.classes, after.keys = c.out, "", "", nil
	q, err := after.open(c.app, 0)
	if err != nil {
		return err
	}
	if err := c.compare(ctx, m, q, ds, r); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(r)
	}
	c.printf("%s: %s instead of %s (%.1f times smaller), %s ranges from %s\n", r.Out,
		term.Bytes(r.Bytes), term.Bytes(r.Weights), float64(r.Weights)/float64(r.Bytes), r.Method, term.Plural(r.Pictures, "picture"))
	c.printf("top-1 on %s of %s (%s): %.2f %% before, %.2f %% after; %.2f %% of the answers are the same\n",
		term.Plural(r.Evaluated, "picture"), r.Data, r.Split, 100*r.Before, 100*r.After, 100*r.Agreement)
	return nil
}

func firstOf(parts ...data.Dataset) data.Dataset {
	for _, p := range parts {
		if p != nil {
			return p
		}
	}
	return nil
}

// write calibrates and writes the file.
func (c *quantizeCommand) write(ctx context.Context, m *resnet.Model, ds data.Dataset, r *quantized) error {
	some := spread(ds, c.pictures)
	passes := 2
	if c.method == quantize.MinMax {
		passes = 1
	}
	progress := term.NewProgress(c.err, c.quiet, "calibration", passes*some.Len())
	defer progress.Close()
	c.opt.Method = c.method
	net, err := quantize.Calibrate(ctx, m.Network(), m.Vars(), m.Input(), c.batches(ctx, m, some, progress), c.opt)
	if err != nil {
		return err
	}
	progress.Close()
	r.Pictures = some.Len()
	for _, name := range m.Vars().Names() {
		t, err := m.Vars().Get(name)
		if err != nil {
			return err
		}
		r.Weights += 4 * int64(t.Numel())
	}
	meta := m.Meta()
	meta.Architecture = nil // batch norms are folded, so the graph is another network
	meta.Classes = m.Classes()
	if meta.Preprocess, err = json.Marshal(m.Preprocess()); err != nil {
		return err
	}
	texts, err := modelfile.Metadata(&weights.File{Meta: meta})
	if err != nil {
		return err
	}
	if err := onnx.Save(c.out, net, onnx.SaveOptions{Input: m.Input(), Metadata: texts}); err != nil {
		return err
	}
	info, err := os.Stat(c.out)
	if err != nil {
		return err
	}
	r.Bytes = info.Size()
	return nil
}

// batches loads the pictures again for each pass.
func (c *quantizeCommand) batches(ctx context.Context, m *resnet.Model, ds data.Dataset, progress *term.Progress) iter.Seq2[*tensor.Tensor, error] {
	return func(yield func(*tensor.Tensor, error) bool) {
		loader, err := data.NewLoader(ds, data.LoaderConfig{
			BatchSize: c.batch, Preprocess: m.Preprocess(), Last: data.Keep, SkipBad: c.skipBad, Workers: c.threads, CacheBytes: -1,
		})
		if err != nil {
			yield(nil, err)
			return
		}
		for b, err := range loader.Epoch(ctx, 0, 0) {
			if err != nil {
				yield(nil, c.explain(err))
				return
			}
			if b.Real == 0 {
				continue
			}
			if !yield(tensor.FromNHWC(b.X[:b.Real*b.H*b.W*b.C], b.Real, b.C, b.H, b.W)) {
				return
			}
			progress.Add(b.Real)
		}
	}
}

// spread takes n samples at even distances, so that all classes are among them
// even if the dataset is sorted by class.
func spread(ds data.Dataset, n int) data.Dataset {
	index := make([]int, min(n, ds.Len()))
	for i := range index {
		index[i] = i * ds.Len() / len(index)
	}
	return data.Subset(ds, index)
}

// compare runs both models over a dataset.
func (c *quantizeCommand) compare(ctx context.Context, m, q *resnet.Model, ds data.Dataset, r *quantized) error {
	a, err := c.evaluate(ctx, m, ds, r.Data)
	if err != nil {
		return err
	}
	b, err := c.evaluate(ctx, q, ds, r.Data)
	if err != nil {
		return err
	}
	k, same := len(m.Classes()), 0
	for i := range a.Index {
		if metrics.ArgMax(a.Logits[i*k:(i+1)*k]) == metrics.ArgMax(b.Logits[i*k:(i+1)*k]) {
			same++
		}
	}
	r.Evaluated = a.Single.Samples
	r.Before, r.After, r.Agreement = a.Single.Top1, b.Single.Top1, float64(same)/float64(r.Evaluated)
	return nil
}
