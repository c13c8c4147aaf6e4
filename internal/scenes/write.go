package scenes

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Write generates pictures in dir, a new or empty folder, as both COCO and Pascal VOC
// lay them out: instances_train.json and instances_val.json for coco:DIR; Annotations,
// ImageSets, SegmentationClass and SegmentationObject for voc:DIR; the pictures in
// JPEGImages, as PNG. The same options give the same bytes.
func Write(dir string, o Options) error {
	if err := o.fill(); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("scenes: %s is not empty: give a new folder", dir)
	}
	for _, sub := range []string{"JPEGImages", "Annotations", "ImageSets/Main", "ImageSets/Segmentation", "SegmentationClass", "SegmentationObject"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(sub)), 0o755); err != nil {
			return err
		}
	}
	classes := o.Objects.Train.Classes()
	if len(classes) > 254 {
		return fmt.Errorf("scenes: %d classes are more than a mask can hold, 254", len(classes))
	}
	if err := writeText(dir, "labelmap.txt", labelMap(classes)); err != nil {
		return err
	}
	first, object := 1, 1
	for part, p := range []struct {
		name string
		n    int
	}{{"train", o.Train}, {"val", o.Val}} {
		objects := o.Objects.Train
		if p.name == "val" {
			objects = o.evalObjects()
		}
		scenes, errs := make([]*scene, p.n), make([]error, p.n)
		var wg sync.WaitGroup
		turns := make(chan struct{}, runtime.GOMAXPROCS(0))
		for i := range p.n {
			turns <- struct{}{}
			wg.Go(func() {
				defer func() { <-turns }()
				s, err := o.draw(uint32(part), i, objects)
				if err == nil {
					err = writePictures(dir, first+i, s, classes)
					s.m = nil // which is large
				}
				scenes[i], errs[i] = s, err
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		if err := writeLists(dir, p.name, first, scenes, classes, &object); err != nil {
			return err
		}
		first += p.n
	}
	return nil
}

func stem(i int) string { return fmt.Sprintf("%06d", i) }

func writeText(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644)
}

// vocColor is the color of a value in Pascal VOC's masks.
func vocColor(v int) color.RGBA {
	c := color.RGBA{A: 255}
	for bit := 7; v > 0; bit, v = bit-1, v>>3 {
		c.R |= uint8(v&1) << bit
		c.G |= uint8(v>>1&1) << bit
		c.B |= uint8(v>>2&1) << bit
	}
	return c
}

func labelMap(classes []string) string {
	var b strings.Builder
	b.WriteString("# label:color_rgb:parts:actions\nbackground:0,0,0::\n")
	for k, name := range classes {
		c := vocColor(k + 1)
		fmt.Fprintf(&b, "%s:%d,%d,%d::\n", name, c.R, c.G, c.B)
	}
	return b.String()
}

type vocBox struct {
	Xmin int `xml:"xmin"`
	Ymin int `xml:"ymin"`
	Xmax int `xml:"xmax"`
	Ymax int `xml:"ymax"`
}

type vocObject struct {
	Name      string `xml:"name"`
	Truncated int    `xml:"truncated"`
	Difficult int    `xml:"difficult"`
	Box       vocBox `xml:"bndbox"`
}

type vocFile struct {
	XMLName   xml.Name    `xml:"annotation"`
	Filename  string      `xml:"filename"`
	Width     int         `xml:"size>width"`
	Height    int         `xml:"size>height"`
	Depth     int         `xml:"size>depth"`
	Segmented int         `xml:"segmented"`
	Objects   []vocObject `xml:"object"`
}

// writePictures writes the picture, its masks and its XML.
func writePictures(dir string, number int, s *scene, classes []string) error {
	w, h := s.m.W, s.m.H
	rgb := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(rgb.Pix[4*i:], s.m.Pix[3*i:3*i+3])
		rgb.Pix[4*i+3] = 255
	}
	palette := make(color.Palette, 256)
	for v := range palette {
		palette[v] = vocColor(v)
	}
	byClass, byObject := image.NewPaletted(rgb.Rect, palette), image.NewPaletted(rgb.Rect, palette)
	f := vocFile{Filename: stem(number) + ".png", Width: w, Height: h, Depth: 3, Segmented: 1}
	for k, o := range s.objects {
		for y := range h {
			for x := range w {
				if o.mask.At(y, x) == 1 {
					byClass.Pix[y*w+x], byObject.Pix[y*w+x] = uint8(o.class+1), uint8(k+1)
				}
			}
		}
		b := o.mask.Box()
		f.Objects = append(f.Objects, vocObject{Name: classes[o.class],
			Box: vocBox{int(b[0]) + 1, int(b[1]) + 1, int(b[0] + b[2]), int(b[1] + b[3])}})
	}
	for folder, m := range map[string]image.Image{"JPEGImages": rgb, "SegmentationClass": byClass, "SegmentationObject": byObject} {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, folder, stem(number)+".png"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	text, err := xml.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Annotations", stem(number)+".xml"), append(text, '\n'), 0o644)
}

type cocoRuns struct {
	Size   [2]int `json:"size"`
	Counts string `json:"counts"`
}

type cocoObject struct {
	ID           int        `json:"id"`
	Image        int        `json:"image_id"`
	Category     int        `json:"category_id"`
	Box          [4]float64 `json:"bbox"`
	Area         int        `json:"area"`
	Crowd        int        `json:"iscrowd"`
	Segmentation cocoRuns   `json:"segmentation"`
}

type cocoImage struct {
	ID       int    `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

type cocoCategory struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

type cocoFile struct {
	Images      []cocoImage    `json:"images"`
	Annotations []cocoObject   `json:"annotations"`
	Categories  []cocoCategory `json:"categories"`
}

// writeLists writes what there is one file of for each part. next is the id of the
// next object.
func writeLists(dir, part string, first int, scenes []*scene, classes []string, next *int) error {
	f := cocoFile{Images: []cocoImage{}, Annotations: []cocoObject{}}
	for k, name := range classes {
		f.Categories = append(f.Categories, cocoCategory{k + 1, name})
	}
	var list strings.Builder
	for i, s := range scenes {
		fmt.Fprintln(&list, stem(first+i))
		f.Images = append(f.Images, cocoImage{first + i, "JPEGImages/" + stem(first+i) + ".png", s.w, s.h})
		for _, o := range s.objects {
			r := o.mask.RLE()
			f.Annotations = append(f.Annotations, cocoObject{ID: *next, Image: first + i, Category: o.class + 1,
				Box: r.Box(), Area: r.Area(), Segmentation: cocoRuns{[2]int{r.H, r.W}, r.String()}})
			*next++
		}
	}
	for _, folder := range []string{"ImageSets/Main/", "ImageSets/Segmentation/"} {
		if err := writeText(dir, folder+part+".txt", list.String()); err != nil {
			return err
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return writeText(dir, "instances_"+part+".json", string(text)+"\n")
}
