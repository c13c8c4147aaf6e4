package data

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestZipSpellings(t *testing.T) {
	for _, form := range []string{"./train/%s/1.png", "/train/%s/1.png", "train//%s/./1.png", `train\%s\1.png`, "//train/%s//1.png"} {
		b := zipBytes(fstest.MapFS{fmt.Sprintf(form, "a"): file(nil), fmt.Sprintf(form, "b"): file(nil)})
		src, err := newZipSource(bytes.NewReader(b), int64(len(b)), 100)
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if want := []string{"train/a/1.png", "train/b/1.png"}; !slices.Equal(src.names, want) || !slices.Equal(src.dirs, []string{"train", "train/a", "train/b"}) {
			t.Errorf("%s: files %q, folders %q", form, src.names, src.dirs)
		}
	}
}

// TestZipEntryNames checks names in code page 437 and UTF-8 without the flag for it.
func TestZipEntryNames(t *testing.T) {
	for name, want := range map[string]string{"caf\x82/1.png": "café/1.png", "café/1.png": "café/1.png", "\x8e/1.png": "Ä/1.png"} {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		if _, err := w.CreateHeader(&zip.FileHeader{Name: name, NonUTF8: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		src, err := newZipSource(bytes.NewReader(b.Bytes()), int64(b.Len()), 100)
		if err != nil || !slices.Equal(src.names, []string{want}) {
			t.Errorf("%q gives %q, %v, want %q", name, src.names, err, want)
		}
	}
}

func TestZipMethods(t *testing.T) {
	entry := func(h *zip.FileHeader, data string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// "hello\n" as bzip2 packs it.
	const packed = "BZh91AY&SY\xc1\xc0\x80\xe2\x00\x00\x01A\x00\x00\x10\x02D\xa0\x000\xcd\x00\xc3F)\x97\x17rE8P\x90\xc1\xc0\x80\xe2"
	b := entry(&zip.FileHeader{Name: "a.png", Method: 12, CRC32: 0x363a3020, CompressedSize64: uint64(len(packed)), UncompressedSize64: 6}, packed)
	src, err := newZipSource(bytes.NewReader(b), int64(len(b)), 100)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := src.read("a.png", nil); err != nil || string(got) != "hello\n" {
		t.Errorf("bzip2: %q, %v", got, err)
	}
	for _, c := range []struct {
		head zip.FileHeader
		want string
	}{
		{zip.FileHeader{Name: "a.png", Method: 14}, "LZMA (method 14)"},
		{zip.FileHeader{Name: "a.png", Method: 93}, "Zstandard"},
		{zip.FileHeader{Name: "a.png", Method: 77}, "method 77"},
		{zip.FileHeader{Name: "a.png", Method: zip.Deflate, Flags: 1}, "encrypted"},
	} {
		b := entry(&c.head, "")
		_, err := newZipSource(bytes.NewReader(b), int64(len(b)), 100)
		checkError(t, err, c.want)
		// What is no picture does not matter.
		c.head.Name = "readme"
		b = entry(&c.head, "")
		if _, err := newZipSource(bytes.NewReader(b), int64(len(b)), 100); err != nil {
			t.Errorf("%+v: %v", c.head, err)
		}
	}
}

// TestBadEntries checks that one entry that cannot be read is one bad sample.
func TestBadEntries(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"train/a/1.png", "train/b/1.png", "train/b/sub/2.png", "train/lost+found/x.png"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pngBytes(2, 2, 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "train/a/gone.png")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "train/a/gone.txt")); err != nil {
		t.Skip(err)
	}
	bad := []string{"train/a/gone.png"}
	if os.Getuid() > 0 {
		if err := os.Chmod(filepath.Join(dir, "train/b/sub"), 0); err != nil {
			t.Fatal(err)
		}
		bad = append(bad, "train/b/sub")
	}
	bad = append(bad, makePipe(t, dir, "train/b/pipe.png")...)
	s, err := Open("folder:"+dir, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := Check(context.Background(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range r.Parts[0].Bad {
		got = append(got, b.Name)
	}
	slices.Sort(got)
	slices.Sort(bad)
	if !slices.Equal(got, bad) || !slices.Equal(r.Classes, []string{"a", "b"}) {
		t.Errorf("bad entries %q, want %q; classes %q", got, bad, r.Classes)
	}
}

// TestPartNames checks folders called as a part of the data that are classes.
func TestPartNames(t *testing.T) {
	for _, c := range []struct {
		paths   []string
		classes []string // nil for an error
		err     string
	}{
		{[]string{"bicycle/1.png", "bus/1.png", "train/1.png"}, []string{"bicycle", "bus", "train"}, ""},
		{[]string{"valid/1.png", "invalid/1.png"}, []string{"invalid", "valid"}, ""},
		{[]string{"Test/1.png", "pass/1.png"}, []string{"Test", "pass"}, ""},
		{[]string{"bus/1.png", "train/steam/1.png", "train/diesel/1.png"}, nil, "bus/ lies beside train/"},
		{[]string{"train/a/1.png", "train/b/1.png", "notes/x.txt"}, []string{"a", "b"}, ""},
		{[]string{"train/a/1.png", "train/b/1.png", "test1/1.png"}, nil, "test1/ lies beside train/"},
	} {
		s, err := openBoth(t, "folder", folderFS(c.paths...), Options{ValFraction: -1})
		if c.err != "" {
			checkError(t, err, c.err)
			continue
		}
		if err != nil || !slices.Equal(s.Classes(), c.classes) {
			t.Errorf("%q: classes %q, %v, want %q", c.paths, s.Classes(), err, c.classes)
		}
	}
}

func TestClassNameForms(t *testing.T) {
	s, err := openBoth(t, "folder", folderFS("train/cafe\u0301/1.png", "train/dog/1.png", "val/caf\u00e9/1.png"), Options{})
	if err != nil || !slices.Equal(s.Classes(), []string{"caf\u00e9", "dog"}) || s.Val.Labels(0)[0] != 0 {
		t.Errorf("%v, %v", s, err)
	}
	_, err = OpenFolder(fstest.MapFS{"caf\xe9/1.png": file(nil), "dog/1.png": file(nil)}, Options{})
	if err == nil {
		t.Error("a class name in Latin-1 is no error")
	}
	for _, n := range s.Notes {
		t.Log(n)
	}
}

func TestLeftOut(t *testing.T) {
	s, err := OpenFolder(folderFS("a/1.png", "b/1.png", "c/1.HEIC", "c/2.heic", "a/x.txt", "a/README", "loose.png"), Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(s.Notes, "\n")
	for _, want := range []string{"class folder c has no pictures, only other files (2 .heic)", "4 files", "2 .heic, 1 without ending, 1 .txt", "loose.png"} {
		if !strings.Contains(text, want) {
			t.Errorf("notes lack %q:\n%s", want, text)
		}
	}
}

// A class folder without pictures is in Splits.Empty and in the report, also of parts
// that were divided.
func TestEmptyClassIsReported(t *testing.T) {
	fsys := fstest.MapFS{
		"train/a/1.png": {Data: []byte("x")}, "train/a/2.png": {Data: []byte("x")}, "train/b/1.png": {Data: []byte("x")},
		"train/c/1.heic": {Data: []byte("x")}, "train/d": {Mode: fs.ModeDir | 0o755},
	}
	s, err := OpenFolder(fsys, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"the class folder train/c has no pictures, only other files (1 .heic)", "the class folder train/d has no pictures"}
	if !slices.Equal(s.Empty, want) {
		t.Errorf("empty %q", s.Empty)
	}
	r, err := Check(context.Background(), s, 1)
	if err != nil || !slices.Equal(r.Empty, want) {
		t.Errorf("report %q, %v", r.Empty, err)
	}
	d, err := Divide(s, 0.3, 0, 1)
	if err == nil && !slices.Equal(d.Empty, want) {
		t.Errorf("divided: %q", d.Empty)
	}
}
