package detection

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
)

// exercise uses all of the splits; data may be bad, but nothing may panic or break
// a promise of Dataset.
func exercise(t *testing.T, s *Splits) {
	t.Helper()
	if len(s.Classes()) == 0 {
		t.Fatal("no classes")
	}
	ids := map[int64]bool{}
	for _, p := range s.parts() {
		if p.ds.Len() == 0 {
			t.Fatal("a part without pictures")
		}
		for i := range p.ds.Pictures {
			pic := &p.ds.Pictures[i]
			for _, o := range pic.Objects {
				if o.Class < 0 || o.Class >= len(s.Classes()) {
					t.Fatalf("class %d of %d", o.Class, len(s.Classes()))
				}
				if ids[o.ID] && p.name == "train" {
					t.Fatalf("id %d twice", o.ID)
				}
				ids[o.ID] = true
			}
			if pic.W*pic.H < 1<<16 {
				_, _ = p.ds.Masks(i)
			}
		}
		if f, err := p.ds.ForTraining(); err == nil {
			for _, pic := range f.Pictures {
				for _, o := range pic.Objects {
					if !(o.Box[2] > 0 && o.Box[3] > 0) || o.Crowd {
						t.Fatalf("object %+v", o)
					}
				}
			}
		}
	}
}

func FuzzCOCO(f *testing.F) {
	f.Add([]byte(twoImages))
	hostile.Add(f, hostile.JSON([]byte(twoImages)))
	f.Add([]byte(`{"images":[{"id":"a","file_name":"a.png"}],"annotations":[{"image_id":"a","category_id":1,"segmentation":[{"size":[10,20],"counts":"0550d5"}]}],"categories":[{"id":1}]}`))
	f.Add([]byte(`{"images":null,"x":[[[[{}]]]],"annotations":[{"bbox":[1,2,3,4],"segmentation":[1,2,3,4,5,6]}]}`))
	picture := pngBytes(f, 20, 10)
	f.Fuzz(func(t *testing.T, text []byte) {
		var c *cocoFile
		if used, over := membound.Over(membound.Slack, 256, len(text), func() { c, _ = readCOCO("a.json", bytes.NewReader(text), 1<<20) }); over {
			t.Fatalf("%d bytes of memory for a file of %d", used, len(text))
		}
		if c == nil {
			return
		}
		fsys := fstest.MapFS{"a.json": {Data: text}, "a.png": {Data: picture}, "b.png": {Data: picture}}
		if s, err := OpenCOCO(fsys, Options{Options: data.Options{MaxPixels: 1 << 16, ValFraction: -1}}); err == nil {
			exercise(t, s)
		}
	})
}

func FuzzVOC(f *testing.F) {
	f.Add([]byte(vocText(vocBoxText("dog", "2", "3", "5", "8", notDifficult))), []byte("a 1\n"))
	f.Add([]byte(vocText(vocBoxText("x", "0", "1e3", "5", "-8", ""))), []byte(""))
	for text := range hostile.Some(hostile.Text([]byte(vocText(vocBoxText("dog", "2", "3", "5", "8", notDifficult))))) {
		f.Add(text, []byte("a 1\n"))
	}
	picture := pngBytes(f, 20, 10)
	f.Fuzz(func(t *testing.T, text, list []byte) {
		if used, over := membound.Over(membound.Slack, 512, len(text), func() { _, _ = parseVOC("a.xml", text) }); over {
			t.Fatalf("%d bytes of memory for a file of %d", used, len(text))
		}
		fsys := fstest.MapFS{"Annotations/a.xml": {Data: text}, "JPEGImages/a.png": {Data: picture}, "SegmentationObject/a.png": {Data: picture}}
		if len(list) > 0 {
			fsys["ImageSets/Main/train.txt"] = &fstest.MapFile{Data: list}
		}
		if s, err := OpenVOC(fsys, Options{Options: data.Options{MaxPixels: 1 << 16, ValFraction: -1}}); err == nil {
			exercise(t, s)
		}
	})
}
