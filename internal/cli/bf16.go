package cli

import (
	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/engine"
)

// bf16Flag is the value of --bf16.
type bf16Flag engine.BF16

func (f *bf16Flag) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(f, "bf16", "multiply bfloat16 numbers, on processors with AVX512-BF16; emulate: the same products on any processor, in plain Go and very slowly, to measure accuracy. With --exact no convolution is transformed before it is rounded, which halves the errors")
	fs.Lookup("bf16").NoOptDefVal = engine.BF16Native.String()
	completeWith(cmd, "bf16", []string{"native", "emulate", "off"})
}

// String returns the name of the value.
func (f *bf16Flag) String() string { return engine.BF16(*f).String() }

// Set reads a name.
func (f *bf16Flag) Set(s string) error {
	v, err := engine.ParseBF16(s)
	*f = bf16Flag(v)
	return err
}

// Type names the kind of value in the help.
func (f *bf16Flag) Type() string { return "native|emulate" }

// name is String, but "" for off.
func (f *bf16Flag) name() string {
	if engine.BF16(*f) == engine.BF16Off {
		return ""
	}
	return f.String()
}

// check returns an error if what computes, the processor or a device, cannot.
func (f *bf16Flag) check(d *engine.Device) error {
	return engine.Options{BF16: engine.BF16(*f), Device: d}.Check()
}
