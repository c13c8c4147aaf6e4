package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitSignal = 128 // plus the number of the signal that ended the program
)

// app is what all commands share: input, output, and the flags that every command
// has.
type app struct {
	ctx      context.Context // of the whole command line
	engines  Engines         // of the program, besides the processor
	in       io.Reader
	out, err io.Writer // results, progress

	json    bool
	quiet   bool
	threads int
	memory  memoryFlag // --max-memory

	archives map[string]*data.Files // zips and tars among the pictures, open until the command ends
	running  bool                   // the command line was parsed: later errors are not usage errors
	onDevice string                 // --device, once it is open
}

// usageError is a mistake in the command line that only the command can detect.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return runOn(ctx, Engines{}, args, in, out, errOut)
}

func runOn(ctx context.Context, engines Engines, args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	failed := func(err error) {
		if errors.Is(err, syscall.EPIPE) {
			stop(errPipe)
		}
	}
	results := &output{w: out, failed: failed}
	a := &app{ctx: ctx, engines: engines, in: in, out: results, err: &output{w: errOut, failed: failed}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := a.execute(ctx, root, args)
	if closeErr := a.closeArchives(); err == nil {
		err = closeErr
	}
	// Bad pictures, for example, do not hide that the results of the good ones are lost.
	if results.err != nil && (err == nil || !strings.Contains(err.Error(), results.err.Error())) {
		lost := fmt.Errorf("the results could not be written: %w", results.err)
		if err != nil {
			lost = fmt.Errorf("%w; %w", lost, err)
		}
		err = lost
		a.running = true
	}
	if err == nil {
		return exitDone
	}
	err = a.withoutDevice(err)
	if known := (knownError{}); errors.As(err, &known) {
		errOut = io.Discard
	}
	if ctx.Err() != nil {
		stopped := interruptionOf(ctx)
		if errors.Is(err, context.Canceled) {
			err = stopped
		}
		if stopped != errPipe {
			fmt.Fprintf(errOut, "%s: %s\n", cmd.CommandPath(), asWritten(oneLine(err), args))
		}
		return stopped.code
	}
	fmt.Fprintf(errOut, "%s: %s\n", cmd.CommandPath(), asWritten(oneLine(err), args))
	if usage := (usageError{}); !a.running || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// outFlag finds the two names of one flag.
var outFlag = regexp.MustCompile(`(^|[\s(])(--out|-o)([\s:,;)]|$)`)

// asWritten gives --out the name in a message that it has in the command line: -o has the
// short name, which most people write.
func asWritten(text string, args []string) string {
	name := ""
	for _, arg := range args {
		switch {
		case arg == "--out" || strings.HasPrefix(arg, "--out="):
			name = "--out"
		case strings.HasPrefix(arg, "-o"):
			name = "-o"
		}
		if name != "" {
			return outFlag.ReplaceAllString(text, "${1}"+name+"${3}")
		}
	}
	return text
}

// execute runs the command line. For an unknown command with --help, cobra would print
// the help of the commands around it.
func (a *app) execute(ctx context.Context, root *cobra.Command, args []string) (*cobra.Command, error) {
	help := slices.Contains(args, "--help") || slices.Contains(args, "-h")
	if at, rest, err := root.Find(args); help && err == nil && at.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return at, group(at, rest)
	}
	return root.ExecuteContextC(ctx)
}

// maxMessage is the limit of a line of an error's message in bytes: two long paths fit, and
// a text of megabytes that a file has in the place of a name does not.
const maxMessage = 10000

// oneLine returns an error's message on a single line. The middle of a line that is too
// long is left out: its end tells what to do.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if left := len(line) - maxMessage; left > 0 {
			half := maxMessage / 2
			line = fmt.Sprintf("%s … (%d bytes left out) … %s", strings.ToValidUTF8(line[:half], ""), left, strings.ToValidUTF8(line[len(line)-half:], ""))
		}
		parts = append(parts, line)
	}
	return term.Plain(strings.Join(parts, "; "))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "resnet",
		Version: version().Version,
		Short:   "Train, evaluate and use residual networks",
		Long: `resnet trains, evaluates and uses residual networks, in pure Go on the CPU.

MODEL is a name (see "resnet models"), a model file, or NAME@FILE for a file
that holds weights only. Published models have names, too, such as
timm/resnet50.a1_in1k or torchvision/resnet50, and are downloaded once (see
"resnet pull"). Without --model, the model inside the program is used, a classifier;
detect and segment need a detector or a segmentation network.

SPEC names data; DIR of folder and coco can also be a zip. Without --data, the sample
inside the program is used.
  folder:DIR       pictures in a folder for each class, or train/ and val/ of such
  multilabel:DIR   pictures with any number of labels each
  cifar10:DIR, cifar100:DIR, idx:DIR   the files of CIFAR and of MNIST
  coco:DIR, coco:FILE.json   objects with boxes or masks, as COCO's files have them
  voc:DIR          objects with boxes, or a class for each pixel, as Pascal VOC's
  masks:DIR        pictures and masks with a class for each pixel
  coco-voc:DIR     COCO's objects as pixels of Pascal VOC's 21 classes
  tar:FILE, tar:DIR, "tar:train-{000..099}.tar"   tars and WebDataset's shards

Results go to stdout, progress and messages to stderr. With --json, results are
JSON: each command's help has its form, docs/json.md its fields.

The exit code is 0 when done, 1 when something failed, 2 for a mistake in the
command line, and 128 plus the number of the signal after an interruption (130 for
Ctrl-C).`,
		Example: `  resnet train                               # a minute on the embedded sample
  resnet predict photo.jpg                   # with the embedded model
  resnet train --data folder:photos --out runs/photos
  resnet eval --model runs/photos/best.safetensors --data folder:photos`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if a.threads < 0 {
				return usagef("--threads %d is below 0 (0 means one per CPU)", a.threads)
			}
			if slices.Contains(args, "") && cmd.Name() != cobra.ShellCompRequestCmd {
				return usagef("an argument is empty, perhaps by an unset variable of the shell: give a value, or leave it out")
			}
			if err := checkValues(cmd.Flags()); err != nil {
				return err
			}
			if err := a.countOnce(cmd); err != nil {
				return err
			}
			a.running = true // a place that cannot be written is no mistake in the command line
			if err := checkOverwrite(cmd, args); err != nil {
				return err
			}
			resnet.SetMaxMemory(int64(a.memory))
			return nil
		},
	}
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print results as JSON")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, and no messages except errors")
	f.IntVar(&a.threads, "threads", 0, "threads to use; 0 means one per CPU; results do not depend on it, unless tuned")
	f.Var(&a.memory, "max-memory", "memory that a model, file or dataset may need, such as 8GiB (default: the machine's; for what files ask for, 1 GiB and 64 times their size)")
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate("resnet {{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		a.trainCommand(),
		a.evalCommand(),
		a.predictCommand(),
		a.segmentCommand(),
		a.detectCommand(),
		a.embedCommand(),
		a.linearCommand(),
		a.mapCommand(),
		a.serveCommand(),
		a.explainCommand(),
		a.inspectCommand(),
		a.summaryCommand(),
		a.convertCommand(),
		a.exportCommand(),
		a.quantizeCommand(),
		a.calibrateCommand(),
		a.modelsCommand(),
		a.pullCommand(),
		a.dataCommand(),
		a.doctorCommand(),
		a.benchCommand(),
		a.tuneCommand(),
		a.compareCommand(),
		a.benchWorkerCommand(),
		a.versionCommand(),
	)
	root.SetOut(a.out) // which the command completion notes when it is made
	completionGroup(root)
	describeJSON(root)
	completeAll(root)
	return root
}

// helpCommand is cobra's, except that an unknown command is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about a command",
		Example: "  resnet help train",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if at, _, err := cmd.Root().Find(args); err == nil {
				names = commandNames(at)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError{err}
			}
			if len(rest) > 0 {
				return group(at, rest)
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// completionGroup makes cobra's command for completion refuse a shell that it does
// not know, as other commands do.
func completionGroup(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = cobra.ArbitraryArgs, group
		}
	}
}

// commandNames returns the names of the commands below cmd.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// group is the action of a command that only has subcommands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return usagef("unknown command %q%s", args[0], suggest.Phrase(args[0], commandNames(cmd)))
}

// flagError adds the nearest flag to the message for an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	if wrong := (*pflag.InvalidValueError)(nil); errors.As(err, &wrong) {
		return usageError{invalidValue(wrong)}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err}
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usagef("unknown flag -%s; see %s --help", name, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near, ok := suggest.Nearest(name, names); ok {
		return usagef("unknown flag --%s; did you mean --%s?", name, near)
	}
	if name == "device" {
		return usagef("%s computes on the processor alone: leave out --device, or use one of the commands that docs/gpu.md lists", cmd.CommandPath())
	}
	return usagef("unknown flag --%s; see %s --help", name, cmd.CommandPath())
}

// invalidValue returns the error for a flag's value that is not of its type.
func invalidValue(e *pflag.InvalidValueError) error {
	f := e.GetFlag()
	want := map[string]string{
		"int": "a whole number", "uint64": "a whole number of 0 or more", "float64": "a number",
		"bool": "true or false", "duration": "a time such as 90s, 10m or 2h30m",
		"intSlice": "whole numbers with commas between them, such as 1,5,10", "stringSlice": "words with commas between them",
	}[f.Value.Type()]
	if want == "" {
		return fmt.Errorf("--%s %q: %w", f.Name, e.GetValue(), e.Unwrap())
	}
	return fmt.Errorf("--%s wants %s, not %q", f.Name, want, e.GetValue())
}

// atLeast and atMost check the number of arguments; what names them.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s is missing; see %s --help", what, cmd.CommandPath())
		}
		return nil
	}
}

func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return noMore(n, args) }
}

func noMore(n int, args []string) error {
	if len(args) > n {
		return usagef("unexpected argument %q", args[n])
	}
	return nil
}

// without is the error for flags that were given, but have no effect in a case, as in
// "with --list-layers"; nil if there are none.
func without(flags *pflag.FlagSet, in string, names ...string) error {
	for _, name := range names {
		if flags.Changed(name) {
			return usagef("--%s has no effect %s: leave it out", name, in)
		}
	}
	return nil
}

// maxThreads bounds what runs at once by the largest machines, maxNumber other whole
// numbers, so that products of two cannot overflow.
const (
	maxThreads = 4096
	maxNumber  = math.MaxInt32
)

// checkValues refuses the values of given flags that no flag takes: empty texts, which may
// be an unset variable of the shell, of keys and certificates for example, and numbers
// beyond what any machine can do.
func checkValues(flags *pflag.FlagSet) (failed error) {
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if err := checkValue(f, v); err != nil && failed == nil {
				failed = usagef("--%s %w", f.Name, err)
			}
		}
	})
	return failed
}

func checkValue(f *pflag.Flag, value string) error {
	switch kind := f.Value.Type(); kind {
	case "string", "stringArray", "stringSlice":
		if value == "" {
			return errors.New("is empty, perhaps by an unset variable of the shell: give a value, or leave the flag out")
		}
	case "int", "intSlice":
		most := maxNumber
		switch f.Name {
		case "threads", "workers", "decoders", "jobs", "seeds", "grid":
			most = maxThreads
		}
		if n, err := strconv.Atoi(value); err != nil || n > most {
			return fmt.Errorf("%s is above %d, the most that is taken", value, most)
		}
	}
	return nil
}

// countOnce leaves each value of a flag that takes a list in it once.
func (a *app) countOnce(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, ok := f.Value.(pflag.SliceValue)
		if !ok || f.Value.Type() == "stringArray" { // --set and the like, of which the last one counts
			return
		}
		var once []string
		for _, v := range list.GetSlice() {
			if slices.Contains(once, v) {
				a.note("--%s: %s is given twice, and counts once", f.Name, v)
				continue
			}
			once = append(once, v)
		}
		failed = errors.Join(failed, list.Replace(once))
	})
	return failed
}

// note prints a line for people on stderr, unless --quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.err, term.PlainLines(fmt.Sprintf(format, args...)))
	}
}

// printf prints a result. Names of files and classes, which come from anywhere,
// cannot command the terminal.
func (a *app) printf(format string, args ...any) {
	fmt.Fprint(a.out, term.PlainLines(fmt.Sprintf(format, args...)))
}
