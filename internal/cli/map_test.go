package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMap: pages of folders, of data with classes, of a part of them, with a damaged
// picture.
func TestMap(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	photos, out := filepath.Join(dir, "photos"), filepath.Join(dir, "map.html")
	for i := range 30 {
		writePicture(t, filepath.Join(photos, []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i/2) // each picture in both classes
	}
	report := func(code int, args ...string) (r mapReport) {
		t.Helper()
		got, text, errs := cli(t, append([]string{"map", "--model", model, "-o", out, "--json"}, args...)...)
		if got != code {
			t.Fatalf("%v: code %d, %s", args, got, errs)
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(out)
		if err != nil || int64(len(page)) != r.Bytes || !strings.Contains(string(page), "data-ready") && !strings.Contains(string(page), "dataset.ready") {
			t.Errorf("%v: the page has %d bytes, %+v: %v", args, len(page), r, err)
		}
		return r
	}
	if r := report(exitDone, photos); r.Pictures != 30 || r.Found != 30 || len(r.Duplicates) != 15 || r.Clusters[0].Class != "" || len(r.Mislabeled) != 0 {
		t.Errorf("a folder: %+v", r)
	}
	if r := report(exitDone, "folder:"+photos, "--limit", "9", "--clusters", "2"); r.Pictures != 9 || r.Found != 30 || len(r.Clusters) != 2 || r.Clusters[0].Class == "" {
		t.Errorf("9 of data with classes: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(photos, "cat", "bad.png"), []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := report(exitFailed, photos); r.Pictures != 30 || r.Skipped != 1 {
		t.Errorf("with a damaged picture: %+v", r)
	}
	if text := done(t, "map", "-m", model, "-o", out, filepath.Join(photos, "dog")); !strings.Contains(text, "15 pictures in") {
		t.Errorf("printed %s", text)
	}
	for want, args := range map[string][]string{
		"-o FILE.html is missing": {photos},
		".html":                   {photos, "-o", "map.png"},
		"--limit 1 is not from 2": {photos, "-o", out, "--limit", "1"},
		"--clusters -1 is below":  {photos, "-o", out, "--clusters", "-1"},
		"unknown kind of data":    {"foldr:" + photos, "-o", out},
		"does not go with other":  {"folder:" + photos, "x.jpg", "-o", out},
		"2 pictures or more":      {filepath.Join(photos, "dog", "1.png"), "-o", out},
		"a picture is missing":    {"-o", out},
	} {
		if code, _, errs := cli(t, append([]string{"map", "-m", model}, args...)...); code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
