package weights

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

func vec(t testing.TB, x ...float32) *tensor.Tensor {
	t.Helper()
	v, err := tensor.FromFloat32(x, len(x))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sample(t testing.TB) *File {
	count := tensor.NewInt64()
	count.Int64s()[0] = 1 << 40
	return &File{
		Meta: Meta{
			Architecture: json.RawMessage(`{"name":"x"}`), Classes: []string{"cat", "<dog> \"é\""}, MultiLabel: true,
			Preprocess: json.RawMessage(`{"width":3}`), Recipe: "name: x\n", Seed: math.MaxUint64,
			Command: []string{"resnet", "train", "--out", "a b"}, Data: DataInfo{Spec: "folder:x", Hash: "abc", Val: "folder:others", Fold: 2, Folds: 3},
			Metrics: map[string]float64{"val.top1": 1.0 / 3}, Training: json.RawMessage(`{"step":1}`),
			Extra: map[string]string{"by": "someone"},
		},
		Tensors: map[string]*tensor.Tensor{"fc.weight": vec(t, 1, -2, 1.0/3), "bn.num_batches_tracked": count},
		State:   map[string]*tensor.Tensor{"optim.momentum.fc.weight": vec(t, 4, 5, 1e-10), "ema.fc.weight": vec(t, 7, 8, 9)},
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	want := sample(t)
	if err := Save(path, want, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	meta, entries, err := LoadMeta(path)
	if err != nil || !reflect.DeepEqual(meta, &want.Meta) || len(entries) != 4 {
		t.Errorf("LoadMeta: %+v, %v, %v", meta, entries, err)
	}
	first, _ := os.ReadFile(path)
	if err := Save(path, want, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); string(first) != string(second) {
		t.Error("saving again gave other bytes")
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("files are left over: %v", files)
	}
}

func TestModelOnlyTakesTheAverages(t *testing.T) {
	f := sample(t)
	m := f.ModelOnly()
	if len(m.State) != 0 || len(m.Training) != 0 || m.Tensors["fc.weight"].Float32s()[0] != 7 || m.Seed != f.Seed {
		t.Errorf("%+v", m)
	}
	if f.Tensors["fc.weight"].Float32s()[0] != 1 || len(f.Training) == 0 {
		t.Error("the file itself was changed")
	}
}

func TestHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := Save(path, sample(t), SaveOptions{Half: true}); err != nil {
		t.Fatal(err)
	}
	_, entries, err := LoadMeta(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		want := safetensors.F32
		switch e.Name {
		case "fc.weight":
			want = safetensors.F16
		case "bn.num_batches_tracked":
			want = safetensors.I64
		}
		if e.DType != want {
			t.Errorf("%s is stored as %s, want %s", e.Name, e.DType, want)
		}
	}
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Tensors["fc.weight"].Float32s(); got[1] != -2 || got[2] != 0x1.554p-2 {
		t.Errorf("halves %v", got)
	}
	if got := f.State["optim.momentum.fc.weight"].Float32s()[2]; got != 1e-10 {
		t.Errorf("the training state was rounded to %v", got)
	}
}

func TestForeignFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "foreign.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	// Without our metadata, a name is only a name.
	err = safetensors.Write(f, []safetensors.Tensor{{Name: "ema.weight", Tensor: vec(t, 1)}}, map[string]string{"format": "pt", "who": "x"})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Ours() || got.Tensors["ema.weight"] == nil || len(got.State) != 0 || got.Extra["who"] != "x" {
		t.Errorf("%+v", got)
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, meta map[string]string) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := safetensors.Write(f, []safetensors.Tensor{{Name: "a", Tensor: vec(t, 1)}}, meta); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ path, want string }{
		"version": {write("v", map[string]string{keyVersion: "99"}), "version 99"},
		"seed":    {write("s", map[string]string{keyVersion: "1", "resnet.seed": "-1"}), "resnet.seed"},
		"classes": {write("c", map[string]string{keyVersion: "1", "resnet.classes": "{"}), "resnet.classes"},
		"raw":     {write("r", map[string]string{keyVersion: "1", "resnet.architecture": "nope"}), "resnet.architecture"},
		"missing": {filepath.Join(dir, "missing"), "no such file"},
		"folder":  {dir, "not a regular file"},
	} {
		_, err := Load(c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	clash := sample(t)
	clash.Tensors["optim.x"] = vec(t, 1)
	if err := Save(filepath.Join(dir, "clash"), clash, SaveOptions{}); err == nil || !strings.Contains(err.Error(), "rename") {
		t.Errorf("a model tensor named as state: %v", err)
	}
	if err := Save(filepath.Join(dir, "no", "such", "folder"), sample(t), SaveOptions{}); err == nil || !strings.Contains(err.Error(), "such") {
		t.Errorf("a missing folder: %v", err)
	}
}

// Texts of another program under the names of our metadata do not become ours when
// the file is written again, whatever they are.
func TestForeignMetadataOfOurNames(t *testing.T) {
	x := safetensors.Tensor{Name: "w", Tensor: tensor.New(1)}
	for _, key := range []string{"architecture", "classes", "multilabel", "preprocess", "recipe", "seed", "command", "data", "metrics", "reference", "training"} {
		for _, text := range []string{"", "not JSON", `"text"`, "{}", "1", "null"} {
			var foreign bytes.Buffer
			if err := safetensors.Write(&foreign, []safetensors.Tensor{x}, map[string]string{"resnet." + key: text, "author": "someone"}); err != nil {
				t.Fatal(err)
			}
			read := func(b []byte) *File {
				r, err := safetensors.NewReader(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatalf("%s %q: %v", key, text, err)
				}
				f, err := Read(r)
				if err != nil {
					t.Fatalf("%s %q: %v", key, text, err)
				}
				return f
			}
			first := read(foreign.Bytes())
			var again bytes.Buffer
			if err := first.Write(&again, SaveOptions{}); err != nil {
				t.Fatalf("%s %q: %v", key, text, err)
			}
			if second := read(again.Bytes()); !reflect.DeepEqual(second.Meta, first.Meta) || second.Meta.Extra["author"] != "someone" {
				t.Errorf("%s %q: %+v, then %+v", key, text, first.Meta, second.Meta)
			}
		}
	}
	f := &File{Tensors: map[string]*tensor.Tensor{}, Meta: Meta{Extra: map[string]string{"resnet.classes": "[]"}}}
	if err := f.Write(io.Discard, SaveOptions{}); err == nil || !strings.Contains(err.Error(), "resnet.classes") {
		t.Errorf("Extra with a name of ours: %v", err)
	}
}
