package detection

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func vocText(objects string) string {
	return `<annotation verified="yes"><folder>x</folder><filename>a.png</filename><source><database>Unknown</database></source>
	<size><width>20</width><height>10</height><depth>3</depth></size><segmented>0</segmented>` + objects + `</annotation>`
}

func vocBoxText(name, x0, y0, x1, y1, more string) string {
	return fmt.Sprintf(`<object><name>%s</name><pose>Unspecified</pose>%s<bndbox><xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox>
	<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>`, name, more, x0, y0, x1, y1)
}

const notDifficult = "<difficult>0</difficult>"

func TestVOC(t *testing.T) {
	dog := vocBoxText("dog", "2", "3", "5", "8", notDifficult)
	for name, c := range map[string]struct {
		fsys    fstest.MapFS
		want    string // part, picture, class, box, difficult of each object
		classes int
	}{
		"the challenge": {tree(t, map[string]string{
			"VOCdevkit/VOC2012/Annotations/a.xml": vocText(dog + vocBoxText("person", "1", "1", "20", "10", "<difficult>1</difficult>")),
			"VOCdevkit/VOC2012/Annotations/b.xml": vocText(dog), "VOCdevkit/VOC2012/Annotations/unused.xml": "broken",
			"VOCdevkit/VOC2012/ImageSets/Main/train.txt": "a\n", "VOCdevkit/VOC2012/ImageSets/Main/val.txt": "b 1\nunused -1\n",
			"VOCdevkit/VOC2012/ImageSets/Main/trainval.txt": "a\nb\n", "VOCdevkit/VOC2012/ImageSets/Main/dog_train.txt": "zzz",
		}, "VOCdevkit/VOC2012/JPEGImages/a.png", "VOCdevkit/VOC2012/JPEGImages/b.png"),
			"train VOCdevkit/VOC2012/JPEGImages/a.png dog [1 2 4 6] false; train VOCdevkit/VOC2012/JPEGImages/a.png person [0 0 20 10] true; val VOCdevkit/VOC2012/JPEGImages/b.png dog [1 2 4 6] false", 2},
		"beside the pictures": {tree(t, map[string]string{"train/a.xml": vocText(vocBoxText("zebra", "2", "3", "5", "8", "")), "valid/a.xml": vocText(dog)}, "train/a.png", "valid/a.png"),
			"train train/a.png zebra [1 2 4 6] false; val valid/a.png dog [1 2 4 6] false", 2},
		"from 0, fractions": {tree(t, map[string]string{"a.xml": vocText(vocBoxText("zebra", "0.5", " 3 ", "5.25", "8.0", notDifficult))}, "a.png"),
			"train a.png zebra [0.5 3 4.75 5] false", 1},
		"decimal points": {tree(t, map[string]string{"a.xml": vocText(vocBoxText("zebra", "2.0", "3.0", "5.0", "8.0", notDifficult))}, "a.png"),
			"train a.png zebra [2 3 3 5] false", 1},
		"CVAT": {tree(t, map[string]string{"Annotations/sub/a 1.xml": vocText(dog), "ImageSets/Main/default.txt": "sub/a 1\nb\n"}, "JPEGImages/sub/a 1.png", "JPEGImages/b.png"),
			"train JPEGImages/sub/a 1.png dog [1 2 4 6] false", 1},
		"by filename": {tree(t, map[string]string{"labels/0001.xml": vocText(dog)}, "pictures/a.png", "pictures/b.png"),
			"train pictures/a.png dog [1 2 4 6] false", 1},
		"a comment after it": {tree(t, map[string]string{"a.xml": vocText(dog) + "\n<!-- checked -->\n"}, "a.png"),
			"train a.png dog [1 2 4 6] false", 1},
		"old encoding": {tree(t, map[string]string{"a.xml": `<?xml version="1.0" encoding="ISO-8859-1"?>` + vocText(vocBoxText("k\xe4se", "2", "3", "5", "8", notDifficult))}, "a.png"),
			"train a.png käse [1 2 4 6] false", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenVOC(c.fsys, noHoldOut)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range s.parts() {
				for i := range p.ds.Pictures {
					for _, o := range p.ds.Pictures[i].Objects {
						got = append(got, fmt.Sprint(p.name, " ", p.ds.Name(i), " ", p.ds.Classes()[o.Class], " ", o.Box, " ", o.Difficult))
					}
				}
			}
			if strings.Join(got, "; ") != c.want || len(s.Classes()) != c.classes {
				t.Errorf("%s, %d classes, want %s, %d; %v", strings.Join(got, "; "), len(s.Classes()), c.want, c.classes, s.Findings)
			}
		})
	}
}

func TestVOCErrors(t *testing.T) {
	for text, want := range map[string][]string{
		vocText(vocBoxText("dog", "2", "3", "5", "8", "") + vocBoxText("dog", "wide", "3", "5", "8", "")): {"sub/a.xml", "object 2", "dog", "xmin", "wide"},
		vocText(vocBoxText("dog", "2", "3", "5", "NaN", "")):                                              {"object 1", "ymax"},
		vocText(vocBoxText("", "2", "3", "5", "8", "")):                                                   {"object 1", "name is missing"},
		vocText(vocBoxText("dog", "2", "3", "5", "8", "<difficult>maybe</difficult>")):                    {"object 1", "difficult", "maybe"},
		vocText(vocBoxText("dog", "1_0", "3", "5", "8", "")):                                              {"object 1", "dog", "xmin", "1_0"},
		vocText(vocBoxText("dog", "0x10", "3", "5", "8", "")):                                             {"object 1", "xmin", "0x10"},
		vocText(vocBoxText("dog", "2</xmin><xmin>3", "3", "5", "8", "")):                                  {"object 1", "dog", "xmin more than once"},
		vocText(vocBoxText("dog", "2", "3", "5", "8", "<name>cat</name>")):                                {"object 1", "name more than once"},
		vocText(vocBoxText("dog", "2", "3", "5", "8", "<bndbox></bndbox>")):                               {"object 1", "bndbox more than once"},
		vocText(vocBoxText("dog", "2", "3", "5", "8", notDifficult+notDifficult)):                         {"object 1", "difficult more than once"},
		vocText("") + "\n" + vocText(""):                                                                  {"sub/a.xml", "a second element <annotation>"},
		vocText("") + "rest":                                                                              {"sub/a.xml", "continues after </annotation>"},
		"<annotation><object>":                                                                            {"sub/a.xml"},
		"":                                                                                                {"no <annotation>"},
		"<html></html>":                                                                                   {"annotation"},
		`<?xml version="1.0" encoding="big5"?><annotation/>`:                                              {"big5", "UTF-8"},
		vocText(""): {"no XML file has an object"},
	} {
		_, err := OpenVOC(tree(t, map[string]string{"sub/a.xml": text}, "sub/a.png"), noHoldOut)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %q, want one with %q", text, err, w)
			}
		}
	}
	dog := vocText(vocBoxText("dog", "2", "3", "5", "8", ""))
	for want, texts := range map[string]map[string]string{
		"no XML files":          nil,
		"both have ImageSets":   {"x/Annotations/a.xml": dog, "x/ImageSets/Main/train.txt": "a", "y/ImageSets/Main/val.txt": "a"},
		"none of the 1 picture": {"Annotations/z.xml": strings.Replace(dog, "a.png", "z.png", 1)},
	} {
		if _, err := OpenVOC(tree(t, texts, "JPEGImages/a.png", "JPEGImages/b.png"), noHoldOut); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	s, err := OpenVOC(tree(t, map[string]string{"a.xml": vocText(vocBoxText("dog", "2", "3", "5", "8", "") + "<object><name>dog</name></object>"), "z.xml": strings.Replace(dog, "a.png", "z.png", 1)}, "a.png"), noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	var got []Kind
	for _, f := range s.Findings {
		got = append(got, f.Kind)
	}
	if !slices.Equal(got, []Kind{MissingPicture, NoBox, NoDifficult}) {
		t.Errorf("findings %v", got)
	}
}

// Masks come from the values of SegmentationObject's files, not their colors.
func TestVOCMasks(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 20, 10), color.Palette{color.Black, color.Black, color.White, color.White})
	for x := 4; x < 9; x++ {
		m.SetColorIndex(x, 3, 1)
		m.SetColorIndex(x, 5, 2)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	fsys := tree(t, map[string]string{"Annotations/a.xml": vocText(vocBoxText("dog", "5", "4", "9", "4", "") + vocBoxText("cat", "5", "6", "9", "6", ""))}, "JPEGImages/a.png")
	fsys["SegmentationObject/a.png"] = &fstest.MapFile{Data: b.Bytes()}
	s, err := OpenVOC(fsys, noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := s.Train.Masks(0)
	if err != nil || ms[0].Box() != [4]float64{4, 3, 5, 1} || ms[1].Box() != s.Train.Pictures[0].Objects[1].Box {
		t.Errorf("masks %v, %v", ms, err)
	}
	// CVAT numbers masks in another order than boxes, and has folders in folders.
	swapped := tree(t, map[string]string{
		"x/Annotations/sub/a.xml": vocText(vocBoxText("cat", "5", "6", "9", "6", "") + vocBoxText("dog", "5", "4", "9", "4", "")),
		"x/labelmap.txt":          "# label:color_rgb:parts:actions\nbackground:0,0,0::\nwolf:1,2,3::\ndog:::\n",
	}, "x/JPEGImages/sub/a.png", "x/JPEGImages/a.png")
	swapped["x/SegmentationObject/sub/a.png"] = &fstest.MapFile{Data: b.Bytes()}
	s2, err := OpenVOC(swapped, noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s2.Classes(), []string{"wolf", "dog", "cat"}) || s2.Train.Name(0) != "x/JPEGImages/sub/a.png" {
		t.Errorf("classes %v, picture %s", s2.Classes(), s2.Train.Name(0))
	}
	ms, err = s2.Train.Masks(0)
	if err != nil || ms[0].Box() != [4]float64{4, 5, 5, 1} || ms[1].Box() != [4]float64{4, 3, 5, 1} {
		t.Errorf("masks %v, %v", ms, err)
	}
	moved := tree(t, map[string]string{"Annotations/a.xml": vocText(vocBoxText("cat", "12", "1", "19", "9", ""))}, "JPEGImages/a.png")
	moved["SegmentationObject/a.png"] = &fstest.MapFile{Data: b.Bytes()}
	s3, err := OpenVOC(moved, noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Train.Masks(0); err == nil || !strings.Contains(err.Error(), "no mask at its box") {
		t.Errorf("mask elsewhere: %v", err)
	}
	fsys["SegmentationObject/a.png"] = &fstest.MapFile{Data: pngBytes(t, 20, 10)}
	if _, err := s.Train.Masks(0); err == nil || !strings.Contains(err.Error(), "SegmentationObject/a.png") {
		t.Errorf("mask in colors: %v", err)
	}
}
