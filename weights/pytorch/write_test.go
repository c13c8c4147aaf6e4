package pytorch

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/tensor"
)

// sample has every type that can be written, and the shapes that need care.
func sample(t *testing.T) []Tensor {
	t.Helper()
	f := func(shape ...int) *tensor.Tensor {
		x := tensor.New(shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(math.Sin(float64(i + 1)))
		}
		return x
	}
	n := tensor.NewInt64()
	n.Int64s()[0] = -1 << 40
	ids := tensor.NewInt64(70000) // sizes of 3 bytes
	for i := range ids.Int64s() {
		ids.Int64s()[i] = int64(i)
	}
	return []Tensor{
		{Name: "conv1.weight", Tensor: f(4, 3, 3, 3)},
		{Name: "bn1.num_batches_tracked", Tensor: n},
		{Name: "half", Tensor: f(5), As: Float16},
		{Name: "brain", Tensor: f(2, 3), As: BFloat16},
		{Name: "ids", Tensor: ids},
		{Name: "scalar", Tensor: f()},
		{Name: "empty", Tensor: f(0, 3)},
		{Name: "schräg", Tensor: f(1, 300)},
	}
}

func TestWriteAndReadAgain(t *testing.T) {
	ts := sample(t)
	var b, again bytes.Buffer
	if err := Write(&b, ts, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := Write(&again, ts, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("the same tensors give different bytes")
	}
	r, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Extra()) != `{"a":1}` || len(r.Entries()) != len(ts) {
		t.Errorf("extra %q, %d entries", r.Extra(), len(r.Entries()))
	}
	for i, e := range r.Entries() {
		if e.Name != ts[i].Name {
			t.Errorf("entry %d is %s, was written as %s", i, e.Name, ts[i].Name)
		}
		got, err := r.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		want := ts[i].Tensor
		if !got.Shape().Equal(want.Shape()) || got.DType() != want.DType() {
			t.Fatalf("%s is %v, was %v", e.Name, got, want)
		}
		for j := range want.Numel() {
			switch {
			case want.DType() == tensor.Int64:
				if got.Int64s()[j] != want.Int64s()[j] {
					t.Fatalf("%s: element %d is %d, was %d", e.Name, j, got.Int64s()[j], want.Int64s()[j])
				}
			default:
				tolerance := map[DType]float64{Float32: 0, "": 0, Float16: 1. / 2048, BFloat16: 1. / 256}[ts[i].As]
				g, w := float64(got.Float32s()[j]), float64(want.Float32s()[j])
				if math.Abs(g-w) > tolerance*math.Abs(w) {
					t.Fatalf("%s: element %d is %v, was %v", e.Name, j, g, w)
				}
			}
		}
	}
}

func TestStoragesAreAligned(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, sample(t), nil); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range r.box.(*zipFile).files {
		at, err := f.DataOffset()
		if err != nil || at%alignment != 0 {
			t.Errorf("%s begins at %d (%v)", name, at, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	x := tensor.New(1)
	for want, ts := range map[string][]Tensor{
		"given twice":             {{Name: "a", Tensor: x}, {Name: "a", Tensor: x}},
		"cannot be written as":    {{Name: "a", Tensor: x, As: Int64}},
		"is int64 and cannot be ": {{Name: "a", Tensor: tensor.NewInt64(1), As: Float16}},
	} {
		if err := Write(&bytes.Buffer{}, ts, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

func TestToBFloat16(t *testing.T) {
	for f, want := range map[float32]uint16{
		1: 0x3f80, 1 + 1./256: 0x3f80, 1 + 3./256: 0x3f82, -2.5: 0xc020, 3.4e38: 0x7f80,
		float32(math.Inf(-1)): 0xff80,
	} {
		if got := toBFloat16(f); got != want {
			t.Errorf("%v becomes %#x, want %#x", f, got, want)
		}
	}
	if got := toBFloat16(float32(math.NaN())); got&0x7f80 != 0x7f80 || got&0x7f == 0 {
		t.Errorf("NaN becomes %#x", got)
	}
}

// TestPyTorchReadsWhatWeWrite lets PyTorch read each type of tensor.
func TestPyTorchReadsWhatWeWrite(t *testing.T) {
	python := peer.Python(t, "torch")
	version, err := exec.Command(python, "-c", "import torch; print(torch.__version__)").Output()
	if err != nil {
		t.Fatalf("%s has no PyTorch: %v", python, err)
	}
	path := filepath.Join(t.TempDir(), "ours.pth")
	var b bytes.Buffer
	ts := sample(t)
	if err := Write(&b, ts, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/gen/read.py", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("PyTorch %s: %v", bytes.TrimSpace(version), err)
	}
	var got []struct {
		Name, DType string
		Shape       tensor.Shape
		Values      []float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(got) != len(ts) {
		t.Fatalf("PyTorch finds %d tensors of %d", len(got), len(ts))
	}
	r, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		e := r.Entries()[i]
		if g.Name != e.Name || DType(g.DType) != e.DType {
			t.Errorf("PyTorch's %d is %s %s, ours %s %s", i, g.Name, g.DType, e.Name, e.DType)
		}
		x, err := r.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		checkValues(t, e.Name, x, g.Shape, g.Values)
	}
	t.Logf("read by PyTorch %s", bytes.TrimSpace(version))
}
