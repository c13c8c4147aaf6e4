package segmentation

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/membound"
)

// TestMasksAsPillow: the values of masks of every form are those that Pillow reads.
func TestMasksAsPillow(t *testing.T) {
	z, err := zip.OpenReader("testdata/masks.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for name, file := range files {
		want, ok := files[name+".txt"]
		if !ok {
			continue
		}
		n++
		var m imaging.Image
		if err := new(reading).decode(&m, file, 0); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := fmt.Sprintf("%d %d\n%s", m.W, m.H, strings.Trim(fmt.Sprint(m.Pix), "[]"))
		if text != string(want) {
			t.Errorf("%s: %.60q, want %.60q", name, text, want)
		}
	}
	if n < 10 {
		t.Errorf("only %d masks", n)
	}
}

// pic returns a picture file of w by h pixels whose content depends on n.
func pic(t *testing.T, w, h, n int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*7 + n*31)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gray returns a mask file with those values.
func gray(t *testing.T, w int, values ...uint8) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, &image.Gray{Pix: values, Stride: w, Rect: image.Rect(0, 0, w, len(values)/w)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func colored(t *testing.T, w int, colors ...color.RGBA) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, len(colors)/w))
	for i, c := range colors {
		m.Set(i%w, i/w, c)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, kind string, files map[string][]byte, opt data.Options) (*data.Splits, error) {
	t.Helper()
	s, err := Open(t.Context(), kind+":"+write(t, files), opt)
	if s != nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// parts returns the sizes of the parts as "train 3 val 1".
func parts(s *data.Splits) string {
	var out []string
	for _, name := range []string{"train", "val", "test"} {
		if ds, err := s.Split(name); err == nil {
			out = append(out, fmt.Sprintf("%s %d", name, ds.Len()))
		}
	}
	return strings.Join(out, " ")
}

// TestLayouts: pictures and masks are found in the folders that common datasets
// and tools have.
func TestLayouts(t *testing.T) {
	p, m := pic(t, 2, 2, 0), gray(t, 2, 0, 1, 2, 255)
	bits := gray(t, 2, 0, 255, 255, 0)
	none := data.Options{ValFraction: -1}
	for name, c := range map[string]struct {
		kind    string
		files   map[string][]byte
		parts   string
		classes int
	}{
		"folders":      {"masks", map[string][]byte{"images/a.jpg": p, "images/b.jpeg": p, "masks/a.png": m, "masks/b.png": m}, "train 2", 3},
		"part first":   {"masks", map[string][]byte{"train/images/a.jpg": p, "train/masks/a.png": m, "val/images/a.jpg": p, "val/masks/a.png": m}, "train 1 val 1", 3},
		"part last":    {"masks", map[string][]byte{"images/training/a.jpg": p, "annotations/training/a.png": m, "images/validation/b.jpg": p, "annotations/validation/b.png": m}, "train 1 val 1", 3},
		"wrapped":      {"masks", map[string][]byte{"set/Images/a.JPG": p, "set/Labels/a.PNG": m, "set/classes.txt": []byte("x\ny\nz\n")}, "train 1", 3},
		"camvid":       {"masks", map[string][]byte{"CamVid/train/a.png": p, "CamVid/trainannot/a.png": m, "CamVid/valannot/b.png": m, "CamVid/val/b.png": p, "CamVid/test/c.png": p, "CamVid/testannot/c.png": m}, "train 1 val 1 test 1", 3},
		"kaggle":       {"masks", map[string][]byte{"train/a.jpg": p, "train_masks/a_mask.png": bits, "test/b.jpg": p}, "train 1", 2},
		"camvid pairs": {"masks", map[string][]byte{"train/a.jpg": p, "train_labels/a_L.png": m, "val/b.jpg": p, "val_labels/b_L.png": m}, "train 1 val 1", 3},
		"roboflow":     {"masks", map[string][]byte{"train/a.jpg": p, "train/a_mask.png": m, "train/_classes.csv": []byte("Pixel Value, Class\n0, background\n1, road\n2, car\n"), "valid/b.jpg": p, "valid/b_mask.png": m}, "train 1 val 1", 3},
		"pets": {"masks", map[string][]byte{"images/Abyssinian_1.jpg": p, "images/beagle_2.jpg": p, "images/beagle_3.jpg": p,
			"annotations/trimaps/Abyssinian_1.png": gray(t, 2, 1, 2, 3, 2), "annotations/trimaps/beagle_2.png": gray(t, 2, 1, 2, 3, 2), "annotations/trimaps/beagle_3.png": gray(t, 2, 1, 2, 3, 2),
			"annotations/trainval.txt": []byte("Abyssinian_1 1 1 1\nbeagle_3 2 2 1\n"), "annotations/test.txt": []byte("#Image CLASS-ID\nbeagle_2 1 2 1\n")}, "train 2 test 1", 3},
		"deepglobe":    {"masks", map[string][]byte{"train/1_sat.jpg": p, "train/1_mask.png": bits}, "train 1", 2},
		"subfolders":   {"masks", map[string][]byte{"images/a/1.jpg": p, "images/b/1.jpg": p, "masks/a/1.png": m, "masks/b/1.png": m}, "train 2", 3},
		"voc in masks": {"masks", map[string][]byte{"JPEGImages/a.jpg": p, "SegmentationClass/a.png": m, "SegmentationObject/a.png": m}, "train 1", 3},
		"voc": {"voc", map[string][]byte{"VOCdevkit/VOC2012/JPEGImages/a.jpg": p, "VOCdevkit/VOC2012/JPEGImages/b.jpg": p, "VOCdevkit/VOC2012/JPEGImages/c.jpg": p,
			"VOCdevkit/VOC2012/SegmentationClass/a.png": m, "VOCdevkit/VOC2012/SegmentationClass/b.png": m,
			"VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt": []byte("a\n"), "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt": []byte("b\r\n"),
			"VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt": []byte("c\n"), "VOCdevkit/VOC2007/ImageSets/Segmentation/train.txt": []byte("gone\n")}, "train 1 val 1", 21},
		"cvat": {"voc", map[string][]byte{"JPEGImages/a.jpg": p, "SegmentationClass/a.png": colored(t, 2, color.RGBA{0, 0, 0, 255}, color.RGBA{250, 0, 0, 255}, color.RGBA{250, 0, 0, 255}, color.RGBA{0, 0, 0, 255}),
			"ImageSets/Segmentation/default.txt": []byte("a\n"), "labelmap.txt": []byte("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,0,0::\n")}, "train 1", 2},
	} {
		s, err := open(t, c.kind, c.files, none)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := parts(s); got != c.parts || len(s.Classes()) != c.classes {
			t.Errorf("%s: %s, classes %v; want %s, %d classes; notes %v", name, got, s.Classes(), c.parts, c.classes, s.Notes)
		}
		r, err := data.Check(t.Context(), s, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range r.Parts {
			for _, b := range part.Bad {
				t.Errorf("%s: %s: %s", name, b.Name, b.Error)
			}
		}
	}
}

// TestValues: how values and colors become classes.
func TestValues(t *testing.T) {
	p := pic(t, 2, 2, 0)
	red, blue, black := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}, color.RGBA{0, 0, 0, 255}
	palette := func() []byte {
		m := image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{black, red, blue})
		copy(m.Pix, []uint8{0, 1, 2, 1})
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	for name, c := range map[string]struct {
		mask    []byte
		file    string // NAME=content
		classes string
		want    []uint8
	}{
		"numbers":       {gray(t, 2, 0, 3, 1, 255), "", "0 1 2 3", []uint8{0, 3, 1, 255}},
		"binary":        {gray(t, 2, 0, 255, 255, 0), "", "background foreground", []uint8{0, 1, 1, 0}},
		"palette":       {palette, "classes.txt=sky\nroad\ncar\n", "sky road car", []uint8{0, 1, 2, 1}},
		"UTF-16":        {palette, "classes.txt=\xff\xfes\x00k\x00y\x00\n\x00c\x00a\x00r\x00\n\x00b\x00u\x00s\x00", "sky car bus", []uint8{0, 1, 2, 1}},
		"empty at end":  {palette, "classes.txt=\ufeffsky\r\nroad\r\ncar 1 2 3\r\n\r\n\r\n", "sky road car 1 2 3", []uint8{0, 1, 2, 1}},
		"colors":        {colored(t, 2, red, blue, black, red), "class_dict.csv=name,r,g,b\nRoad,255,0,0\nSky,0,0,255\nVoid,0,0,0\n", "Road Sky", []uint8{0, 1, 255, 0}},
		"palette color": {palette, "class_dict.csv=name,r,g,b\nRoad,255,0,0\nSky,0,0,255\nVoid,0,0,0\n", "Road Sky", []uint8{255, 0, 1, 0}},
		"label colors":  {colored(t, 2, red, blue, black, red), "label_colors.txt=255 0 0\tRoad\n0 0 255\tSky\n0 0 0\tVoid\n", "Road Sky", []uint8{0, 1, 255, 0}},
		"named values":  {gray(t, 2, 0, 85, 170, 255), "classes.csv=sky,0\nroad,85\ncar,170\nbus,255\n", "sky road car bus", []uint8{0, 1, 2, 3}},
		"merged":        {gray(t, 2, 0, 1, 2, 1), "classes.csv=\ufeffvalue,name\n0,ground\n1,vehicle\n2,vehicle\n", "ground vehicle", []uint8{0, 1, 1, 1}},
		"rgba gray":     {colored(t, 2, black, color.RGBA{1, 1, 1, 255}, black, black), "", "0 1", []uint8{0, 1, 0, 0}},
	} {
		files := map[string][]byte{"images/a.jpg": p, "masks/a.png": c.mask}
		if file, text, ok := strings.Cut(c.file, "="); ok {
			files[file] = []byte(text)
		}
		s, err := open(t, "masks", files, data.Options{ValFraction: -1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var m imaging.Image
		if err := data.Masks(s.Train).DecodeMask(0, &m); err != nil || !slices.Equal(m.Pix, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, m.Pix, err, c.want)
		}
		if got := strings.Join(s.Classes(), " "); got != c.classes {
			t.Errorf("%s: classes %q, want %q", name, got, c.classes)
		}
	}
}

// TestMasksAreTurned: a mask with an orientation is turned by it, as its picture is.
func TestMasksAreTurned(t *testing.T) {
	for orientation, want := range map[byte][]uint8{
		1: {0, 1, 2, 3, 4, 5}, 2: {2, 1, 0, 5, 4, 3}, 3: {5, 4, 3, 2, 1, 0}, 4: {3, 4, 5, 0, 1, 2},
		5: {0, 3, 1, 4, 2, 5}, 6: {3, 0, 4, 1, 5, 2}, 7: {5, 2, 4, 1, 3, 0}, 8: {2, 5, 1, 4, 0, 3},
	} {
		both := oriented(gray(t, 3, 0, 1, 2, 3, 4, 5), orientation)
		files := map[string][]byte{"images/a.png": both, "masks/a.png": both}
		for _, stored := range []bool{false, true} {
			s, err := open(t, "masks", files, data.Options{ValFraction: -1, IgnoreOrientation: stored})
			if err != nil {
				t.Fatal(err)
			}
			var p, m imaging.Image
			if stored {
				want = []uint8{0, 1, 2, 3, 4, 5}
			}
			if err := data.DecodeMasked(data.Masks(s.Train), 0, &p, &m); err != nil || !slices.Equal(m.Pix, want) {
				t.Errorf("orientation %d, as stored %v: %v, %v; want %v", orientation, stored, m.Pix, err, want)
			}
		}
	}
}

// oriented adds an orientation to a PNG file.
func oriented(file []byte, orientation byte) []byte {
	const header = 8 + 25 // the signature and IHDR
	exif := []byte("eXIfII*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00")
	exif = append(exif, orientation, 0, 0, 0, 0, 0, 0, 0)
	out := binary.BigEndian.AppendUint32(slices.Clone(file[:header]), uint32(len(exif)-4))
	out = append(out, exif...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(exif))
	return append(out, file[header:]...)
}

// TestErrors: an error names the file and what to do.
func TestErrors(t *testing.T) {
	p, m := pic(t, 2, 2, 0), gray(t, 2, 0, 1, 2, 255)
	for name, c := range map[string]struct {
		kind  string
		files map[string][]byte
		want  string
	}{
		"no masks":       {"masks", map[string][]byte{"images/a.jpg": p}, "no masks"},
		"no pictures":    {"masks", map[string][]byte{"masks/a.png": m}, "no pictures"},
		"other names":    {"masks", map[string][]byte{"images/a.jpg": p, "masks/b.png": m}, "no mask has the name of a picture"},
		"two masks":      {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "masks/a_mask.png": m}, "masks/a_mask.png"},
		"colors":         {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": colored(t, 1, color.RGBA{1, 2, 3, 255})}, "classes.csv"},
		"gaps":           {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": gray(t, 2, 0, 85, 170, 255)}, "classes.csv"},
		"bad csv":        {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.csv": []byte("a,0\nb,x\n")}, "classes.csv: line 2"},
		"name twice":     {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("a\nb\nb\n")}, `classes.txt: lines 2 and 3 both name the class "b"`},
		"empty line":     {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("a\n \nb\nc\n")}, "classes.txt: line 2 is empty"},
		"first empty":    {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "codes.txt": []byte("\na\nb\nc\n")}, "codes.txt: line 1 is empty"},
		"color table":    {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("bg 0 0 0\nroad 1 1 1\ncar 2 2 2\n")}, "class_dict.csv"},
		"color list":     {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("bg,0,0,0\nroad, 1, 1, 1\ncar,2,2,2\n")}, "class_dict.csv"},
		"colors first":   {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("0 0 0 bg\n1 1 1 road\n2 2 2 car\n")}, "class_dict.csv"},
		"not UTF-8":      {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "classes.txt": []byte("a\nstra\xdfe\nc\n")}, "classes.txt: line 2"},
		"same color":     {"masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": m, "class_dict.csv": []byte("a,1,1,1\nb,1,1,1\n")}, "another class's"},
		"no voc":         {"voc", map[string][]byte{"images/a.jpg": p}, "ImageSets/Segmentation"},
		"missing in voc": {"voc", map[string][]byte{"JPEGImages/a.jpg": p, "ImageSets/Segmentation/train.txt": []byte("a\nb\n"), "SegmentationClass/a.png": m}, "JPEGImages/b.jpg"},
		"mask missing":   {"voc", map[string][]byte{"JPEGImages/a.jpg": p, "JPEGImages/b.jpg": p, "ImageSets/Segmentation/train.txt": []byte("a\nb\n"), "SegmentationClass/a.png": m}, "b.png"},
		"long line":      {"voc", map[string][]byte{"JPEGImages/a.jpg": p, "ImageSets/Segmentation/train.txt": []byte("a\n# " + strings.Repeat("x", 1<<17) + "\nb\n"), "SegmentationClass/a.png": m}, "JPEGImages/b.jpg"},
		"UTF-16":         {"voc", map[string][]byte{"JPEGImages/a.jpg": p, "ImageSets/Segmentation/train.txt": []byte("\xff\xfea\x00\n\x00b\x00"), "SegmentationClass/a.png": m}, "JPEGImages/b.jpg"},
		"empty list":     {"voc", map[string][]byte{"ImageSets/Segmentation/train.txt": nil}, "lists no samples"},
	} {
		s, err := open(t, c.kind, c.files, data.Options{ValFraction: -1})
		if err == nil {
			t.Errorf("%s: no error, %s, classes %v", name, parts(s), s.Classes())
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want it to say %q", name, err, c.want)
		}
	}
	if _, err := Open(t.Context(), "mask:x", data.Options{}); err == nil || !strings.Contains(err.Error(), `"masks"`) {
		t.Errorf("unknown kind: %v", err)
	}
}

// TestBadSamples: what is wrong with a single sample is found by the data check,
// which names it.
func TestBadSamples(t *testing.T) {
	p := pic(t, 2, 2, 0)
	s, err := open(t, "masks", map[string][]byte{
		"classes.txt":  []byte("a\nb\n"),
		"images/0.jpg": p, "masks/0.png": gray(t, 2, 0, 1, 0, 255),
		"images/1.jpg": p, "masks/1.png": gray(t, 2, 0, 1, 2, 1),
		"images/2.jpg": p, "masks/2.png": gray(t, 3, 0, 1, 0, 1, 1, 1),
		"images/3.jpg": p, "masks/3.png": p,
		"images/4.jpg": p, "masks/4.png": []byte("\x89PNG\r\n"),
		"images/5.jpg": p,
	}, data.Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := data.Check(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	part := r.Parts[0]
	want := map[string]string{"images/1.jpg": "class 2 at x 0, y 1", "images/2.jpg": "3 x 2", "images/3.jpg": "JPEG", "images/4.jpg": "masks/4.png"}
	for _, b := range part.Bad {
		if w, ok := want[b.Name]; !ok || !strings.Contains(b.Error, w) {
			t.Errorf("%s: %s", b.Name, b.Error)
		}
		delete(want, b.Name)
	}
	for name := range want {
		t.Errorf("%s was not found", name)
	}
	if !slices.Equal(part.Pixels, []int64{2, 1}) || part.Ignored != 1 || !slices.Equal(part.PerClass, []int{1, 1}) {
		t.Errorf("pixels %v, ignored %d, pictures %v", part.Pixels, part.Ignored, part.PerClass)
	}
	if notes := strings.Join(s.Notes, "\n"); !strings.Contains(notes, "images/5.jpg") {
		t.Errorf("the picture without mask is not in the notes: %s", notes)
	}
}

func FuzzMask(f *testing.F) {
	z, err := zip.OpenReader("testdata/masks.zip")
	if err != nil {
		f.Fatal(err)
	}
	defer z.Close()
	for _, file := range z.File {
		r, err := file.Open()
		if err != nil {
			f.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	const maxPixels = 1 << 16
	f.Fuzz(func(t *testing.T, b []byte) {
		used, over := membound.Over(membound.Slack+16*maxPixels, 64, len(b), func() {
			var m imaging.Image
			if new(reading).decode(&m, b, maxPixels) == nil && (m.C != 1 || m.W < 1 || m.W*m.H != len(m.Pix) || len(m.Pix) > maxPixels) {
				t.Errorf("a mask of %d x %d x %d with %d values", m.W, m.H, m.C, len(m.Pix))
			}
		})
		if over {
			t.Errorf("%d bytes of file took %d bytes of memory", len(b), used)
		}
	})
}

func FuzzClasses(f *testing.F) {
	f.Add("a,0\nb,1\n")
	f.Add("name,r,g,b\na,1,2,3\n")
	f.Add("# x\nbackground:0,0,0::\n")
	f.Add("1 2 3 a\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range classFiles {
			c, err := file.parse(text)
			if err == nil && slices.Contains(c.names, "") {
				t.Errorf("%s: a class without a name in %q", file.name, text)
			}
		}
	})
}
