package main

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/keras"
	"github.com/resnet-go/resnet/weights/onnx"
)

// holdsNetwork reports whether files of the format hold the network itself and
// not its weights alone.
func holdsNetwork(f weights.Format) bool {
	return f == weights.ONNX || f == weights.Keras || f == weights.HDF5
}

// export writes network and weights in a format of other tools.
func (c *conversion) export(out string, format weights.Format) error {
	if c.half {
		return usagef("--half does not go with %s, which is written in float32", out)
	}
	if !c.file.Ours() {
		return usagef("%s does not say which network it is for, and %s files hold the network too: --model NAME tells it", c.in, format)
	}
	if format != weights.ONNX {
		m, err := keras.FromFile(c.file)
		if err != nil {
			return fmt.Errorf("%s: %w", c.in, err)
		}
		return keras.Save(out, m)
	}
	net, err := c.network()
	if err != nil {
		return err
	}
	meta := map[string]string{}
	if len(c.file.Classes) > 0 {
		names, err := json.Marshal(c.file.Classes)
		if err != nil {
			return err
		}
		meta["classes"] = string(names)
	}
	if len(c.file.Preprocess) > 0 {
		meta["preprocess"] = string(c.file.Preprocess)
	}
	return onnx.Save(out, net, onnx.SaveOptions{Input: net.Input(), KeepBatchNorm: true, Metadata: meta})
}
