package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
		"--draws 0 is below 1":   {"--labels", "2", "--draws", "0"},
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

// TestDataOfTheModel: without --data, a model is measured on what it was trained on, or
// not at all.
func TestDataOfTheModel(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 16 {
		writePicture(t, filepath.Join("photos", []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	short := "--data folder:photos --epochs 1 --batch 4 --size 16 --model resnet8-cifar "
	done(t, strings.Fields("train --out run "+short)...)
	done(t, strings.Fields("train --task ssl --out backbone "+short)...)
	models := map[string][]string{"eval": {"run"}, "linear": {"run", "backbone"}}
	for command, dirs := range models {
		for _, dir := range dirs {
			code, out, errs := cli(t, command, "-m", dir+"/best.safetensors")
			if code != exitDone || !strings.Contains(out, "folder:photos") || strings.Count(errs, "without --data, the data are those that") != 1 {
				t.Errorf("%s of %s: code %d\n%s%s", command, dir, code, out, errs)
			}
		}
	}
	if code, _, errs := cli(t, "train", "-m", "backbone/best.safetensors"); code != exitUsage || !strings.Contains(errs, "--data is missing: backbone/best.safetensors was trained on folder:photos") {
		t.Errorf("train: code %d, %s", code, errs)
	}
	if err := os.Rename("photos", "elsewhere"); err != nil {
		t.Fatal(err)
	}
	for command, dirs := range models {
		for _, dir := range dirs {
			code, _, errs := cli(t, command, "-m", dir+"/best.safetensors")
			if code != exitUsage || !strings.Contains(errs, "--data is missing, and what ") {
				t.Errorf("%s of %s, without the data: code %d, %s", command, dir, code, errs)
			}
		}
	}
	for i := range 4 {
		writePicture(t, filepath.Join("photos", fmt.Sprintf("%d.png", i)), i)
	}
	if code, _, errs := cli(t, "linear", "-m", "backbone/best.safetensors"); code != exitUsage || !strings.Contains(errs, "was trained on, folder:photos, has no classes") {
		t.Errorf("linear on pictures without classes: code %d, %s", code, errs)
	}
	unknown := filepath.Join(t.TempDir(), "m.pth") // which tells nothing
	done(t, "convert", "backbone/best.safetensors", unknown)
	if code, _, errs := cli(t, "linear", "-m", "resnet8-cifar@"+unknown); code == exitDone || strings.Contains(errs, "panic") {
		t.Errorf("another file: code %d, %s", code, errs)
	}
}

// TestValDataOfTheModel: a model that was trained with --val-data is judged by those, not
// by what it has seen, whether the data are named or not.
func TestValDataOfTheModel(t *testing.T) {
	dir := t.TempDir()
	photos, others, run := filepath.Join(dir, "photos"), filepath.Join(dir, "others"), filepath.Join(dir, "run")
	for i := range 16 {
		writePicture(t, filepath.Join([]string{photos, photos, others, photos}[i/2%4], []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	done(t, "train", "--data", "folder:"+photos, "--val-data", "folder:"+others, "--epochs", "1", "--batch", "4", "--size", "16", "--model", "resnet8-cifar", "--out", run)
	for _, command := range []string{"eval", "linear"} {
		for _, data := range [][]string{nil, {"--data", "folder:" + photos}} {
			code, out, errs := cli(t, append([]string{command, "-m", filepath.Join(run, "best.safetensors"), "--json"}, data...)...)
			var j struct {
				Report  struct{ Samples int }
				Queries int
			}
			if err := json.Unmarshal([]byte(out), &j); code != exitDone || err != nil || max(j.Report.Samples, j.Queries) != 4 || !strings.Contains(errs, "is that of the training, folder:"+others) {
				t.Errorf("%s %v: code %d, %v\n%s%s", command, data, code, err, out, errs)
			}
		}
	}
	folds := filepath.Join(dir, "folds")
	done(t, "train", "--data", "folder:"+photos, "--folds", "3", "--epochs", "1", "--batch", "4", "--size", "16", "--model", "resnet8-cifar", "--out", folds)
	code, out, errs := cli(t, "eval", "-m", filepath.Join(folds, "fold-2", "best.safetensors"), "--json")
	var e struct{ Report struct{ Samples int } }
	if err := json.Unmarshal([]byte(out), &e); code != exitDone || err != nil || e.Report.Samples != 4 || !strings.Contains(errs, "fold 2 of 3") {
		t.Errorf("eval of a fold: code %d, %v\n%s%s", code, err, out, errs)
	}
	if code, _, errs := cli(t, "data", "split", "folder:"+photos, "-o", filepath.Join(photos, "parts")); code != exitUsage || !strings.Contains(errs, "lies in "+photos) {
		t.Errorf("split into the data: code %d, %s", code, errs)
	}
}

// TestListsCountOnce: a value that a list has twice is one, in each flag that takes one.
func TestListsCountOnce(t *testing.T) {
	seen := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			list, ok := f.Value.(pflag.SliceValue)
			if !ok || f.Value.Type() == "stringArray" {
				return
			}
			seen++
			var notes bytes.Buffer
			a := &app{err: &notes}
			if err := errors.Join(cmd.Flags().Set(f.Name, "5,1,5"), cmd.Flags().Set(f.Name, "1"), a.countOnce(cmd)); err != nil {
				t.Errorf("%s --%s: %v", cmd.Name(), f.Name, err)
			}
			if got := list.GetSlice(); !slices.Equal(got, []string{"5", "1"}) || !strings.Contains(notes.String(), "--"+f.Name+": 5 is given twice, and counts once") {
				t.Errorf("%s --%s: %q, %s", cmd.Name(), f.Name, got, &notes)
			}
		})
	}
	visit((&app{}).root())
	if seen < 8 {
		t.Errorf("only %d flags take lists", seen)
	}
}
