package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// Two ways of saying in which form results are, which differ, are refused before
// anything is written.
func TestPredictFormatsThatDisagree(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"--csv", "-o", "x.json"}, {"--csv", "-o", "x.JSONL"}, {"--json", "-o", "x.csv"}, {"--csv", "--json"}} {
		if i := len(args) - 1; strings.HasPrefix(args[i], "x.") {
			args[i] = filepath.Join(dir, args[i])
		}
		code, _, errs := cli(t, append([]string{"predict", "photo.jpg"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, "exclude each other") {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("written: %v, %v", files, err)
	}
}

// A picture that cannot be read is named once.
func TestPicturesAreNamedOnce(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.jpg")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "none.jpg"), empty, dir, "http://127.0.0.1:1/x.jpg", os.DevNull} {
		code, _, errs := cli(t, "predict", name)
		if line, _, _ := strings.Cut(errs, "\n"); code != exitFailed || strings.Count(line, name) != 1 || strings.Contains(line, "stat ") || strings.Contains(line, "open ") {
			t.Errorf("code %d, %s", code, errs)
		}
	}
}

// An unknown command is one with --help, too.
func TestHelpOfUnknownCommand(t *testing.T) {
	for _, args := range [][]string{{"nope", "--help"}, {"data", "nope", "-h"}} {
		if code, out, errs := cli(t, args...); code != exitUsage || out != "" || !strings.Contains(errs, `unknown command "nope"`) {
			t.Errorf("%v: code %d, %s%s", args, code, out, errs)
		}
	}
	if text := done(t, "data", "check", "--help"); !strings.Contains(text, "resnet data check") {
		t.Error(text)
	}
}

// nameOf reads a name as docs/json.md has it.
func nameOf(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || strings.ContainsRune(text, '\ufffd') {
		t.Fatalf("%s is not text of Unicode: %v", raw, err)
	}
	var b strings.Builder
	for _, r := range text {
		if r >= 0xef80 && r <= 0xefff {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Names that are not UTF-8 can be told from JSON: every byte of them.
func TestNamesThatAreNotUTF8(t *testing.T) {
	for _, name := range []string{"plain", "na\xffme", "\xe9t\xe9", "猫\xff\xfe", "\xed\xa0\x80", "\U0010ffff", "\uef80\uefff\xff", "\xee\xbe", "a\"b\\\xc3"} {
		type line struct {
			Image  string            `json:"image"`
			All    []string          `json:"all"`
			Of     map[string]string `json:"of"`
			Any    any               `json:"any"`
			Number float64           `json:"number"`
		}
		in := line{name, []string{"x", name}, map[string]string{"k": name}, &line{Image: name}, 0.5}
		var b strings.Builder
		if err := encodeJSON(&b, in, "", false); err != nil {
			t.Fatal(err)
		}
		var out struct {
			Image json.RawMessage   `json:"image"`
			All   []json.RawMessage `json:"all"`
			Of    map[string]json.RawMessage
			Any   struct {
				Image json.RawMessage `json:"image"`
			} `json:"any"`
		}
		if err := json.Unmarshal([]byte(b.String()), &out); err != nil {
			t.Fatalf("%q: %s: %v", name, b.String(), err)
		}
		for _, raw := range []json.RawMessage{out.Image, out.All[1], out.Of["k"], out.Any.Image} {
			if got := nameOf(t, raw); got != name {
				t.Errorf("%q is %s, read as %q", name, raw, got)
			}
		}
		if in.All[1] != name || in.Of["k"] != name {
			t.Error("the value was changed")
		}
	}
	if runtime.GOOS != "linux" {
		t.Skip("other file systems refuse such names")
	}
	path := filepath.Join(t.TempDir(), "na\xffme.png")
	writePicture(t, path, 1)
	var line struct {
		Image json.RawMessage `json:"image"`
	}
	if err := json.Unmarshal([]byte(done(t, "predict", "--json", path)), &line); err != nil || nameOf(t, line.Image) != path {
		t.Errorf("%s, %v", line.Image, err)
	}
	// A run over a list that is continued finds the name among its results.
	list, out := filepath.Join(t.TempDir(), "list.txt"), filepath.Join(t.TempDir(), "out.jsonl")
	if err := os.WriteFile(list, []byte(path+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done(t, "predict", "--jsonl", list, "--resume", out)
	}
	var result struct {
		ID json.RawMessage `json:"id"`
	}
	if b, err := os.ReadFile(out); err != nil || strings.Count(string(b), "\n") != 1 || json.Unmarshal(b, &result) != nil || nameOf(t, result.ID) != path {
		t.Errorf("%q, %v", b, err)
	}
}

// A model file that is cut off is called that, wherever it is cut.
func TestModelFilesThatAreCutOff(t *testing.T) {
	dir := t.TempDir()
	for _, first := range []byte{0x80, 0x28, 0x50, 0x7b, 0x1f, 0xef} { // of the header's length
		for n := 1; n <= 8; n++ {
			path := filepath.Join(dir, "m.safetensors")
			b := append([]byte{first, 0x02, 'K', 0x03, 0x04, 0, 0, 0}, "{}"...)
			if err := os.WriteFile(path, b[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"summary", "predict"} {
				args := []string{command, path}
				if command == "predict" {
					args = []string{command, "-m", path, "x.jpg"}
				}
				code, _, errs := cli(t, args...)
				if code != exitFailed || strings.Contains(errs, "pickle") || !strings.Contains(errs, "m.safetensors") || strings.Count(errs, "m.safetensors") > 1 {
					t.Errorf("%x: code %d, %s", b[:n], code, errs)
				}
			}
		}
	}
}

func TestMessagesAboutNames(t *testing.T) {
	for _, args := range [][]string{{"summary", "nonsense"}, {"models", "nonsense"}, {"train", "-m", "nonsense"}, {"convert", "--model", "nonsense", "a.pt", "b.pt"}} {
		code, _, errs := cli(t, args...)
		if code != exitUsage && args[0] != "train" || len(errs) > 300 || !strings.Contains(errs, "nonsense") || !strings.Contains(errs, " more") {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
	code, _, errs := cli(t, "completion", "nope")
	if code != exitUsage || !strings.Contains(errs, `unknown command "nope" (there are bash, fish, powershell, zsh)`) {
		t.Errorf("code %d, %s", code, errs)
	}
	if text := done(t, "completion", "bash"); !strings.Contains(text, "__start_resnet") {
		t.Errorf("%s", text)
	}
	if text := done(t, "completion"); !strings.Contains(text, "zsh") {
		t.Errorf("%s", text)
	}
	help := done(t, "--help")
	for _, kind := range []string{"folder:", "multilabel:", "cifar10:", "cifar100:", "idx:", "coco:", "voc:", "masks:"} {
		if !strings.Contains(help, kind) {
			t.Errorf("the help has no %s", kind)
		}
	}
	for _, address := range []string{"foo", "huggingface.co", "ftp://x", "https://"} {
		t.Setenv("HF_ENDPOINT", address)
		t.Setenv("HF_HOME", t.TempDir())
		code, _, errs := cli(t, "pull", "timm/resnet18.a1_in1k")
		if code != exitFailed || !strings.Contains(errs, fmt.Sprintf("HF_ENDPOINT, is %q, must be one such as https://", strings.TrimRight(address, "/"))) {
			t.Errorf("%s: code %d, %s", address, code, errs)
		}
	}
}

// A model of the wrong kind is a mistake in the command line, of every command.
func TestModelsOfTheWrongKind(t *testing.T) {
	detector := detectorModel(t)
	picture := filepath.Join(t.TempDir(), "x.png")
	writePicture(t, picture, 1)
	for want, args := range map[string][]string{
		"resnet detect":  {"predict", "-m", detector, picture},
		"resnet detect,": {"embed", "-m", detector, picture},
		"resnet detect ": {"segment", "-m", detector, picture},
		"use resnet seg": {"predict", "-m", pixelModel(t), picture},
		"resnet predict": {"detect", picture},
	} {
		want = strings.TrimSpace(strings.TrimSuffix(want, ","))
		code, _, errs := cli(t, args...)
		if code != exitUsage || !strings.Contains(errs, want) || strings.Contains(errs, "Classify") || strings.Contains(errs, "Embed") || strings.Contains(errs, ": resnet: ") {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}

// What convert makes of a part of a network has not the figures of the whole.
func TestPartialConversionForgetsFigures(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.safetensors")
	net, err := models.New("resnet8-cifar", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	arch, err := json.Marshal(net.Config)
	if err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Meta: weights.Meta{Architecture: arch, Classes: []string{"a", "b", "c"}, Recipe: "name: x\n", Seed: 5, Command: []string{"resnet", "train"},
		Data: weights.DataInfo{Spec: "folder:x"}, Metrics: map[string]float64{"val.top1": 0.99}}, Tensors: nn.Values(net)}
	if err := weights.Save(from, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		keeps bool
	}{
		{[]string{from, to}, true},
		{[]string{"--model", "resnet8-cifar", from, to}, true},
		{[]string{"--model", "resnet14-cifar", "--partial", from, to}, false},
		{[]string{"--model", "resnet8-cifar", "--partial", "--num-classes", "5", from, to}, false},
	} {
		done(t, append([]string{"convert", "--force"}, c.args...)...)
		meta, _, err := weights.LoadMeta(to)
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(meta.Metrics) > 0 || meta.Recipe != "" || len(meta.Command) > 0 || meta.Data.Spec != "" || meta.Seed != 0; kept != c.keeps {
			t.Errorf("%v: %+v", c.args, meta)
		}
	}
}

// customModel writes a network that package models does not have.
func customModel(t *testing.T, dir string) string {
	t.Helper()
	net := nn.Sequential{nn.NewConv2d(3, 4, 3), nn.NewBatchNorm2d(4), nn.NewPReLU(4), nn.NewGlobalAvgPool(), nn.NewLinear(4, 3)}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	p, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	m, err := resnet.FromModule(net, resnet.Description{Classes: []string{"a", "b", "c"}, Preprocess: p}, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "custom.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A network that package models does not have is usable from its file in every command.
func TestCustomModelFile(t *testing.T) {
	dir := t.TempDir()
	path := customModel(t, dir)
	picture := filepath.Join(dir, "x.png")
	writePicture(t, picture, 1)
	want := done(t, "predict", "-m", path, picture)
	done(t, "summary", path)
	done(t, "embed", "-m", path, "--json", picture)
	done(t, "explain", "-m", path, "-o", filepath.Join(dir, "e.png"), picture)
	for _, end := range []string{".onnx", ".safetensors", ".pt"} {
		out := filepath.Join(dir, "copy"+end)
		done(t, "convert", path, out)
		if got := done(t, "predict", "-m", out, picture); got != want {
			t.Errorf("%s: %s, want %s", end, got, want)
		}
	}
	code, _, errs := cli(t, "convert", path, filepath.Join(dir, "copy.keras"))
	if code != exitFailed || !strings.Contains(errs, ".onnx") {
		t.Errorf("to Keras: code %d, %s", code, errs)
	}
	code, _, errs = cli(t, "train", "-m", path) // its data, by default, has 10 classes
	if code != exitFailed || !strings.Contains(errs, "3 classes") || !strings.Contains(errs, "10") {
		t.Errorf("train: code %d, %s", code, errs)
	}
}

// The links that name a file stay, and lead to what was written.
func TestResultsThroughLinks(t *testing.T) {
	dir := t.TempDir()
	picture, file, link := filepath.Join(dir, "x.png"), filepath.Join(dir, "real.json"), filepath.Join(dir, "link.json")
	writePicture(t, picture, 1)
	if err := os.Symlink("real.json", link); err != nil {
		t.Skip(err)
	}
	for range 2 { // a dangling link, and one to a file
		done(t, "predict", picture, "-o", link)
		if to, err := os.Readlink(link); err != nil || to != "real.json" {
			t.Errorf("the link is %q, %v", to, err)
		}
		b, err := os.ReadFile(file)
		if err != nil || !json.Valid(b) {
			t.Errorf("%s, %v", b, err)
		}
	}
}
