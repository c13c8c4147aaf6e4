package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
)

type exportCommand struct {
	*app
	stableHLO   bool
	out         string
	input       string
	batch       int
	constants   bool
	train       bool
	momentum    float64
	weightDecay float64
}

func (a *app) exportCommand() *cobra.Command {
	c := &exportCommand{app: a}
	cmd := &cobra.Command{
		Use:   "export [MODEL|FILE|NAME@FILE]",
		Short: "Write a network as a program for other compilers",
		Long: `export --stablehlo writes a network as StableHLO, which XLA (JAX, PyTorch/XLA) and
IREE compile for GPUs, TPUs and CPUs: the inference of a batch, or with --train a
whole step of training: loss, gradients, batch norms' statistics and the update by SGD.

The arguments of main are the input [N C H W] and the tensors of the model file,
whose names are the locations of the arguments; --json lists them. The results are
the logits; of a training step the loss, the logits and the new values of the
variables. With --constants, the weights are in the program.

For files of other formats, see resnet convert.`,
		Example: `  resnet export --stablehlo resnet50 -o resnet50.mlir
  resnet export --stablehlo --constants --batch 8 runs/photos/best.safetensors -o photos.mlir
  resnet export --stablehlo --train --batch 64 resnet20-cifar -o step.mlir --json`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Flags(), args) },
	}
	f := cmd.Flags()
	f.BoolVar(&c.stableHLO, "stablehlo", false, "write StableHLO (the only form)")
	f.StringVarP(&c.out, "out", "o", "", "file to write, .mlir")
	f.StringVar(&c.input, "input", "", "input as CxHxW, such as 3x224x224 (default: the network's own)")
	f.IntVar(&c.batch, "batch", 1, "pictures per batch")
	f.BoolVar(&c.constants, "constants", false, "write the weights into the program")
	f.BoolVar(&c.train, "train", false, "write a step of training")
	f.Float64Var(&c.momentum, "momentum", 0.9, "with --train: momentum of SGD")
	f.Float64Var(&c.weightDecay, "weight-decay", 1e-4, "with --train: weight decay of SGD, of weights of convolutions and linear layers")
	return cmd
}

// exportReport is what resnet export --json prints.
type exportReport struct {
	Model     string         `json:"model"`
	Out       string         `json:"out"`
	Bytes     int            `json:"bytes"`
	Arguments []exportedPort `json:"arguments"` // of main, in order
	Results   []exportedPort `json:"results"`   // of main, in order
}

type exportedPort struct {
	Name     string `json:"name"` // of a tensor its key in model files
	DType    string `json:"dtype"`
	Shape    []int  `json:"shape"`
	Variable bool   `json:"variable"` // a tensor that is kept between runs, or its new value
}

func (c *exportCommand) run(flags *pflag.FlagSet, args []string) error {
	switch {
	case !c.stableHLO:
		return usagef("--stablehlo is missing: it is the only form that export writes; see resnet convert for files")
	case len(args) == 0:
		return usagef("MODEL is missing; see resnet export --help")
	case c.out == "":
		return usagef("-o FILE.mlir is missing")
	case c.batch < 1:
		return usagef("--batch %d is below 1", c.batch)
	case c.train && c.constants:
		return usagef("--constants and --train exclude each other: training changes the weights")
	}
	if err := checkEnd("-o", c.out, ".mlir"); err != nil {
		return err
	}
	if !c.train {
		if err := without(flags, "without --train", "momentum", "weight-decay"); err != nil {
			return err
		}
	}
	net, input, _, err := c.summarized(args[0])
	if err != nil {
		return err
	}
	if c.input != "" {
		if input, err = parseInput(c.input); err != nil {
			return err
		}
	}
	g, err := c.graph(net, append(tensor.Shape{c.batch}, input...))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	opt := stablehlo.Options{}
	if c.constants {
		if opt.Constants, err = values(net); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
	}
	p, err := stablehlo.Write(g, opt)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	err = atomicfile.Write(c.out, func(w io.Writer) error {
		_, err := w.Write(p.Text)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(args[0], p)
}

// graph returns the network's inference, or a step of its training.
func (c *exportCommand) graph(net nn.Module, input tensor.Shape) (*graph.Graph, error) {
	if !c.train {
		return infer.Graph(net, infer.Input{Shape: input}, infer.Query{})
	}
	if _, err := values(net); err != nil { // a network by its name
		if err := nn.Init(net, 0); err != nil {
			return nil, err
		}
	}
	g, _, err := train.StepGraph(net, train.StepOptions{Input: input, Loss: train.CrossEntropy{},
		Optimizer: train.SGD{Momentum: c.momentum, WeightDecay: c.weightDecay}})
	return g, err
}

// values returns the values of a network's parameters by their names.
func values(net nn.Module) (map[string]*tensor.Tensor, error) {
	all := map[string]*tensor.Tensor{}
	for _, e := range nn.Params(net) {
		if e.Param.Value == nil {
			return nil, fmt.Errorf("the network has no weights (%s): name a model file, or NAME@FILE", e.Name)
		}
		if err := e.Param.Value.Load(); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		all[e.Name] = e.Param.Value
	}
	return all, nil
}

func (c *exportCommand) print(model string, p *stablehlo.Program) error {
	e := exportReport{Model: model, Out: c.out, Bytes: len(p.Text)}
	for _, a := range p.Arguments {
		e.Arguments = append(e.Arguments, exportedPort{a.Name, a.Type.DType.String(), a.Type.Shape, a.Variable})
	}
	for _, r := range p.Results {
		e.Results = append(e.Results, exportedPort{r.Name, r.Type.DType.String(), r.Type.Shape, r.Variable})
	}
	if c.json {
		return c.printJSON(e)
	}
	c.printf("%s as StableHLO with %d arguments and %d results written to %s (%d bytes)\n", model, len(e.Arguments), len(e.Results), c.out, e.Bytes)
	return nil
}
