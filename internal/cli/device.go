package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
)

// DeviceOptions choose a device, as the flags do.
type DeviceOptions struct {
	Kind  string // cpu, gpu or tpu
	Index int    // among the devices of the kind, from 0
	// Plugin is the file of the plugin; empty looks for one.
	Plugin string
	// Deterministic makes results the same bits in each run.
	Deterministic bool
	// TF32 allows products of numbers rounded to 10 bits, where a GPU has them.
	TF32 bool
	// Memory is the share of the device's memory that is taken at once; 0 takes it as it
	// is needed.
	Memory float64
	// Note prints a message for people.
	Note func(format string, args ...any)
}

// Engines are what a program has besides the engine of this module. The zero Engines is
// the program resnet.
type Engines struct {
	// Ranks connects the processes of a training, where one begins.
	Ranks func() (Ranks, error)
	// Device opens a device.
	Device func(DeviceOptions) (*engine.Device, error)
}

// deviceFlags choose where a command computes.
type deviceFlags struct {
	name          string
	plugin        string
	deterministic bool
	tf32          bool
	memory        float64
}

// deviceKinds are the kinds of --device.
var deviceKinds = []string{"gpu", "tpu", "cpu"}

// add adds --device, and in a program that has devices the flags that go with it.
func (f *deviceFlags) add(cmd *cobra.Command, a *app) {
	fs := cmd.Flags()
	if a.engines.Device == nil {
		fs.StringVar(&f.name, "device", "", "gpu, gpu:N, tpu or cpu computes by XLA instead of this program's kernels; needs the program resnet-gpu (docs/gpu.md)")
		return
	}
	fs.StringVar(&f.name, "device", "", "gpu, gpu:N, tpu, tpu:N or cpu: compute by the XLA plugin of that kind (default: this program's own kernels)")
	fs.StringVar(&f.plugin, "plugin", "", "with --device: file of the PJRT plugin (default: PJRT_PLUGIN, PJRT_NAMES_AND_LIBRARY_PATHS, TPU_LIBRARY_PATH, or the active Python environment's)")
	fs.BoolVar(&f.deterministic, "deterministic", false, "with --device: the same bits in each run on the same device, slower on GPUs")
	fs.BoolVar(&f.tf32, "tf32", false, "with --device: let GPUs round the operands of products to TF32's 10 bits: faster, differences of about 1e-3 (default: float32)")
	fs.Float64Var(&f.memory, "device-memory", 0, "with --device: share of the device's memory to take at once, above 0 to 1 (default: as needed)")
	completeWith(cmd, "device", deviceKinds)
}

// given reports whether a device is chosen.
func (f *deviceFlags) given() bool { return f.name != "" }

// open opens the device, nil if none is chosen. Exact is the command's --exact, which
// only this program's kernels know.
func (f *deviceFlags) open(a *app, exact bool) (*engine.Device, error) {
	switch {
	case !f.given() && (f.plugin != "" || f.deterministic || f.tf32 || f.memory != 0):
		return nil, usagef("--plugin, --deterministic, --tf32 and --device-memory need --device")
	case !f.given():
		return nil, nil
	}
	kind, index, numbered := strings.Cut(f.name, ":")
	n := 0
	if numbered {
		var err error
		if n, err = strconv.Atoi(index); err != nil || n < 0 {
			return nil, usagef("--device %q: the number of a device must be a whole number from 0, as in gpu:1", f.name)
		}
	}
	switch {
	case !slices.Contains(deviceKinds, kind):
		return nil, usagef("--device %q is none of gpu, gpu:N, tpu, tpu:N, cpu", f.name)
	case a.engines.Device == nil:
		return nil, usagef("--device %s: this program computes on the processor alone, because it is static and loads no libraries. The program resnet-gpu has the same commands with devices: in the source tree, cd pjrt && go build ./cmd/resnet-gpu; the plugin for the device comes with pip install \"jax[cuda13]\", see docs/gpu.md", f.name)
	case exact:
		return nil, usagef("--exact is about this program's kernels: leave it out with --device, which multiplies directly in any case")
	case !(f.memory >= 0 && f.memory <= 1):
		return nil, usagef("--device-memory is %v, must be above 0 and at most 1", f.memory)
	}
	a.onDevice = f.name
	return a.engines.Device(DeviceOptions{Kind: kind, Index: n, Plugin: f.plugin, Deterministic: f.deterministic, TF32: f.tf32, Memory: f.memory, Note: a.note})
}

// withoutDevice adds to the error for an operator that no device has what to do about it.
func (a *app) withoutDevice(err error) error {
	if none := (*stablehlo.Unsupported)(nil); a.onDevice != "" && errors.As(err, &none) {
		return fmt.Errorf("%w: devices compute whole networks alone, and this program's own kernels compute this one: leave out --device %s", err, a.onDevice)
	}
	return err
}

// arguments returns the flags as a command line has them, for a process that measures.
func (f *deviceFlags) arguments() []string {
	if !f.given() {
		return nil
	}
	args := []string{"--device=" + f.name}
	if f.plugin != "" {
		args = append(args, "--plugin="+f.plugin)
	}
	if f.deterministic {
		args = append(args, "--deterministic")
	}
	if f.tf32 {
		args = append(args, "--tf32")
	}
	if f.memory != 0 {
		args = append(args, "--device-memory="+strconv.FormatFloat(f.memory, 'g', -1, 64))
	}
	return args
}
