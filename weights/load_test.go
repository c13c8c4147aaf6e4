package weights_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/pytorch"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// random returns a model file with a few tensors.
func random() *weights.File {
	r := rand.New(rand.NewPCG(1, 2))
	f := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	for name, shape := range map[string]tensor.Shape{
		"conv1.weight": {4, 3, 3, 3}, "bn1.weight": {4}, "bn1.running_var": {4}, "fc.weight": {10, 4}, "fc.bias": {10},
	} {
		t := tensor.New(shape...)
		for i := range t.Float32s() {
			t.Float32s()[i] = float32(r.NormFloat64())
		}
		f.Tensors[name] = t
	}
	n := tensor.NewInt64()
	n.Int64s()[0] = 1234567
	f.Tensors["bn1.num_batches_tracked"] = n
	f.Architecture = json.RawMessage(`{"name":"tiny"}`)
	f.Preprocess = json.RawMessage(`{"channels":3}`)
	f.Classes = []string{"cat", "dog"}
	f.Metrics = map[string]float64{"val.top1": 0.5}
	f.Extra = map[string]string{"note": "kept"}
	return f
}

func same(t *testing.T, got, want *weights.File) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got.Tensors)), slices.Sorted(maps.Keys(want.Tensors)); !slices.Equal(g, w) {
		t.Fatalf("tensors %v, want %v", g, w)
	}
	for name, w := range want.Tensors {
		g := got.Tensors[name]
		if g.String() != w.String() {
			t.Errorf("%s is %v, want %v", name, g, w)
		} else if w.DType() == tensor.Float32 && !slices.Equal(g.Float32s(), w.Float32s()) ||
			w.DType() == tensor.Int64 && !slices.Equal(g.Int64s(), w.Int64s()) {
			t.Errorf("%s has other values", name)
		}
	}
	g, _ := json.Marshal(got.Meta)
	w, _ := json.Marshal(want.Meta)
	if !bytes.Equal(g, w) {
		t.Errorf("metadata %s, want %s", g, w)
	}
}

// The same file by safetensors, PyTorch and back: bit-equal tensors, the same
// metadata.
func TestRoundTrips(t *testing.T) {
	dir := t.TempDir()
	f := random()
	st, pth, again := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.pth"), filepath.Join(dir, "c.pth")
	if err := weights.Save(st, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	a, err := weights.Load(st)
	if err != nil {
		t.Fatal(err)
	}
	same(t, a, f)
	for _, path := range []string{pth, again} {
		if err := weights.SavePyTorch(path, a, []string{"conv1.weight", "bn1.weight"}, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b, source, err := weights.LoadFrom(pth, weights.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, b, f)
	if source.Format != weights.PyTorch || !slices.Equal(source.Names[:3], []string{"conv1.weight", "bn1.weight", "bn1.num_batches_tracked"}) {
		t.Errorf("source %+v", source)
	}
	x, _ := os.ReadFile(pth)
	y, _ := os.ReadFile(again)
	if !bytes.Equal(x, y) {
		t.Error("the same file was written with other bytes")
	}
	meta, entries, err := weights.LoadMeta(pth)
	if err != nil || len(entries) != 6 || meta.Classes[1] != "dog" {
		t.Errorf("LoadMeta: %v, %v, %v", meta, entries, err)
	}
}

func TestHalfLosesAtMostHalfAUnit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.pth")
	f := random()
	if err := weights.SavePyTorch(path, f, nil, weights.SaveOptions{Half: true}); err != nil {
		t.Fatal(err)
	}
	h, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Tensors["conv1.weight"].Float32s() {
		if g := h.Tensors["conv1.weight"].Float32s()[i]; g != safetensors.FromHalf(safetensors.ToHalf(v)) {
			t.Fatalf("element %d is %v, was %v", i, g, v)
		}
	}
	if h.Tensors["bn1.num_batches_tracked"].Int64s()[0] != 1234567 {
		t.Error("the counter changed")
	}
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, content string
		want          weights.Format
	}{
		{"a.bin", "\x10\x00\x00\x00\x00\x00\x00\x00{}", weights.Safetensors}, // content goes before the ending
		{"a.safetensors", "PK\x03\x04....", weights.PyTorch},
		{"a.keras", "PK\x03\x04....", weights.Keras},
		{"a.th", "\x80\x02\x8a\x0al", weights.PyTorch},
		{"a", "\x89HDF\r\n\x1a\n....", weights.HDF5},
		{"a.onnx", "\x08\x07\x12\x07", weights.ONNX},
		{"a.index.json", `{"weight_map": {}}`, weights.Sharded},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		h, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if h.Format() != c.want || h.Path() != path || h.Size() != int64(len(c.content)) {
			t.Errorf("%s %q is %s of %d bytes; want %s", c.name, c.content, h.Format(), h.Size(), c.want)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, content := range map[string]string{"text.txt": "hello", "empty.pth": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := weights.Load(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	if _, err := weights.Load(dir); err == nil {
		t.Error("a folder was loaded")
	}
	if _, err := weights.FormatOf("x.pkl"); err == nil || !strings.Contains(err.Error(), ".pth") {
		t.Errorf("an unknown ending gives %v", err)
	}
}

func TestSharded(t *testing.T) {
	dir := t.TempDir()
	f := random()
	first := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	var second []pytorch.Tensor
	index := map[string]string{}
	for i, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		if i%2 == 0 {
			first.Tensors[name], index[name] = f.Tensors[name], "model-1.safetensors"
		} else {
			second, index[name] = append(second, pytorch.Tensor{Name: name, Tensor: f.Tensors[name]}), "model-2.bin"
		}
	}
	if err := weights.Save(filepath.Join(dir, "model-1.safetensors"), first, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := pytorch.Write(&b, second, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model-2.bin"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors.index.json")
	write := func(v any) {
		t.Helper()
		b, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": v})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(index)
	got, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, &weights.File{Tensors: f.Tensors})

	changed := func(change func(m map[string]string)) map[string]string {
		m := maps.Clone(index)
		change(m)
		return m
	}
	for want, v := range map[string]any{
		"not in its own folder":    changed(func(m map[string]string) { m["fc.bias"] = "../secret.safetensors" }),
		"no such file":             changed(func(m map[string]string) { m["x"] = "model-3.safetensors" }),
		"does not have it":         changed(func(m map[string]string) { m["x"] = "model-1.safetensors" }),
		"but the index has it in":  changed(func(m map[string]string) { delete(m, "fc.bias") }),
		"no weight_map":            map[string]string{},
		"no index of a sharded":    []int{1},
		"not a part of a sharded ": changed(func(m map[string]string) { m["x"] = filepath.Base(path) }),
	} {
		write(v)
		if _, err := weights.Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}
