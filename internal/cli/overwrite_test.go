package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInputsAreNotOverwritten sees that no command writes its result into a file that it
// reads, whatever the file is called in the arguments.
func TestInputsAreNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	picture, list, model := filepath.Join(dir, "x.png"), filepath.Join(dir, "list"), filepath.Join(dir, "m.safetensors")
	writePicture(t, picture, 1)
	if err := os.WriteFile(list, []byte(picture+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	small := customModel(t, dir)
	b, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(model, b, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(picture, link); err != nil {
		t.Skip(err)
	}
	for _, c := range [][]string{
		{"predict", picture, "-o", picture},
		{"predict", link, "-o", picture},
		{"predict", picture, "-o", link},
		{"predict", "@" + list, "-o", list},
		{"predict", "-m", model, picture, "-o", model},
		{"embed", picture, "-m", model, "-o", model},
		{"embed", picture, "-m", "resnet20-cifar@" + model, "-o", model},
		{"detect", picture, "-m", model, "-o", picture},
		{"detect", picture, "-m", model, "--results", picture},
		{"segment", picture, "-m", model, "-o", picture},
		{"segment", picture, "-m", model, "--mask", picture},
		{"segment", picture, "-m", model, "-o", filepath.Join(dir, "new.png"), "--mask", filepath.Join(dir, "new.png")},
		{"explain", picture, "-o", picture},
		{"inspect", picture, "--layer", "layer1", "-o", picture},
		{"eval", "--data", "folder:" + dir, "--csv", model, "-m", model},
		{"linear", "-m", model, "--data", "folder:" + dir, "-o", model},
		{"quantize", model, "-o", model},
	} {
		before := map[string][]byte{}
		for _, f := range []string{picture, list, model} {
			before[f], _ = os.ReadFile(f)
		}
		code, _, errs := cli(t, c...)
		if code != exitUsage || !strings.Contains(errs, "which the command reads") && !strings.Contains(errs, "the same file") {
			t.Errorf("%s: code %d, %s", c, code, errs)
		}
		for f, want := range before {
			if got, _ := os.ReadFile(f); !bytes.Equal(got, want) {
				t.Fatalf("%s changed %s", c, f)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new.png")); err == nil {
		t.Error("a result was written")
	}
	done(t, "predict", picture, "-o", filepath.Join(dir, "x.csv"))
	done(t, "predict", picture, "-o", filepath.Join(dir, "x.csv")) // its own result may be replaced
}

// TestListsMayHaveComments reads a list as people and other systems write it.
func TestListsMayHaveComments(t *testing.T) {
	dir := t.TempDir()
	picture, odd, list := filepath.Join(dir, "x.png"), filepath.Join(dir, "#y.png"), filepath.Join(dir, "list")
	writePicture(t, picture, 1)
	writePicture(t, odd, 1)
	if err := os.WriteFile(list, []byte("# pictures\r\n  "+picture+" \r\n\n"+odd+"\n#no.png\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	names, err := (&app{quiet: true}).pictureNames([]string{"@" + list})
	if want := []string{picture, odd}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v, want %q", names, err, want)
	}
}

// TestDrawingsAreNotDrawnAgain names folders and files for drawings.
func TestDrawingsAreNotDrawnAgain(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	a := &app{err: &bytes.Buffer{}}
	names, file, err := drawingsOf(a, dir+"/", []string{p("a.jpg"), p("a-objects.png"), p("b-objects.png")}, "-objects.png")
	if want := []string{p("a.jpg"), p("b-objects.png")}; err != nil || file || !slices.Equal(names, want) {
		t.Errorf("%q, a file %v, %v, want %q", names, file, err, want)
	}
	if _, file, err := drawingsOf(a, p("x.PNG"), nil, "-objects.png"); err != nil || !file {
		t.Error("a PNG file is a file", err)
	}
	if _, _, err := drawingsOf(a, p("x.jpg"), nil, "-objects.png"); err == nil || !strings.Contains(err.Error(), ".png") {
		t.Error("a JPEG file:", err)
	}
	if exists(p("x.jpg")) {
		t.Error("a folder x.jpg was made")
	}
}
