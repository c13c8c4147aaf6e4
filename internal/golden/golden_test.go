package golden

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// TestOpGoldensLoad checks that every committed op golden reads, is finite and
// names its op.
func TestOpGoldensLoad(t *testing.T) {
	files, err := filepath.Glob("../../graph/testdata/ops/*.safetensors")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d op goldens, %v", len(files), err)
	}
	for _, f := range files {
		tensors, meta := Load(t, f)
		var attrs map[string]any
		meta.Decode(t, "attrs", &attrs)
		if meta["op"] == "" || tensors["in.0"] == nil || tensors["out.0"] == nil {
			t.Errorf("%s: op %q, %d tensors", f, meta["op"], len(tensors))
		}
		for name, x := range tensors {
			if x.DType() != tensor.Float32 {
				continue
			}
			for _, v := range x.Float32s() {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Errorf("%s: %s holds %v", f, name, v)
					break
				}
			}
		}
	}
}

// recorder is a testing.TB that keeps what Errorf is told.
type recorder struct {
	testing.TB
	msgs []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.msgs = append(r.msgs, format)
}

func TestClose(t *testing.T) {
	f := func(v ...float32) *tensor.Tensor {
		x, err := tensor.FromFloat32(v, len(v))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	ints, _ := tensor.FromInt64([]int64{1}, 1)
	other, _ := tensor.FromInt64([]int64{2}, 1)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name      string
		got, want *tensor.Tensor
		ok        bool
	}{
		{"equal", f(1, 2), f(1, 2), true},
		{"within", f(1, 2.001), f(1, 2), true},
		{"beyond", f(1, 2.1), f(1, 2), false},
		{"got NaN", f(nan), f(1), false},
		{"both NaN", f(nan), f(nan), false},
		{"both Inf", f(inf), f(inf), true},
		{"got Inf", f(inf), f(1), false},
		{"want Inf", f(1), f(inf), false},
		{"shape", f(1), f(1, 2), false},
		{"dtype", ints, f(1), false},
		{"ints", ints, ints, true},
		{"ints differ", other, ints, false},
	} {
		r := &recorder{TB: t}
		Close(r, c.name, c.got, c.want, 1e-3, 0)
		if (len(r.msgs) == 0) != c.ok {
			t.Errorf("%s: messages %q", c.name, r.msgs)
		}
	}
}

func TestParseRefusesBrokenFiles(t *testing.T) {
	good, err := os.ReadFile("testdata/fill.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	file := func(header string, data int) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		return append(append(b, header...), make([]byte, data)...)
	}
	for want, b := range map[string][]byte{
		"too short":      good[:5],
		"header of":      good[:20],
		"header: ":       file(`{"a":`, 0),
		"lie outside":    good[:len(good)-8],
		"do not fill":    file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8),
		"no float32":     file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}}`, 4),
		"no int64":       file(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,4]}}`, 4),
		"dtype F64":      file(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8),
		"outside 8":      file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 8),
		"cannot unmarsh": file(`{"a":[1]}`, 8),
	} {
		_, _, err := parse(b)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
