package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/scenes"
)

func TestCheckBoxes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scenes")
	if err := scenes.Write(dir, scenes.Options{Train: 4, Val: 2, MinSide: 64, MaxSide: 80}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"coco:", "voc:"} {
		out := done(t, "data", "check", kind+dir)
		for _, want := range []string{"10 classes", "Ankle boot", "with mask", "medium", "hash: "} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", kind, want, out)
			}
		}
		var r struct {
			Classes []string
			Parts   []struct{ Images int }
			Objects []struct {
				Name           string
				Objects, Masks int
			}
			Findings []struct{ Kind string }
		}
		if err := json.Unmarshal([]byte(done(t, "data", "check", kind+dir, "--json")), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Classes) != 10 || r.Parts[0].Images != 4 || r.Objects[1].Name != "val" || r.Objects[0].Objects < 4 || r.Objects[0].Masks != r.Objects[0].Objects || len(r.Findings) != 0 {
			t.Errorf("%s: report %+v", kind, r)
		}
	}

	file := filepath.Join(dir, "instances_train.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// One annotation of a picture that is not listed.
	wrong := strings.Replace(string(text), `"image_id":1,`, `"image_id":999,`, 1)
	if err := os.WriteFile(file, []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cli(t, "data", "check", "coco:"+dir)
	if code != exitFailed || !strings.Contains(out, "warning: train: annotations of a picture that is not listed") || !strings.Contains(out, "999") || !strings.Contains(errs, "1 annotations or pictures are wrong") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	broken := strings.Replace(string(text), `"area":`, `"area":"big","unused":`, 1)
	if err := os.WriteFile(file, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs = cli(t, "data", "check", "coco:"+dir)
	if code != exitFailed || !strings.Contains(errs, "instances_train.json: annotation 1 (id 1): area is \"big\"") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs = cli(t, "train", "--data", "coco:"+dir); code != exitFailed || !strings.Contains(errs, "annotation 1 (id 1)") {
		t.Errorf("train: exit code %d: %s", code, errs)
	}
}
