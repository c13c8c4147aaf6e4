package data

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/hostile"
)

// exercise uses all of the splits; samples may be bad, but nothing may panic
// or break a promise of Dataset.
func exercise(t *testing.T, s *Splits) {
	t.Helper()
	if len(s.Classes()) == 0 {
		t.Fatal("no classes")
	}
	var m imaging.Image
	for _, p := range s.parts() {
		for i := range min(p.ds.Len(), 20) {
			labels := p.ds.Labels(i)
			if !p.ds.MultiLabel() && len(labels) != 1 {
				t.Fatalf("%d labels", len(labels))
			}
			for _, l := range labels {
				if l < 0 || l >= len(s.Classes()) {
					t.Fatalf("label %d of %d classes", l, len(s.Classes()))
				}
			}
			if p.ds.Name(i) == "" {
				t.Fatal("no name")
			}
			if p.ds.Decode(i, &m) == nil && (m.W < 1 || m.H < 1 || len(m.Pix) != m.W*m.H*m.C) {
				t.Fatalf("picture of %d x %d x %d with %d bytes", m.W, m.H, m.C, len(m.Pix))
			}
		}
	}
}

var fuzzOptions = Options{MaxPixels: 1 << 16, MaxFileBytes: 1 << 20}

func FuzzCIFAR(f *testing.F) {
	f.Add(cifarBytes(1, 1, 2), []byte("a b c d e f g h i j"))
	f.Add(cifarBytes(1, 200), []byte("a"))
	f.Fuzz(func(t *testing.T, records, names []byte) {
		fsys := fstest.MapFS{"test_batch.bin": file(records), "batches.meta.txt": file(names)}
		if s, err := OpenCIFAR10(fsys, fuzzOptions); err == nil {
			exercise(t, s)
		}
	})
}

func FuzzIDX(f *testing.F) {
	f.Add(idxBytes(3, 2, 2), idxBytes(3), []byte("x\ny\nz\n"))
	f.Add(idxBytes(0, 0, 0), idxBytes(0), []byte(""))
	f.Fuzz(func(t *testing.T, images, labels, classes []byte) {
		for _, end := range []string{"", ".gz"} {
			fsys := fstest.MapFS{
				"train-images-idx3-ubyte" + end: file(images), "train-labels-idx1-ubyte" + end: file(labels),
				"classes.txt": file(classes),
			}
			if s, err := OpenIDX(fsys, fuzzOptions); err == nil {
				exercise(t, s)
			}
		}
	})
}

func FuzzZip(f *testing.F) {
	f.Add(zipBytes(folderFS("train/a/1.png", "train/b/2.png", "val/b/3.png")), false)
	f.Add(zipBytes(folderFS("../a/1.png", "b/2.png")), false)
	f.Add(zipBytes(labeled("x/labels.csv", "file,labels\na.png,x\n", "x/a.png")), true)
	f.Fuzz(func(t *testing.T, b []byte, multi bool) {
		src, err := newZipSource(bytes.NewReader(b), int64(len(b)), fuzzOptions.MaxFileBytes)
		if err != nil {
			return
		}
		open := openFolder
		if multi {
			open = openMultiLabel
		}
		if s, err := open(src, fuzzOptions); err == nil {
			exercise(t, s)
		}
	})
}

func FuzzLabelCSV(f *testing.F) {
	f.Add([]byte("file,labels\na.png,cat|dog\nb.png,\n"))
	f.Add([]byte("file,split,cat,dog\na.png,train,1,0\nb.png,val,0,1\n"))
	f.Add([]byte("\xef\xbb\xbffile,\"la\"\"bels\"\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := OpenMultiLabel(labeled("labels.csv", string(text), "a.png", "b.png"), fuzzOptions); err == nil {
			exercise(t, s)
		}
	})
}

func FuzzLabelJSON(f *testing.F) {
	f.Add([]byte(`[{"file":"a.png","labels":["x"]},{"file":"b.png","labels":[],"split":"val"}]`))
	hostile.Add(f, hostile.JSON([]byte(`[{"file":"a.png","labels":["x"]},{"file":"b.png","labels":[],"split":"val"}]`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := OpenMultiLabel(labeled("labels.json", string(text), "a.png", "b.png"), fuzzOptions); err == nil {
			exercise(t, s)
		}
	})
}
