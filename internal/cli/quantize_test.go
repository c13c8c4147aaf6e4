package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// A quantized model is smaller, answers nearly as the model does, and its file
// alone is enough to evaluate.
func TestQuantize(t *testing.T) {
	model, out := fashionModel(t, nil), filepath.Join(t.TempDir(), "q.onnx")
	var r quantized
	text := done(t, "quantize", model, "--calib", "embedded:fashion", "--pictures", "64", "-o", out, "--json", "-q")
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if r.Bytes >= r.Weights/2 || r.Evaluated != 1000 || r.Agreement < 0.9 || r.Pictures != 64 {
		t.Errorf("%+v", r)
	}
	if e := evaluated(t, "-m", out); e.Single == nil {
		t.Error("the quantized file cannot be evaluated")
	}
}

func TestQuantizeErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "x.onnx"}, "--calib is missing"},
		{[]string{"--calib", "folder:x"}, "-o is missing"},
		{[]string{"--calib", "folder:x", "-o", "x.pth"}, "written as .onnx"},
		{[]string{"--calib", "folder:x", "-o", "x.onnx", "--method", "minmux"}, "minmax"},
		{[]string{"--calib", "folder:x", "-o", "x.onnx", "--pictures", "0"}, "below 1"},
	} {
		code, _, stderr := cli(t, append([]string{"quantize"}, c.args...)...)
		if code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d and %q, want 2 and %q", c.args, code, stderr, c.want)
		}
	}
}
