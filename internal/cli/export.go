package cli

import (
	"fmt"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

// holdsNetwork reports whether files of the format hold the network itself, not
// just its weights.
func holdsNetwork(f weights.Format) bool {
	return f == weights.ONNX || f == weights.Keras || f == weights.HDF5
}

// export writes network and weights in a format of other tools.
func (c *conversion) export(out string, format weights.Format) error {
	if c.half {
		return usagef("--half cannot be used with %s, which is written in float32", out)
	}
	if c.net == nil {
		return usagef("%s does not say which network it is for, but %s files hold the network too: name it by --model NAME", c.in, format)
	}
	if format == weights.ONNX {
		texts, err := modelfile.Metadata(c.file)
		if err != nil {
			return err
		}
		return onnx.Save(out, c.net.Module, onnx.SaveOptions{
			Input: c.net.Input, KeepBatchNorm: true, Metadata: texts, FreeSize: c.net.Task == models.Segmentation && !c.net.FixedSize,
		})
	}
	m, err := c.keras()
	if err != nil {
		return fmt.Errorf("%s: %w", c.in, err)
	}
	return keras.Save(out, m)
}

// keras returns the network as a Keras model.
func (c *conversion) keras() (*keras.Model, error) {
	if c.file.Ours() {
		return keras.FromFile(c.file)
	}
	m, err := keras.FromModule(c.net.Module, "model", c.net.Input)
	if err != nil {
		return nil, err
	}
	m.Info.Classes, m.Info.MultiLabel, m.Info.Preprocess = c.file.Classes, c.file.MultiLabel, c.file.Preprocess
	return m, nil
}
