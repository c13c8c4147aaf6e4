package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/cli/bench"
)

// tune keeps times of every convolution that has a choice, and the other
// commands choose by them unless they are told not to.
func TestTune(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuning.json")
	t.Setenv(tuningEnv, path)
	out := done(t, "tune", "resnet8-cifar", "--batch", "1,2", "--threads", "1", "--seconds", "0.001", "--quiet")
	for _, want := range []string{"batch 1 threads 1", "batch 2 threads 1", "n2 32x32x16 3x3 k16 p1", "winograd 4x4 ms", "kept in " + path} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var all []bench.Tuned
	text := done(t, "tune", "resnet8-cifar", "--batch", "1", "--threads", "1", "--seconds", "0.001", "--json", "--dry-run", "--quiet")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || len(all[0].Layers) != 6 {
		t.Fatalf("%+v", all)
	}
	for _, l := range all[0].Layers {
		if len(l.MS) < 2 || len(l.MS) != len(l.Candidates) || l.Model == "" || l.Measured == "" || len(l.Names) == 0 {
			t.Errorf("layer %+v", l)
		}
	}

	// A file by which the direct way is always the fastest.
	var file struct {
		Format  string           `json:"format"`
		Records []map[string]any `json:"records"`
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	record := file.Records[0]
	file.Records = nil
	for _, l := range all[0].Layers {
		r := map[string]any{"ms": map[string]float64{"direct": 1, "winograd 4x4": 2, "winograd 2x2": 2}, "geometry": l.Geometry}
		for _, k := range []string{"cpu", "isa", "kernels", "threads"} {
			r[k] = record[k]
		}
		file.Records = append(file.Records, r)
	}
	if err := os.WriteFile(path, jsonOf(t, file), 0o600); err != nil {
		t.Fatal(err)
	}
	profile := []string{"bench", "resnet8-cifar", "--batch", "1", "--threads", "1", "--profile", "--seconds", "0.001", "--quiet"}
	if out := done(t, profile...); strings.Contains(out, "winograd") {
		t.Errorf("bench does not choose by the times\n%s", out)
	}
	if out := done(t, append(profile, "--no-tuning")...); !strings.Contains(out, "winograd") {
		t.Errorf("bench --no-tuning chooses by the times\n%s", out)
	}
	image := samplePhoto(t)
	for _, args := range [][]string{{}, {"--no-tuning"}, {"--exact"}} {
		done(t, append([]string{"predict", image, "--threads", "1"}, args...)...)
	}

	if err := os.WriteFile(path, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := cli(t, "predict", image, "--threads", "1")
	if code != exitDone || !strings.Contains(errs, path+" is left aside") {
		t.Errorf("a spoilt file: exit code %d, %s", code, errs)
	}

	t.Setenv(tuningEnv, "off")
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"tune", "resnet8-cifar"}, exitFailed, tuningEnv + "=off"},
		{[]string{"tune"}, exitUsage, "a model is missing"},
		{[]string{"tune", "resnet8-cifr"}, exitUsage, "did you mean"},
		{[]string{"tune", "resnet8-cifar", "--batch", "0"}, exitUsage, "--batch 0"},
		{[]string{"tune", "resnet8-cifar", "--threads", "-1"}, exitUsage, "--threads -1"},
		{[]string{"tune", "resnet8-cifar", "--seconds", "0"}, exitUsage, "--seconds"},
	} {
		if code, _, errs := cli(t, c.args...); code != c.code || !strings.Contains(errs, c.text) {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
	}
}
