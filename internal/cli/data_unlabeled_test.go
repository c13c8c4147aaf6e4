package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
)

// TestUnlabeledData: pictures that are not sorted into classes are checked and divided,
// in a folder, a zip and a tar; those beside class folders, with --unlabeled.
func TestUnlabeledData(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for i := range 10 {
		writePicture(t, filepath.Join(in("flat"), fmt.Sprintf("%d.png", i)), i)
		writePicture(t, filepath.Join(in("nested"), "holiday", []string{"2024", "2025"}[i%2], fmt.Sprintf("%d.png", i)), i)
		writePicture(t, filepath.Join(in("beside"), []string{"2024", "2025", ""}[i%3], fmt.Sprintf("%d.png", i)), i)
	}
	writePicture(t, filepath.Join(in("nested"), "other.png"), 11)
	for _, name := range []string{"flat", "nested", "beside"} { // each with a broken one and a copy
		if err := os.WriteFile(filepath.Join(in(name), "broken.jpg"), []byte("broken"), 0o644); err != nil {
			t.Fatal(err)
		}
		writePicture(t, filepath.Join(in(name), "copy.png"), 0)
	}
	zipOf(t, in("flat"), in("flat.zip"))
	tarOf(t, in("flat"), in("flat.tar"))
	for args, n := range map[string]int{
		"folder:flat": 12, "folder:flat.zip": 12, "folder:flat.tar": 12, "tar:flat.tar": 12, "folder:nested": 13, "folder:beside --unlabeled": 12,
	} {
		kind, rest, _ := strings.Cut(args, ":")
		spec := strings.Fields(kind + ":" + in(rest)) // and the flag
		check := append([]string{"data", "check"}, spec...)
		code, out, errs := cli(t, check...)
		if code != exitFailed || !strings.Contains(out, "pictures without labels") || !strings.Contains(out, "unreadable: train broken.jpg") ||
			!strings.Contains(errs, "1 picture cannot be decoded") {
			t.Errorf("%s: code %d\n%s%s", args, code, out, errs)
		}
		_, out, _ = cli(t, append(check, "--json")...)
		var r data.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if p := r.Parts[0]; len(r.Parts) != 1 || p.Images != n || p.NoLabel != n || len(p.Bad) != 1 || len(r.Duplicates) != 1 || p.MinW == 0 ||
			r.Classes == nil || len(r.Classes) != 0 || r.MultiLabel {
			t.Errorf("%s: %s", args, out)
		}
		if strings.HasPrefix(args, "tar:") {
			continue
		}
		parts := in("parts-" + strings.NewReplacer(":", "-", " ", "").Replace(args))
		out = done(t, append(append([]string{"data", "split"}, spec...), "-o", parts, "--val", "0.25", "--test", "0.25")...)
		if !strings.Contains(out, "resnet train --task ssl --data folder:"+parts) {
			t.Errorf("%s: %s", args, out)
		}
		if err := os.Remove(onlyMatch(t, parts, "broken.jpg")); err != nil {
			t.Fatal(err)
		}
		r = data.Report{}
		if err := json.Unmarshal([]byte(done(t, "data", "check", "folder:"+parts, "--json")), &r); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, p := range r.Parts {
			total += p.NoLabel
		}
		if len(r.Parts) != 3 || total != n-1 || len(r.Classes) > 0 {
			t.Errorf("%s: divided into %+v", args, r)
		}
		again := parts + "-again" // parts that are there stay
		done(t, "data", "split", "folder:"+parts, "-o", again, "--val", "0.5")
		if _, err := os.Stat(filepath.Join(again, "test")); err != nil {
			t.Error(err)
		}
	}
	// With classes, the picture beside them is left out without the flag.
	if out := done(t, "data", "check", "folder:"+in("beside")); !strings.Contains(out, "beside: 2 classes") || !strings.Contains(out, "in no class folder") {
		t.Errorf("with classes: %s", out)
	}
}

// onlyMatch returns the only file of a name below a folder.
func onlyMatch(t *testing.T, dir, name string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == name {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %v, %v", name, dir, found, err)
	}
	return found[0]
}

// TestCheckOfAForeignClass: the other parts are checked where the test part has a class of
// its own.
func TestCheckOfAForeignClass(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"train/cat", "train/dog", "test/cat", "test/eel"} {
		writePicture(t, filepath.Join(dir, name, "0.png"), i)
	}
	code, out, errs := cli(t, "data", "check", "folder:"+dir)
	if code != exitFailed || !strings.Contains(out, "2 classes") || !strings.Contains(errs, "the test part is not checked") || !strings.Contains(errs, "eel") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
}
