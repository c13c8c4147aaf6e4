package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/onnx"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// tolerance is how far a peer's outputs may be from ours, over the largest
// output: far above what other orders of summation and Winograd's transforms
// make, far below what another network would.
const tolerance = 2e-3

// handover is a temporary folder with what the programs get: the weights as a
// state dict, and for peers as an ONNX network, too, and the input; and where
// each program writes its outputs.
type handover struct {
	dir     string
	onnx    string
	foreign bool // onnx is not our network
}

// handOver writes the files of a configuration, those of peers if there are any.
func handOver(cfg Config, model string, peers bool) (h *handover, err error) {
	net, input, err := network(cfg)
	if err != nil {
		return nil, err
	}
	if err := nn.Init(net, seed); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "resnet-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	h = &handover{dir: dir, onnx: model, foreign: model != ""}
	defer func() {
		if err != nil {
			h.remove()
			err = fmt.Errorf("bench: writing %s for the programs: %w", cfg.Model, err)
		}
	}()
	if err := writeFloats(h.path("input.f32"), random(input).Float32s()); err != nil {
		return nil, err
	}
	var ts []safetensors.Tensor
	for _, e := range nn.StateDict(net) {
		t := e.Param.Value
		if t == nil {
			t = tensor.NewInt64(e.Param.Shape...) // counters start at 0
		}
		ts = append(ts, safetensors.Tensor{Name: e.Name, Tensor: t})
	}
	err = atomicfile.Write(h.path("weights.safetensors"), func(w io.Writer) error { return safetensors.Write(w, ts, nil) })
	if err != nil || !peers {
		return h, err
	}
	if !h.foreign && cfg.Mode == Infer {
		h.onnx = h.path("model.onnx")
		err = onnx.Save(h.onnx, net, onnx.SaveOptions{Input: input.Shape[1:], Batch: cfg.Batch})
	}
	return h, err
}

func (h *handover) path(name string) string { return filepath.Join(h.dir, name) }

func (h *handover) output(program int) string { return h.path(fmt.Sprintf("output%d.f32", program)) }

// flags returns the arguments that a program gets; program 0 is ours, which
// makes the input itself, from the same seed.
func (h *handover) flags(program int) []string {
	args := []string{"--output", h.output(program), "--weights", h.path("weights.safetensors")}
	if program > 0 {
		args = append(args, "--input", h.path("input.f32"))
		if h.onnx != "" {
			args = append(args, "--onnx", h.onnx)
		}
	}
	return args
}

// compare returns the largest difference of a program's outputs to ours over
// our largest output.
func (h *handover) compare(program int, name string) (float64, error) {
	ours, err := readFloats(h.output(0))
	if err != nil {
		return 0, fmt.Errorf("bench: our outputs: %w", err)
	}
	theirs, err := readFloats(h.output(program))
	if err != nil {
		return 0, fmt.Errorf("bench: the outputs of %s: %w", name, err)
	}
	d, err := difference(ours, theirs)
	if err != nil {
		return 0, fmt.Errorf("bench: %s: %w", name, err)
	}
	if !h.foreign && !(d <= tolerance) {
		return d, fmt.Errorf("bench: the outputs of %s differ from ours by %.2g of the largest, more than %g: the programs do not compute the same", name, d, tolerance)
	}
	return d, nil
}

func difference(a, b []float32) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("it has %d outputs, ours %d", len(b), len(a))
	}
	var diff, largest float64
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.NaN(), nil
		}
		diff, largest = max(diff, d), max(largest, math.Abs(float64(a[i])))
	}
	if largest == 0 {
		return diff, nil
	}
	return diff / largest, nil
}

func (h *handover) remove() { _ = os.RemoveAll(h.dir) } // what is left in a temporary folder harms nobody

// writeFloats writes x as little-endian float32.
func writeFloats(path string, x []float32) error {
	b := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return os.WriteFile(path, b, 0o600)
}

func readFloats(path string) ([]float32, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%s: %d bytes are no array of float32", path, len(b))
	}
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x, nil
}
