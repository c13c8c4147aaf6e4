package data

import (
	"archive/tar"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/steadyfile"
)

// faultSets are small data of each form that is read through a file system.
func faultSets(t *testing.T) map[string]struct {
	files fs.FS
	open  func(fs.FS, Options) (*Splits, error)
} {
	t.Helper()
	picture := func(i int) []byte {
		m := image.NewRGBA(image.Rect(0, 0, 40, 30))
		for k := range 1200 {
			m.Set(k%40, k/40, color.RGBA{uint8(k * i), uint8(k * k), uint8(k + i), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	folder, cifar := fstest.MapFS{}, fstest.MapFS{}
	for i := range 4 {
		folder["train/"+[]string{"a", "b"}[i%2]+"/"+string(rune('0'+i))+".png"] = &fstest.MapFile{Data: picture(i)}
	}
	multi := fstest.MapFS{"labels.csv": {Data: []byte("file,labels\n0.png,a b\n1.png,b\n")}, "0.png": {Data: picture(1)}, "1.png": {Data: picture(2)}}
	record := make([]byte, 2*3073)
	for i := range record {
		record[i] = byte(i % 7)
	}
	record[0], record[3073] = 1, 2
	for _, name := range []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"} {
		cifar[name] = &fstest.MapFile{Data: record}
	}
	type set = struct {
		files fs.FS
		open  func(fs.FS, Options) (*Splits, error)
	}
	return map[string]set{
		"folder": {folder, OpenFolder}, "multilabel": {multi, OpenMultiLabel}, "cifar10": {cifar, OpenCIFAR10}, "idx": {embedded.Fashion(), OpenIDX},
	}
}

// decodeAll opens data and returns the pixels of the first pictures of each part.
func decodeAll(files fs.FS, open func(fs.FS, Options) (*Splits, error)) (pixels []byte, err error) {
	s, err := open(files, Options{ValFraction: -1})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for _, ds := range []Dataset{s.Train, s.Val, s.Test} {
		if ds == nil {
			continue
		}
		for i := range min(ds.Len(), 6) {
			var m imaging.Image
			if err := ds.Decode(i, &m); err != nil {
				return nil, err
			}
			pixels = append(append(pixels, m.Pix...), byte(ds.Labels(i)[0]))
		}
	}
	return pixels, nil
}

// TestShortReads: files that give fewer bytes than they are asked for are read whole.
func TestShortReads(t *testing.T) {
	for name, set := range faultSets(t) {
		want, err := decodeAll(set.files, set.open)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, most := range []int{1, 7, 4095} {
			if most == 1 && name == "idx" {
				continue // which takes seconds
			}
			got, err := decodeAll(&hostile.FS{FS: set.files, Most: most}, set.open)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, reads of %d bytes: %v, %d pixels, want %d", name, most, err, len(got), len(want))
			}
		}
	}
}

// TestReadErrors: each read that fails, one after another, is an error with its cause, or
// was not needed.
func TestReadErrors(t *testing.T) {
	for name, set := range faultSets(t) {
		counted := &hostile.FS{FS: set.files, Most: 4096}
		want, err := decodeAll(counted, set.open)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all, failed := counted.Reads.Load(), 0
		for at := int64(1); at <= all; at += max(1, all/12) {
			got, err := decodeAll(&hostile.FS{FS: set.files, Most: 4096, FailAt: at}, set.open)
			switch {
			case err != nil && errors.Is(err, syscall.EIO):
				failed++
			case err != nil || !bytes.Equal(got, want):
				t.Errorf("%s: read %d of %d failed: %v, %d pixels, want %d", name, at, all, err, len(got), len(want))
			}
		}
		if failed == 0 {
			t.Errorf("%s: none of %d reads was needed", name, all)
		}
	}
}

// TestReadErrorsOfTars is TestReadErrors for tars, whose pictures are single reads.
func TestReadErrorsOfTars(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(faultSets(t)["folder"].files), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(fs.FS, Options) (*Splits, error) { return OpenTars([]string{path}, Options{ValFraction: -1}) }
	reads, failAt := 0, 0
	defer steadyfile.Inject(func(string, int64, int) error {
		if reads++; reads == failAt {
			return &fs.PathError{Op: "read", Path: path, Err: syscall.EIO}
		}
		return nil
	})()
	want, err := decodeAll(nil, open)
	if err != nil || reads < 4 {
		t.Fatalf("%d reads, %v", reads, err)
	}
	all := reads
	for failAt = 1; failAt <= all; failAt++ {
		reads = 0
		if got, err := decodeAll(nil, open); !errors.Is(err, syscall.EIO) && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("read %d of %d failed: %v", failAt, all, err)
		}
	}
}
