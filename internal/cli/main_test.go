package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The test binary is also the program, so that tests can start it as a process
// of its own, and bench can start its workers.
func TestMain(m *testing.M) {
	if os.Getenv(tuningEnv) == "" {
		os.Setenv(tuningEnv, "off") // what was measured on this machine is no part of a test
	}
	if os.Getenv("RESNET_TEST_PROGRAM") != "" {
		Main()
	}
	os.Exit(m.Run())
}

// program returns the command resnet as a process.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "RESNET_TEST_PROGRAM=1")
	return cmd
}

// cli runs a command line in this process.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return cliWith(t, "", args...)
}

func cliWith(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	checkJSON(t, args, out.String())
	return code, out.String(), errs.String()
}

// done runs a command line that must succeed, and returns its output.
func done(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := cli(t, args...)
	if code != exitDone {
		t.Fatalf("resnet %s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// matches compares text with a golden file.
func matches(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, text, want)
	}
}

// fashionModel writes a model file for the embedded sample whose weights are
// package golden's, and returns its path.
func fashionModel(t *testing.T, change func(*weights.File)) string {
	t.Helper()
	splits, err := data.OpenIDX(embedded.Fashion(), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	net, err := models.New("resnet8-cifar", models.Classes(10), models.InChannels(1), models.InputSize(28))
	if err != nil {
		t.Fatal(err)
	}
	prep, err := data.Preset("fashion-mnist")
	if err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: make(map[string]*tensor.Tensor)}
	f.Classes = splits.Classes()
	f.Architecture = jsonOf(t, net.Config)
	f.Preprocess = jsonOf(t, prep)
	f.Seed = 7
	f.Command = []string{"resnet", "train", "--set", "a b"}
	f.Recipe = "name: none\nepochs: 0\n"
	f.Data = weights.DataInfo{Spec: embedded.SampleName, Hash: "0123"}
	f.Metrics = map[string]float64{"val.top1": 0.125}
	for _, e := range nn.Params(net) {
		if e.Param.DType != tensor.Float32 {
			f.Tensors[e.Name] = tensor.NewInt64(e.Param.Shape...)
			continue
		}
		x := tensor.New(e.Param.Shape...)
		kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
		if err != nil {
			t.Fatal(err)
		}
		namefill.Fill(e.Name, x, kind)
		f.Tensors[e.Name] = x
	}
	if change != nil {
		change(f)
	}
	path := filepath.Join(t.TempDir(), "fashion.safetensors")
	if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func jsonOf(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writePicture writes a PNG picture of noise.
func writePicture(t *testing.T, path string, seed int) {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 28, 28))
	v := uint32(seed + 1)
	for i := range m.Pix {
		v = v*1664525 + 1013904223
		m.Pix[i] = uint8(v >> 24)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenOutputs(t *testing.T) {
	for name, args := range map[string][]string{
		"help.txt":              {"--help"},
		"models.txt":            {"models"},
		"models-cifar.json":     {"models", "resnet2", "--json"},
		"summary-resnet18.txt":  {"summary", "resnet18", "--depth", "2"},
		"summary-resnet20.json": {"summary", "resnet20-cifar", "--json", "--depth", "1"},
		"data-check.txt":        {"data", "check"},
	} {
		matches(t, name, done(t, args...))
	}
}

func TestHelpHasExamples(t *testing.T) {
	var walk func(args []string)
	walk = func(args []string) {
		a := new(app)
		cmd, _, err := a.root().Find(args)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && c.Name() != "help" && c.Name() != "completion" {
				walk(append(args[:len(args):len(args)], c.Name()))
			}
		}
		help := done(t, append(args[:len(args):len(args)], "--help")...)
		if !cmd.HasSubCommands() && !strings.Contains(help, "Examples:") {
			t.Errorf("resnet %s --help has no examples", strings.Join(args, " "))
		}
		for _, flag := range []string{"--json", "--quiet", "--threads"} {
			if !strings.Contains(help, flag) {
				t.Errorf("resnet %s --help does not tell of %s", strings.Join(args, " "), flag)
			}
		}
	}
	walk(nil)
}

func TestSummaryOfAFile(t *testing.T) {
	path := fashionModel(t, nil)
	out := done(t, "summary", path, "--depth", "0")
	out = strings.ReplaceAll(out, path, "FILE")
	out = regexp.MustCompile(` +`).ReplaceAllString(out, " ") // widths depend on the path's length
	matches(t, "summary-file.txt", regexp.MustCompile(`─+`).ReplaceAllString(out, "─"))

	var s summary
	if err := json.Unmarshal([]byte(done(t, "summary", path, "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if s.File.Seed != 7 || s.File.Command[3] != "a b" || s.File.Metrics["val.top1"] != 0.125 || len(s.File.Classes) != 10 || s.File.Resumable {
		t.Errorf("file summary %+v", s.File)
	}
	if fmt.Sprint(s.Input) != "[1 1 28 28]" {
		t.Errorf("input %v", s.Input)
	}
}

func TestVersion(t *testing.T) {
	var v versionInfo
	if err := json.Unmarshal([]byte(done(t, "version", "--json")), &v); err != nil || v.Go == "" || v.Version == "" {
		t.Errorf("version %+v, %v", v, err)
	}
	if out := done(t, "version"); !strings.HasPrefix(out, "resnet ") {
		t.Errorf("version prints %q", out)
	}
}
