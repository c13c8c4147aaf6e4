package data

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
)

// cifarBytes returns records with those labels; pixel p of plane c of record i
// is 10*i + c + p%7.
func cifarBytes(labelBytes int, labels ...int) []byte {
	var b []byte
	for i, l := range labels {
		for range labelBytes - 1 {
			b = append(b, 19) // the coarse label, which must not count
		}
		b = append(b, byte(l))
		for c := range 3 {
			for p := range cifarPlane {
				b = append(b, byte(10*i+c+p%7))
			}
		}
	}
	return b
}

func file(b []byte) *fstest.MapFile { return &fstest.MapFile{Data: b} }

// checkError fails unless err contains all of the words.
func checkError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not have %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

func TestCIFAR10(t *testing.T) {
	for _, prefix := range []string{"", "cifar-10-batches-bin/"} {
		s, err := OpenCIFAR10(fstest.MapFS{
			prefix + "data_batch_1.bin": file(cifarBytes(1, 3, 9)),
			prefix + "data_batch_2.bin": file(cifarBytes(1, 0)),
			prefix + "test_batch.bin":   file(cifarBytes(1, 1, 2)),
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Train.Len() != 3 || s.Test.Len() != 2 || s.Val != nil || s.Eval() != s.Test {
			t.Fatalf("parts of %d and %d, validation %v", s.Train.Len(), s.Test.Len(), s.Val)
		}
		var labels []int
		for i := range 3 {
			labels = append(labels, s.Train.Labels(i)...)
		}
		if !slices.Equal(labels, []int{3, 9, 0}) || s.Classes()[9] != "truck" {
			t.Errorf("labels %v, class 9 %s", labels, s.Classes()[9])
		}
		if n := s.Train.Name(2); n != "data_batch_2.bin#0" {
			t.Errorf("name of sample 2 is %q", n)
		}
		var m imaging.Image
		if err := s.Train.Decode(1, &m); err != nil {
			t.Fatal(err)
		}
		if m.W != 32 || m.H != 32 || m.C != 3 || !slices.Equal(m.Pix[3*8:3*8+3], []uint8{11, 12, 13}) {
			t.Errorf("pixel 8 of sample 1 is %v, want 11 12 13", m.Pix[3*8:3*8+3])
		}
	}
}

func TestCIFAR100(t *testing.T) {
	names := strings.Repeat("name\n", 100)
	s, err := OpenCIFAR100(fstest.MapFS{
		"train.bin":            file(cifarBytes(2, 99, 5)),
		"fine_label_names.txt": file([]byte(names)),
	}, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Train.Labels(0)[0]; l != 99 || s.Train.Len() != 2 || s.Test != nil || len(s.Classes()) != 100 {
		t.Errorf("label %d of %d samples, %d classes", l, s.Train.Len(), len(s.Classes()))
	}
}

func TestCIFARErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		fsys fstest.MapFS
		want []string
	}{
		{"empty", fstest.MapFS{}, []string{"data_batch_*.bin", "test_batch.bin", "not exist"}},
		{"cut short", fstest.MapFS{"data_batch_1.bin": file(cifarBytes(1, 1, 2)[:5000])}, []string{"data_batch_1.bin", "5000", "3073"}},
		{"no bytes", fstest.MapFS{"test_batch.bin": file(nil)}, []string{"test_batch.bin", "size 0"}},
		{"label", fstest.MapFS{"test_batch.bin": file(cifarBytes(1, 1, 10))}, []string{"test_batch.bin", "record 1", "label 10"}},
		{"names", fstest.MapFS{"test_batch.bin": file(cifarBytes(1, 1)), "batches.meta.txt": file([]byte("a b"))},
			[]string{"batches.meta.txt", "2 class names"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenCIFAR10(c.fsys, Options{})
			checkError(t, err, c.want...)
		})
	}
}

// idxBytes returns an IDX file of bytes; byte i is i%251.
func idxBytes(dims ...int) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	n := 1
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
		n *= d
	}
	for i := range n {
		b = append(b, byte(i%251))
	}
	return b
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func TestIDX(t *testing.T) {
	s, err := OpenIDX(fstest.MapFS{
		"train-images-idx3-ubyte":   file(idxBytes(5, 4, 3)),
		"train-labels.idx1-ubyte":   file(idxBytes(5)),
		"t10k-images-idx3-ubyte.gz": file(gzipped(idxBytes(2, 4, 3))),
		"t10k-labels-idx1-ubyte.gz": file(gzipped(idxBytes(2))),
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Train.Len() != 5 || s.Test.Len() != 2 || !slices.Equal(s.Classes(), []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%d and %d samples of classes %v", s.Train.Len(), s.Test.Len(), s.Classes())
	}
	var m imaging.Image
	if err := s.Test.Decode(1, &m); err != nil {
		t.Fatal(err)
	}
	if m.W != 3 || m.H != 4 || m.C != 1 || m.Pix[0] != 12 || s.Test.Labels(1)[0] != 1 {
		t.Errorf("sample 1: %d x %d x %d, first pixel %d, label %v", m.W, m.H, m.C, m.Pix[0], s.Test.Labels(1))
	}
}

func TestIDXErrors(t *testing.T) {
	images, labels := "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
	huge := idxBytes(0, 0, 0)
	copy(huge[4:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	floats := idxBytes(1, 1, 1)
	floats[2] = 0x0d
	for _, c := range []struct {
		name string
		fsys fstest.MapFS
		want []string
	}{
		{"empty", fstest.MapFS{}, []string{images, "not exist"}},
		{"no labels", fstest.MapFS{images: file(idxBytes(1, 2, 2))}, []string{"train-labels", "not exist"}},
		{"cut short", fstest.MapFS{images: file(idxBytes(3, 2, 2)[:20])}, []string{images, "12 bytes", "only 4"}},
		{"too long", fstest.MapFS{images: file(append(idxBytes(3, 2, 2), 0))}, []string{images, "more"}},
		{"no header", fstest.MapFS{images: file([]byte{0, 0, 8, 3, 0})}, []string{images, "header"}},
		{"floats", fstest.MapFS{images: file(floats)}, []string{images, "00 00 0d 03"}},
		{"huge", fstest.MapFS{images: file(huge)}, []string{images, "promises"}},
		{"numbers", fstest.MapFS{images: file(idxBytes(3, 2, 2)), labels: file(idxBytes(2))}, []string{"3 pictures", "2 labels"}},
		{"no pixels", fstest.MapFS{images: file(idxBytes(3, 0, 2)), labels: file(idxBytes(3))}, []string{images, "2 x 0"}},
		{"not gzip", fstest.MapFS{images + ".gz": file(idxBytes(3, 2, 2))}, []string{images + ".gz", "gzip"}},
		{"gzip cut", fstest.MapFS{images + ".gz": file(gzipped(idxBytes(30, 20, 2))[:40])}, []string{images + ".gz", "unexpected EOF"}},
		{"classes", fstest.MapFS{images: file(idxBytes(3, 2, 2)), labels: file(idxBytes(3)), "classes.txt": file([]byte("a\nb\n"))},
			[]string{"classes.txt", "2 classes", "label 2"}},
		{"classes as JSON", fstest.MapFS{images: file(idxBytes(3, 2, 2)), labels: file(idxBytes(3)), "classes.txt": file([]byte(`["a", "b"]`))},
			[]string{"classes.txt", "2 classes", "label 2"}},
		{"classes in another encoding", fstest.MapFS{images: file(idxBytes(3, 2, 2)), labels: file(idxBytes(3)), "classes.txt": file([]byte("a\nb\xe9\nc\n"))},
			[]string{"classes.txt: line 2", "UTF-8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenIDX(c.fsys, Options{})
			checkError(t, err, c.want...)
		})
	}
}

// pngBytes returns a gray-free PNG of one color.
func pngBytes(w, h int, v uint8) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.NRGBA{v, 255 - v, v / 2, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// folderFS returns pictures of distinct colors at those paths.
func folderFS(paths ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, p := range paths {
		fsys[p] = file(pngBytes(6, 5, uint8(i)))
	}
	return fsys
}

// zipBytes returns the files as a zip.
func zipBytes(fsys fstest.MapFS) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(keys(fsys)) {
		w, err := z.Create(name)
		if err != nil {
			panic(err)
		}
		if _, err := w.Write(fsys[name].Data); err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func keys(fsys fstest.MapFS) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range fsys {
			if !yield(k) {
				return
			}
		}
	}
}

// openBoth opens the files as a folder and as a zip and checks that both give
// the same.
func openBoth(t *testing.T, kind string, fsys fstest.MapFS, opt Options) (*Splits, error) {
	t.Helper()
	open := openFolder
	if kind == "multilabel" {
		open = openMultiLabel
	}
	s, err := open(&fsSource{fsys, opt.fileLimit()}, opt)
	b := zipBytes(fsys)
	src, zipErr := newZipSource(bytes.NewReader(b), int64(len(b)), opt.fileLimit())
	var z *Splits
	if zipErr == nil {
		z, zipErr = open(src, opt)
	}
	if (err == nil) != (zipErr == nil) || err != nil && err.Error() != zipErr.Error() {
		t.Fatalf("as folder: %v; as zip: %v", err, zipErr)
	}
	if err == nil && !reflect.DeepEqual(listing(s), listing(z)) {
		t.Fatalf("as folder: %v\nas zip: %v", listing(s), listing(z))
	}
	return z, zipErr
}

// listing returns "part class name" for all samples.
func listing(s *Splits) []string {
	var all []string
	for _, p := range s.parts() {
		for i := range p.ds.Len() {
			var classes []string
			for _, l := range p.ds.Labels(i) {
				classes = append(classes, p.ds.Classes()[l])
			}
			all = append(all, p.name+" "+strings.Join(classes, "+")+" "+p.ds.Name(i))
		}
	}
	return all
}

func TestFolder(t *testing.T) {
	for _, c := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"train and test",
			[]string{"train/dog/1.png", "train/cat/2.PNG", "train/cat/1.png", "test/dog/x.png", "train/.hidden/3.png", "train/readme.txt"},
			[]string{"train cat train/cat/1.png", "train cat train/cat/2.PNG", "train dog train/dog/1.png", "test dog test/dog/x.png"}},
		{"other names", []string{"Training/a/1.png", "Training/b/1.png", "valid/a/1.png"},
			[]string{"train a Training/a/1.png", "train b Training/b/1.png", "val a valid/a/1.png"}},
		{"nested root", []string{"pets/deep/train/a/1.png", "pets/deep/train/b/x/y/1.png", "pets/deep/val/b/1.png", "__MACOSX/pets/._x.png"},
			[]string{"train a pets/deep/train/a/1.png", "train b pets/deep/train/b/x/y/1.png", "val b pets/deep/val/b/1.png"}},
		{"evaluation only", []string{"test/a/1.png", "test/b/1.png"},
			[]string{"test a test/a/1.png", "test b test/b/1.png"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := openBoth(t, "folder", folderFS(c.paths...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(s); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			var m imaging.Image
			for _, p := range s.parts() {
				for i := range p.ds.Len() {
					if err := p.ds.Decode(i, &m); err != nil || m.W != 6 || m.H != 5 || m.C != 3 {
						t.Errorf("%s: %d x %d x %d, %v", p.ds.Name(i), m.W, m.H, m.C, err)
					}
				}
			}
		})
	}
}

func TestFolderErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"empty", nil, []string{"no class folders"}},
		{"one class", []string{"train/cat/1.png"}, []string{"train", "only one class", "cat"}},
		{"one class, no parts", []string{"cat/1.png"}, []string{"only one class", "cat"}},
		{"no folders", []string{"1.png"}, []string{"no class folders"}},
		{"unknown class", []string{"train/a/1.png", "train/b/1.png", "val/c/1.png"}, []string{"val/c", "train"}},
		{"two names", []string{"train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"}, []string{"val", "valid"}},
		{"no pictures", []string{"train/a/1.txt", "train/b/1.txt"}, []string{"train", "no pictures"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openBoth(t, "folder", folderFS(c.paths...), Options{})
			checkError(t, err, c.want...)
		})
	}
}

// TestPartError: a part that cannot be used names itself, and the data open without the
// test part; a folder without pictures is no class.
func TestPartError(t *testing.T) {
	classes := []string{"train/a/1.png", "train/b/1.png"}
	for name, c := range map[string]struct {
		more []string
		want PartError // without the problem; no part: no error
	}{
		"class of test":              {[]string{"test/a/1.png", "test/c/1.png", "test/d/1.png"}, PartError{Part: "test"}},
		"class of test, with val":    {[]string{"val/a/1.png", "test/c/1.png"}, PartError{Part: "test", Validated: true}},
		"class of val":               {[]string{"val/c/1.png", "test/a/1.png"}, PartError{Part: "val"}},
		"test without class folders": {[]string{"test/1.png"}, PartError{Part: "test"}},
		"folder without pictures":    {[]string{"test/a/1.png", "test/lists/all.txt"}, PartError{}},
	} {
		fsys := folderFS(append(classes, c.more...)...)
		s, err := OpenFolder(fsys, Options{})
		var got *PartError
		if errors.As(err, &got); got == nil {
			got = &PartError{}
		}
		if got.Part != c.want.Part || got.Validated != c.want.Validated || (err != nil) != (c.want.Part != "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && s.Test.Len() != 1 {
			t.Errorf("%s: %d pictures to test on", name, s.Test.Len())
		}
		if s, err := OpenFolder(fsys, Options{WithoutTest: true}); (err != nil) != (c.want.Part == "val") || err == nil && (s.Test != nil || len(s.Classes()) != 2) {
			t.Errorf("%s, without the test part: %v", name, err)
		}
	}
}

func TestHoldOut(t *testing.T) {
	var paths []string
	for i := range 30 {
		paths = append(paths, fmt.Sprintf("many/%d.png", i))
	}
	paths = append(paths, "few/1.png", "few/2.png", "single/1.png")
	s, err := openBoth(t, "folder", folderFS(paths...), Options{Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	if got := ClassCounts(s.Val); !slices.Equal(got, []int{1, 3, 0}) { // few, many, single
		t.Errorf("held out %v of 2, 30, 1", got)
	}
	if got := ClassCounts(s.Train); !slices.Equal(got, []int{1, 27, 1}) {
		t.Errorf("left %v of 2, 30, 1", got)
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "held out 4 of 33") {
		t.Errorf("notes %q", s.Notes)
	}
	// The samples are chosen by name: one more file moves at most what its
	// class's larger share needs.
	more, err := openBoth(t, "folder", folderFS(append(paths, "many/zz.png")...), Options{Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for _, l := range listing(s) {
		if !slices.Contains(listing(more), l) {
			moved++
		}
	}
	if moved > 1 {
		t.Errorf("%d samples changed their part when one was added", moved)
	}
	other, err := openBoth(t, "folder", folderFS(paths...), Options{Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(listing(s), listing(other)) {
		t.Error("seeds 4 and 5 hold out the same samples")
	}
	if _, err := openBoth(t, "folder", folderFS(paths...), Options{ValFraction: 1}); err == nil {
		t.Error("holding out everything is no error")
	}
	none, err := openBoth(t, "folder", folderFS(paths...), Options{ValFraction: -1})
	if err != nil || none.Val != nil || none.Train.Len() != 33 {
		t.Errorf("ValFraction -1: %v, %v", none.Val, err)
	}
}

func TestZipAttacks(t *testing.T) {
	_, err := newZipSource(strings.NewReader("no zip"), 6, 100)
	checkError(t, err, "zip")
	for _, name := range []string{"../train/a/1.png", "/../train/a/1.png", "train/../../x.png", "train/a/../1.png", `..\a\1.png`} {
		b := zipBytes(fstest.MapFS{name: file(nil)})
		_, err := newZipSource(bytes.NewReader(b), int64(len(b)), 100)
		checkError(t, err, "not a path inside the zip")
	}
	// A bomb: by the size in the header and by the real size.
	b := zipBytes(fstest.MapFS{"train/a/1.png": file(make([]byte, 1000)), "train/b/1.png": file(nil)})
	src, err := newZipSource(bytes.NewReader(b), int64(len(b)), 999)
	if err != nil {
		t.Fatal(err)
	}
	_, err = src.read("train/a/1.png", nil)
	checkError(t, err, "999")
	_, err = readAll(bytes.NewReader(make([]byte, 1000)), nil, 999)
	checkError(t, err, "999")

	big := pngBytes(100, 100, 1)
	s, err := OpenFolder(fstest.MapFS{"a/1.png": file(big), "b/1.png": file(big)}, Options{MaxPixels: 9999})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Train.Decode(0, new(imaging.Image)); !errors.Is(err, imaging.ErrTooLarge) {
		t.Errorf("a picture above the limit gives %v", err)
	}
}

func TestSymbolicLinkLoop(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"train/a", "train/b"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "train/a/1.png"), pngBytes(2, 2, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "train/a"), filepath.Join(dir, "train/b/linked")); err != nil {
		t.Skip(err)
	}
	s, err := Open("folder:"+dir, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(s); !slices.Equal(got, []string{"train a train/a/1.png", "train b train/b/linked/1.png"}) {
		t.Errorf("got %q", got)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "train/b/loop")); err != nil {
		t.Skip(err)
	}
	again, err := Open("folder:"+dir, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := listing(again), listing(s); !slices.Equal(got, want) {
		t.Errorf("with a link that leads back: %q, want %q", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "x.txt")
	if err := os.WriteFile(text, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec string
		want []string
	}{
		{"cifar", []string{"KIND:PATH", "cifar"}},
		{"folder:", []string{"KIND:PATH"}},
		{"fodler:x", []string{"fodler", `did you mean "folder"`}},
		{"cifar11:x", []string{`did you mean "cifar10"`}},
		{"cifar10:" + dir + "/none", []string{"none", "no such file"}},
		{"idx:" + text, []string{"x.txt is a file"}},
		{"folder:" + text, []string{"x.txt", "zip"}},
		{"folder:" + dir, []string{dir, "no class folders"}},
	} {
		_, err := Open(c.spec, Options{})
		checkError(t, err, c.want...)
	}
	if _, err := Open("cifar10:"+dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing files give %v, which is not fs.ErrNotExist", err)
	}
}

func TestOpenZipFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pets.zip")
	if err := os.WriteFile(name, zipBytes(folderFS("pets/train/a/1.png", "pets/train/b/1.png", "pets/test/b/1.png")), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open("folder:"+name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(s); len(got) != 3 || s.Spec != "folder:"+name {
		t.Errorf("%s: %q", s.Spec, got)
	}
	var m imaging.Image
	if err := s.Test.Decode(0, &m); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Test.Decode(0, &m); err == nil {
		t.Error("decoding after Close is no error")
	}
}

func TestSplit(t *testing.T) {
	s, err := OpenFolder(folderFS("train/a/1.png", "train/b/1.png", "test/a/1.png"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Spec = "folder:x"
	if ds, err := s.Split("test"); err != nil || ds != s.Test {
		t.Errorf("Split(test): %v", err)
	}
	_, err = s.Split("val")
	checkError(t, err, "folder:x", `"val"`, "train, test")
}
