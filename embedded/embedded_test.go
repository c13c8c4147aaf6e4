package embedded

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"testing"
)

func unzip(t *testing.T, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(Fashion(), name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFashionIsBalanced(t *testing.T) {
	for _, p := range []struct {
		part string
		each int
	}{{"train", 600}, {"t10k", 100}} {
		labels := unzip(t, p.part+"-labels-idx1-ubyte.gz")[8:]
		var count [10]int
		for _, l := range labels {
			count[l]++
		}
		for class, n := range count {
			if n != p.each {
				t.Errorf("%s: %d images of class %d, want %d", p.part, n, class, p.each)
			}
		}
		images := unzip(t, p.part+"-images-idx3-ubyte.gz")
		if n := int(binary.BigEndian.Uint32(images[4:])); n != len(labels) || len(images) != 16+n*28*28 {
			t.Errorf("%s: header says %d images, %d labels, %d bytes", p.part, n, len(labels), len(images))
		}
	}
	// The first training image of Fashion-MNIST is an ankle boot, and 600 images
	// of a class reach far past it, so it is the first of the sample too.
	if l := unzip(t, "train-labels-idx1-ubyte.gz")[8]; l != 9 {
		t.Errorf("first label %d, want 9", l)
	}
}

func TestClassesAndLicense(t *testing.T) {
	b, err := fs.ReadFile(Fashion(), "classes.txt")
	if err != nil || bytes.Count(b, []byte("\n")) != 10 {
		t.Errorf("classes.txt: %q, %v", b, err)
	}
	b, err = fs.ReadFile(Fashion(), "LICENSE")
	if err != nil || !bytes.Contains(b, []byte("Zalando")) {
		t.Errorf("LICENSE: %v", err)
	}
}

func TestTotalSizeIsSmall(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(files, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		total += info.Size()
		return err
	})
	if err != nil || total > 8<<20 {
		t.Errorf("embedded files take %d bytes, %v", total, err)
	}
}

func TestModelIsWholeOrAbsent(t *testing.T) {
	b, err := Model()
	if errors.Is(err, ErrNoModel) {
		t.Skip("no model yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)) || len(b) > 5e6 {
		t.Errorf("%d bytes that are no small safetensors file", len(b))
	}
}
