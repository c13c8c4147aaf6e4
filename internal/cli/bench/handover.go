package bench

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/tensor"
)

// How far a peer's outputs may be from ours, over the largest output: far above
// what other orders of summation and Winograd's transforms make, far below what
// another network would. In a quantized network a value between two integers
// may become either, and the layers behind it go on from there.
const (
	tolerance          = 2e-3
	bf16Tolerance      = 2e-2 // factors of 8 bits
	quantizedTolerance = 0.2
)

// handover is a temporary folder with what the programs get: the weights as a
// state dict, and for peers as an ONNX network, too, and the input; and where
// each program writes its outputs.
type handover struct {
	dir string
	// The network as files; empty where it is not needed.
	weights, onnx string
	shape         tensor.Shape
	limit         float64 // of the difference between outputs
}

// handOver writes the files of a network, and the files for peers if there are any.
// A file that our program or a peer can read is used directly.
func handOver(n *network, peers bool) (h *handover, err error) {
	dir, err := os.MkdirTemp("", "resnet-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	h = &handover{dir: dir, onnx: n.onnx, shape: n.input.Shape}
	defer func() {
		if err != nil {
			h.remove()
			err = fmt.Errorf("bench: writing %s for the programs: %w", n.cfg.Model, err)
		}
	}()
	quantized, err := n.quantized()
	if err != nil {
		return nil, err
	}
	switch {
	case quantized:
		h.limit = quantizedTolerance
	case n.cfg.BF16 != "":
		h.limit = bf16Tolerance
	default:
		h.limit = tolerance
	}
	if err := writeFloats(h.path("input.f32"), n.given()); err != nil {
		return nil, err
	}
	if !n.ref.HasWeights() || peers && n.peerName() != "" {
		h.weights = h.path("weights.safetensors")
		if err := n.save(h.weights); err != nil {
			return nil, err
		}
	}
	if peers && h.onnx == "" && n.cfg.Mode == Infer {
		h.onnx = h.path("model.onnx")
		err = onnx.Save(h.onnx, n.module, onnx.SaveOptions{Input: n.input.Shape[1:], Batch: n.cfg.Batch})
	}
	return h, err
}

func (h *handover) path(name string) string { return filepath.Join(h.dir, name) }

func (h *handover) output(program int) string { return h.path(fmt.Sprintf("output%d.f32", program)) }

// flags returns the arguments that a program gets; program 0 is ours, which
// makes the input itself, from the same seed.
func (h *handover) flags(program int) []string {
	args := []string{"--output", h.output(program)}
	if h.weights != "" {
		args = append(args, "--weights", h.weights)
	}
	if program > 0 {
		shape := make([]string, len(h.shape))
		for i, d := range h.shape {
			shape[i] = strconv.Itoa(d)
		}
		args = append(args, "--input", h.path("input.f32"), "--shape", strings.Join(shape, ","))
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
	if !(d <= h.limit) {
		return d, fmt.Errorf("bench: the outputs of %s differ from ours by %.2g of the largest, more than %g: the programs do not compute the same", name, d, h.limit)
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
