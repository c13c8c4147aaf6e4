// Package golden reads the golden files that tests compare with, and builds the
// operators whose results they hold. It is for tests only. The files are
// safetensors; golden.py in this folder writes them for scripts in the testdata/gen
// folders.
package golden

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// Meta is a file's metadata. By our convention "op" is a plain string and
// "attrs" a JSON object.
type Meta map[string]string

// Decode parses the JSON value under key into v and fails the test if the key
// is missing or does not fit.
func (m Meta) Decode(t testing.TB, key string, v any) {
	t.Helper()
	s, ok := m[key]
	if !ok {
		t.Fatalf("golden: no metadata %q", key)
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		t.Fatalf("golden: metadata %q: %v", key, err)
	}
}

// Load reads a golden file: its tensors by name and its metadata. Any problem
// fails the test.
func Load(t testing.TB, path string) (map[string]*tensor.Tensor, Meta) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden: %v", err)
	}
	tensors, meta, err := parse(b)
	if err != nil {
		t.Fatalf("golden: %s: %v", path, err)
	}
	return tensors, meta
}

func parse(b []byte) (map[string]*tensor.Tensor, Meta, error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("%d bytes is too short for a safetensors file", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-8) {
		return nil, nil, fmt.Errorf("header of %d bytes in a file of %d", n, len(b))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	data := b[8+n:]
	tensors, meta := map[string]*tensor.Tensor{}, Meta{}
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &meta); err != nil {
				return nil, nil, fmt.Errorf("metadata: %w", err)
			}
			continue
		}
		x, err := parseTensor(raw, data)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors[name] = x
	}
	return tensors, meta, nil
}

func parseTensor(raw json.RawMessage, data []byte) (*tensor.Tensor, error) {
	var e struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > len(data) {
		return nil, fmt.Errorf("offsets %v lie outside %d bytes of data", e.Offsets, len(data))
	}
	data = data[e.Offsets[0]:e.Offsets[1]]
	switch e.DType {
	case "F32":
		if len(data)%4 != 0 {
			return nil, fmt.Errorf("%d bytes are no float32 array", len(data))
		}
		v := make([]float32, len(data)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		return tensor.FromFloat32(v, e.Shape...)
	case "I64":
		if len(data)%8 != 0 {
			return nil, fmt.Errorf("%d bytes are no int64 array", len(data))
		}
		v := make([]int64, len(data)/8)
		for i := range v {
			v[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
		return tensor.FromInt64(v, e.Shape...)
	}
	return nil, fmt.Errorf("dtype %s is not one that goldens use", e.DType)
}

// Close reports an error naming the worst element unless got has want's shape
// and every element is within atol + rtol*|want|; NaN equals nothing, and
// int64 tensors must be equal.
func Close(t testing.TB, what string, got, want *tensor.Tensor, rtol, atol float64) {
	t.Helper()
	if got.DType() != want.DType() || !got.Shape().Equal(want.Shape()) {
		t.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	if want.DType() == tensor.Int64 {
		for i, w := range want.Int64s() {
			if g := got.Int64s()[i]; g != w {
				t.Errorf("%s: element %d of %v is %d, want %d", what, i, want.Shape(), g, w)
				return
			}
		}
		return
	}
	worst, at, bad := -1.0, 0, 0
	for i, w := range want.Float32s() {
		g := got.Float32s()[i]
		if g == w { // equal infinities too
			continue
		}
		excess := math.Abs(float64(g)-float64(w)) / (atol + rtol*math.Abs(float64(w)))
		if excess <= 1 {
			continue
		}
		bad++
		if math.IsNaN(excess) {
			excess = math.Inf(1)
		}
		if excess > worst {
			worst, at = excess, i
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d of %d elements differ by more than %g + %g*|want|; worst is element %d of %v: got %g, want %g",
			what, bad, want.Numel(), atol, rtol, at, want.Shape(), got.Float32s()[at], want.Float32s()[at])
	}
}
