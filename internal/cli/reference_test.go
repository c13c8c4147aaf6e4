package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/drift"
	"github.com/resnet-go/resnet/weights"
)

// referenceIn returns what is kept in a model file.
func referenceIn(t *testing.T, file string, classes int) *drift.Reference {
	t.Helper()
	f, err := weights.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := drift.Parse(f.Reference, classes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eval --reference changes nothing but the reference in the model file, and files that
// cannot keep one are refused before anything is computed.
func TestEvalKeepsTheReference(t *testing.T) {
	model := fashionModel(t, nil)
	before, err := weights.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "half.safetensors")
	if err := weights.Save(half, before, weights.SaveOptions{Half: true}); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{model, half} {
		was, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		plain := done(t, "eval", "-m", file)
		if got := done(t, "eval", "-m", file, "--reference"); got != plain {
			t.Errorf("the report is\n%s\nwithout --reference\n%s", got, plain)
		}
		if r := referenceIn(t, file, 10); r.Pictures < 500 || len(r.Mean) != 64 {
			t.Errorf("%d pictures, %d numbers", r.Pictures, len(r.Mean))
		}
		if got := done(t, "eval", "-m", file); got != plain {
			t.Errorf("afterwards the report is\n%s\nbefore\n%s", got, plain)
		}
		if is, err := os.Stat(file); err != nil || is.Size() < was.Size() || is.Size() > was.Size()+16<<10 {
			t.Errorf("the file has %d bytes, had %d, %v", is.Size(), was.Size(), err)
		}
	}
	after, err := weights.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	after.Reference = nil
	if jsonText(t, after.Meta) != jsonText(t, before.Meta) || len(after.Tensors) != len(before.Tensors) {
		t.Errorf("other metadata changed: %+v, were %+v", after.Meta, before.Meta)
	}
	onnx := filepath.Join(t.TempDir(), "m.onnx")
	done(t, "convert", model, onnx)
	for want, args := range map[string][]string{
		"is for classifiers": {"eval", "-m", pixelModel(t), "--data", "masks:x", "--reference"},
		"which \"\" is not":  {"eval", "--data", "folder:x", "--reference"},
		"m.onnx\" is not":    {"eval", "-m", onnx, "--reference"},
		"leave out --folds":  {"train", "--data", "folder:x", "--folds", "3", "--reference"},
	} {
		if code, _, errs := cli(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s", args, code, errs)
		}
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// train --reference keeps what the best model gives, and serve --drift tells pictures of
// the same kind from brighter ones.
func TestServeWatchesDrift(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	done(t, "train", "--model", "resnet8-cifar", "--epochs", "1", "--reference", "--out", out)
	best := filepath.Join(out, "best.safetensors")
	referenceIn(t, best, 10)
	line, _ := serving(t, "--drift", "-m", "watched="+best, "-m", "plain="+fashionModel(t, nil), "--threads", "2")
	splits, err := data.OpenIDX(embedded.Fashion(), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ds := splits.Eval()
	state := func() (pictures, psi, distance float64) {
		r, err := http.Get(line.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `resnet_drift_pictures_total{model="plain"`) {
			t.Error("a model without a reference is watched")
		}
		for name, v := range map[string]*float64{"pictures_total": &pictures, "prediction_psi": &psi, "embedding_distance": &distance} {
			_, rest, found := strings.Cut(string(text), "resnet_drift_"+name+`{model="watched",version="1"} `)
			if !found {
				t.Fatalf("there is no resnet_drift_%s", name)
			}
			if *v, err = strconv.ParseFloat(strings.SplitN(rest, "\n", 2)[0], 64); err != nil {
				t.Fatal(err)
			}
		}
		return pictures, psi, distance
	}
	send := func(n int, change func(v uint8) uint8) {
		for i := range n {
			r, err := http.Post(line.URL+"/v1/classify?model=watched", "", strings.NewReader(pgm(t, ds, i*ds.Len()/n, change)))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != 200 {
				t.Fatalf("%d: %s", r.StatusCode, b)
			}
		}
	}
	send(300, func(v uint8) uint8 { return v })
	n, psi, distance := state()
	if n != 300 || psi > 0.15 || distance > 0.2 {
		t.Errorf("pictures as in training: %v, PSI %.3f, distance %.3f", n, psi, distance)
	}
	send(600, func(v uint8) uint8 { return 255 - v/2 })
	if n, p, d := state(); n != 900 || p < 0.25 || d < 3*distance || d < 0.5 {
		t.Errorf("brighter pictures: %v, PSI %.3f (before %.3f), distance %.3f (before %.3f)", n, p, psi, d, distance)
	}
}

// pgm returns picture i of a dataset of gray ones as a file, with its values changed.
func pgm(t *testing.T, ds data.Dataset, i int, change func(uint8) uint8) string {
	t.Helper()
	m := new(imaging.Image)
	if err := ds.Decode(i, m); err != nil || m.C != 1 {
		t.Fatal(err, m.C)
	}
	for k, v := range m.Pix {
		m.Pix[k] = change(v)
	}
	return fmt.Sprintf("P5 %d %d 255\n%s", m.W, m.H, m.Pix)
}
