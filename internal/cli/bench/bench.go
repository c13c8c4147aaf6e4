// Package bench measures the speed of our networks, in alternation with other
// programs.
//
// Each configuration runs in a process of its own, whether ours or a peer's, so
// that its peak memory is its own, and all speak the protocol of
// peers/protocol.py: a process reports that it is ready, then answers each
// request for a number of steps with their times.
package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/tensor"
)

// The modes of a configuration.
const (
	Infer = "infer" // a forward pass, batch norm folded
	Train = "train" // forward, cross entropy, backward, SGD with momentum
)

// Config is what to measure.
type Config struct {
	Model          string `json:"model"` // name of a network, a file, or NAME@FILE
	Mode           string `json:"mode"`
	Batch          int    `json:"batch"`
	Threads        int    `json:"threads"`
	Size           int    `json:"size"`             // height and width of the input; 0 means the network's own
	Exact          bool   `json:"exact"`            // ours: direct convolutions only
	BatchInvariant bool   `json:"batch_invariant"`  // ours: the same bits for a picture in any batch
	BF16           string `json:"bf16"`             // ours: native, emulate or "" for float32, see engine.BF16
	Device         string `json:"device,omitempty"` // where ours computes, as --device says; "" is the processor
	// On is that device in the process that measures.
	On *engine.Device `json:"-"`
	// Tuning chooses the algorithms of ours; nil leaves that to the model of the
	// machine.
	Tuning engine.Tuning `json:"-"`
}

// String names the configuration.
func (c Config) String() string {
	name := fmt.Sprintf("%s %s batch %d threads %d", c.Model, c.Mode, c.Batch, c.Threads)
	if c.BF16 != "" {
		name += " bf16"
	}
	if c.BF16 == engine.BF16Emulated.String() {
		name += " (emulated)"
	}
	if c.Device != "" {
		name += " on " + c.Device
	}
	return name
}

// seed makes the random weights; every program gets the same.
const seed = 1

// newStep opens the network of a configuration, with the state dict in a file if
// state names one, and compiles one pass of it over a fixed batch.
func newStep(cfg Config, state string) (*infer.Call, error) {
	n, err := open(cfg, state, true)
	if err != nil {
		return nil, err
	}
	return n.compile(cfg.Tuning)
}

// random returns a batch of pictures, NHWC.
func random(t graph.Type) *tensor.Tensor {
	x := tensor.NewNHWC(t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3])
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.NormFloat64())
	}
	return x
}
