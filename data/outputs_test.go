package data

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/internal/ownpng"
)

// ownResults adds what this program leaves below a folder of pictures.
func ownResults(fsys fstest.MapFS) fstest.MapFS {
	for _, name := range []string{
		"runs/train/recipe.yaml", "runs/train/results.csv", "runs/train/curves.png", "runs/train/last.safetensors",
		"runs/folds/fold-1/recipe.yaml", "runs/folds/fold-1/best.safetensors", "runs/folds/fold-1/curves.png",
		"runs/begun/recipe.yaml", "runs/begun/events.out.tfevents.1.host.2.3",
		"runs/rate/lr-find.png",
		"runs/labels/study.json", "runs/labels/report.html", "runs/labels/charts/linear.png", "runs/labels/runs/random-s1/recipe.yaml", "runs/labels/runs/random-s1/results.csv", "runs/labels/runs/random-s1/curves.png",
		"report/report.json", "report/confusion.json", "report/confusion.png",
		// A run in the folder of the pictures themselves.
		"recipe.yaml", "results.csv", "curves.png", "lr-find.png",
	} {
		fsys[name] = file(nil)
	}
	return fsys
}

// TestOwnResultsAreNoPictures: runs below the data are neither pictures nor classes, in
// folders and zips, and are noted in one line; a folder that only has a file of a similar
// name stays.
func TestOwnResultsAreNoPictures(t *testing.T) {
	plain := func() fstest.MapFS {
		return fstest.MapFS{
			"cat/1.png": file(nil), "cat/curves.png": file(nil), "dog/1.png": file(nil), "dog/recipe.yaml": file(nil),
			"dog/mine/results.csv": file(nil), "dog/mine/2.png": file(nil),
		}
	}
	parts := fstest.MapFS{}
	for name, f := range plain() {
		parts["train/"+name], parts["val/"+name] = f, f
	}
	for what, fsys := range map[string]fstest.MapFS{"classes": plain(), "parts": parts} {
		open := func(fsys fstest.MapFS) *Splits {
			t.Helper()
			s, err := OpenFolder(fsys, Options{ValFraction: -1})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			return s
		}
		want := open(fsys)
		got := open(ownResults(fsys))
		zipped, err := newZipSource(bytes.NewReader(zipBytes(fsys)), int64(len(zipBytes(fsys))), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := openFolder(zipped, Options{ValFraction: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Splits{got, packed} {
			if !slices.Equal(s.Classes(), want.Classes()) || s.Train.Len() != want.Train.Len() {
				t.Errorf("%s: %d pictures of %q, want %d of %q", what, s.Train.Len(), s.Classes(), want.Train.Len(), want.Classes())
			}
			n := 0
			for _, note := range s.Notes {
				if strings.Contains(note, "2 folders with results of resnet, such as report") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s: %d notes about results: %q", what, n, s.Notes)
			}
		}
	}
	// Without labels, and by commands that take pictures.
	flat := ownResults(fstest.MapFS{"1.png": file(nil), "runs/mine/2.png": file(nil)})
	s, err := OpenFolder(flat, Options{Unlabeled: true})
	if err != nil || s.Train.Len() != 2 {
		t.Fatalf("without labels: %v, %v", s, err)
	}
	found, note, err := listPictures(&fsSource{fsys: flat})
	if want := []string{"1.png", "runs/mine/2.png"}; err != nil || !slices.Equal(found, want) || !strings.Contains(note, "results of resnet") {
		t.Errorf("%q, %q, %v", found, note, err)
	}
	if _, note, err := listPictures(&fsSource{fsys: plain()}); err != nil || note != "" {
		t.Errorf("without results: %q, %v", note, err)
	}
}

// drawing is a PNG file that this program drew.
func drawing(t *testing.T, m image.Image) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	if err := ownpng.Encode(&b, m, png.BestSpeed); err != nil {
		t.Fatal(err)
	}
	return file(b.Bytes())
}

// TestDrawingsAreNoPictures: drawings have a mark, so that they are left out under any
// name, in any place. Masks among them can be labels.
func TestDrawingsAreNoPictures(t *testing.T) {
	rect := image.Rect(0, 0, 4, 3)
	overlay, mask := drawing(t, image.NewRGBA(rect)), drawing(t, image.NewPaletted(rect, color.Palette{color.Black, color.White}))
	var plain bytes.Buffer
	if err := png.Encode(&plain, image.NewRGBA(rect)); err != nil {
		t.Fatal(err)
	}
	cut := file(overlay.Data[:40])
	fsys := fstest.MapFS{
		"cat/1.png": file(plain.Bytes()), "cat/2.PNG": overlay, "cat/short.png": cut, "cat/empty.png": file(nil),
		"dog/1.jpg": file(nil), "dog/drawn.jpg": overlay, // which commands do not write
		"drawn/a.png": overlay, "drawn/a-mask.png": mask, "drawn/results.json": file(nil),
		"classes.txt": file(nil), "sheet.png": overlay,
	}
	zipped, err := newZipSource(bytes.NewReader(zipBytes(fsys)), int64(len(zipBytes(fsys))), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range []source{&fsSource{fsys: fsys, limit: 1 << 20}, zipped} {
		s, err := openFolder(src, Options{ValFraction: -1})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"cat", "dog"}; s.Train.Len() != 5 || !slices.Equal(s.Classes(), want) {
			t.Errorf("%T: %d pictures of %q", src, s.Train.Len(), s.Classes())
		}
		const note = "left out the folder drawn, which holds results of resnet, and 2 pictures that are results of resnet, such as cat/2.PNG"
		if !slices.Contains(s.Notes, note) {
			t.Errorf("%T: notes %q", src, s.Notes)
		}
		found, _, err := listPictures(src)
		if want := []string{"cat/1.png", "cat/empty.png", "cat/short.png", "dog/1.jpg", "dog/drawn.jpg"}; err != nil || !slices.Equal(found, want) {
			t.Errorf("%T: %q, %v", src, found, err)
		}
		files, _, err := (&Files{src}).Data()
		if err != nil || !slices.Contains(files, "drawn/a-mask.png") || slices.Contains(files, "drawn/a.png") || !slices.Contains(files, "classes.txt") {
			t.Errorf("%T, masks: %q, %v", src, files, err)
		}
	}
}

// TestLockedFolderIsNoClass: the folder of a training that begins holds its lock and
// perhaps a file that is not complete.
func TestLockedFolderIsNoClass(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cat/1.png", "dog/1.png", "runs/train/" + lockFile, "runs/other/" + lockFile, "runs/other/.recipe.yaml-12", "runs/other/recipe.yaml-12"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open("folder:"+dir, Options{})
	if err != nil || !slices.Equal(s.Classes(), []string{"cat", "dog"}) {
		t.Fatalf("%v, %v", s, err)
	}
}
