package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinear: a linear classifier of a classifier's features, with few labels, saved and
// used.
func TestLinear(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	for i := range 60 {
		writePicture(t, filepath.Join(photos, []string{"cat", "dog", "owl"}[i%3], fmt.Sprintf("%d.png", i)), i%3*1000+i/30) // copies: each is learned by heart
	}
	out := filepath.Join(dir, "head.safetensors")
	args := []string{"linear", "--model", model, "--data", "folder:" + photos, "--labels", "2,5", "--draws", "3"}
	text := done(t, append(args, "-o", out)...)
	for _, want := range []string{"labels", "2 a class", "5 a class", " ± ", "head.safetensors"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	var r linearReport
	if err := json.Unmarshal([]byte(done(t, append(args, "--json")...)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Classes != 3 || r.Known+r.Queries != 60 || len(r.Few) != 2 || len(r.Few[1].Draws) != 3 || r.Few[1].Labels != 5 || r.Fitted < 0.99 || r.Linear < 0.99 {
		t.Errorf("%+v", r)
	}
	// The file is a classifier, and has the same accuracy on the same part.
	var e struct {
		Split  string `json:"split"`
		Report struct {
			Top1    float64 `json:"top1"`
			Samples int     `json:"samples"`
		} `json:"report"`
	}
	if err := json.Unmarshal([]byte(done(t, "eval", "-m", out, "-d", "folder:"+photos, "--json")), &e); err != nil {
		t.Fatal(err)
	}
	if e.Report.Top1 != r.Linear || e.Report.Samples != r.Queries || e.Split != r.Split {
		t.Errorf("eval: %+v, linear: %+v", e, r)
	}
	if got := done(t, "predict", "-m", out, filepath.Join(photos, "owl", "2.png")); !strings.Contains(got, "owl") {
		t.Errorf("predict: %s", got)
	}
	for want, args := range map[string][]string{
		"the class cat has only": {"--labels", "50"},
		"--labels 0 is below 1":  {"--labels", "0"},
		"--draws 0 is below 1":   {"--draws", "0"},
		"cannot judge them":      {"--split", "train"},
		".safetensors":           {"-o", "head.pth"},
		"--neighbors 0 is below": {"--neighbors", "0"},
		"not a finite number":    {"--decay", "NaN"},
	} {
		code, _, errs := cli(t, append([]string{"linear", "--model", model, "--data", "folder:" + photos}, args...)...)
		if code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
