package data

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/membound"
)

// TestEMNIST checks that the labels of letters, which begin at 1, are classes from
// A, and that the pictures are turned upright.
func TestEMNIST(t *testing.T) {
	images := append(idxBytes(0, 0, 0)[:4], 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	labels := append(idxBytes(0)[:4], 0, 0, 0, 2, 1, 26)
	fsys := fstest.MapFS{"emnist-letters-train-images-idx3-ubyte.gz": file(gzipped(images)), "emnist-letters-train-labels-idx1-ubyte.gz": file(gzipped(labels))}
	s, err := OpenIDX(fsys, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Classes(); len(c) != 26 || c[0] != "A" || c[25] != "Z" || s.Train.Labels(0)[0] != 0 || s.Train.Labels(1)[0] != 25 {
		t.Errorf("classes %q, labels %v %v", c, s.Train.Labels(0), s.Train.Labels(1))
	}
	var m imaging.Image
	if err := s.Train.Decode(0, &m); err != nil || m.W != 2 || m.H != 3 || !slices.Equal(m.Pix, []byte{1, 4, 2, 5, 3, 6}) {
		t.Errorf("picture %d x %d %v, %v", m.W, m.H, m.Pix, err)
	}
	labels[len(labels)-1] = 27
	fsys["emnist-letters-train-labels-idx1-ubyte.gz"] = file(gzipped(labels))
	_, err = OpenIDX(fsys, Options{})
	checkError(t, err, "emnist-letters-train-labels", "record 1", "27")
}

func TestSeveralIDX(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"emnist-digits", "emnist-mnist"} {
		for end, b := range map[string][]byte{"-test-images-idx3-ubyte": idxBytes(3, 2, 2), "-test-labels-idx1-ubyte": idxBytes(3)} {
			if err := os.WriteFile(filepath.Join(dir, name+end), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := Open("idx:"+dir, Options{})
	checkError(t, err, "several datasets", "idx:DIR/emnist-digits")
	s, err := Open("idx:"+filepath.Join(dir, "emnist-mnist"), Options{})
	if err != nil || s.Test.Len() != 3 {
		t.Errorf("%v, %v", s, err)
	}
}

func TestPythonCIFAR(t *testing.T) {
	_, err := OpenCIFAR10(fstest.MapFS{"cifar-10-batches-py/data_batch_1": file([]byte("x"))}, Options{})
	checkError(t, err, "cifar-10-batches-py/data_batch_1", "Python version", "binary version")
	_, err = OpenCIFAR100(fstest.MapFS{"train": file([]byte("x"))}, Options{})
	checkError(t, err, "Python version", "cifar-100-binary")
}

// TestIDXOnce checks that what a packed file holds is in memory once.
func TestIDXOnce(t *testing.T) {
	const side = 2048
	b := append([]byte{0, 0, 8, 3, 0, 0, 0, 4, 0, 0, side >> 8, 0, 0, 0, side >> 8, 0}, make([]byte, 4*side*side)...)
	packed := gzipped(b)
	used, over := membound.Over(1<<20, 1, len(b), func() {
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if f, err := parseIDX(z, 3, int64(len(packed))); err != nil || len(f.data) != 4*side*side {
			t.Error(err)
		}
	})
	if over {
		t.Errorf("%d bytes for a content of %d", used, len(b))
	}
}
