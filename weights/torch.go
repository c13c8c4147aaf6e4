package weights

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/pytorch"
)

// SavePyTorch writes the model of f, without the training's tensors, as a state
// dict that torch.load reads, atomically. The metadata are in a record that
// PyTorch ignores and [Load] reads. The tensors are written in the given order of
// names; tensors that are not in it follow in alphabetical order. The same File
// and order always give the same bytes.
func SavePyTorch(path string, f *File, order []string, opt SaveOptions) error {
	var extra []byte
	if f.Ours() {
		meta, err := f.texts()
		if err == nil {
			extra, err = json.Marshal(meta) // sorted by key
		}
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	var ts []pytorch.Tensor
	for _, name := range ordered(f.Tensors, order) {
		t := pytorch.Tensor{Name: name, Tensor: f.Tensors[name]}
		if opt.Half && t.Tensor.DType() == tensor.Float32 {
			t.As = pytorch.Float16
		}
		ts = append(ts, t)
	}
	return atomicfile.Write(path, func(w io.Writer) error { return pytorch.Write(w, ts, extra) })
}

// ordered returns the names of m: first the names in order, then the others.
func ordered(m map[string]*tensor.Tensor, order []string) []string {
	var names []string
	seen := map[string]bool{}
	for _, list := range [][]string{order, slices.Sorted(maps.Keys(m))} {
		for _, n := range list {
			if m[n] != nil && !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	return names
}
