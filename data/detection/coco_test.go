package detection

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

const twoImages = `{"images":[{"id":0,"file_name":"a.png","width":20,"height":10},{"id":7,"file_name":"b.png","width":20,"height":10}],
"categories":[{"id":9,"name":"dog"},{"id":0,"name":"cat"}],
"annotations":[
 {"id":0,"image_id":7,"category_id":9,"bbox":[1,2,3.5,4],"area":13,"iscrowd":0,"segmentation":[[1,2,4,2,4,6,1,6]]},
 {"id":5,"image_id":7,"category_id":0,"bbox":[0,0,5,5],"iscrowd":1,"segmentation":{"size":[10,20],"counts":[0,5,5,5,185]}}
]}`

var noHoldOut = Options{Options: data.Options{ValFraction: -1}}

func open1(t *testing.T, fsys fs.FS) *Splits {
	t.Helper()
	s, err := OpenCOCO(fsys, noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCOCO(t *testing.T) {
	s := open1(t, tree(t, map[string]string{"instances.json": twoImages}, "a.png", "b.png"))
	d := s.Train
	if !slices.Equal(d.Classes(), []string{"cat", "dog"}) || !slices.Equal(d.Categories, []int64{0, 9}) {
		t.Errorf("classes %v, categories %v", d.Classes(), d.Categories)
	}
	if d.Len() != 2 || d.Name(1) != "b.png" || d.Pictures[1].ID != 7 || !slices.Equal(d.Labels(1), []int{0, 1}) || len(d.Labels(0)) != 0 {
		t.Fatalf("pictures %+v", d.Pictures)
	}
	o := d.Pictures[1].Objects
	if o[0].ID != 0 || o[0].Class != 1 || o[0].Box != [4]float64{1, 2, 3.5, 4} || o[0].Area != 13 || o[0].Crowd {
		t.Errorf("object %+v", o[0])
	}
	if o[1].ID != 5 || !o[1].Crowd || o[1].Area != 10 {
		t.Errorf("object %+v", o[1])
	}
	ms, err := d.Masks(1)
	if err != nil || ms[0].Area() != 12 || ms[1].Area() != 10 || !d.HasMasks() {
		t.Errorf("masks %v, %v", ms, err)
	}
	f, err := d.ForTraining()
	if err != nil || f.Len() != 1 || len(f.Pictures[0].Objects) != 1 || len(d.Pictures[1].Objects) != 2 {
		t.Errorf("for training: %+v, %v", f.Pictures, err)
	}
	objects, images, categories, err := d.Evaluation(true)
	if err != nil || len(objects) != 2 || !slices.Equal(images, []int64{0, 7}) || !slices.Equal(categories, []int64{0, 9}) || objects[0].Mask.Area() != 12 || objects[0].Category != 9 {
		t.Errorf("evaluation: %v %v %v %v", objects, images, categories, err)
	}
}

// The layouts and spellings that programs write.
func TestCOCOLayouts(t *testing.T) {
	ann := func(file string) string {
		return fmt.Sprintf(`{"images":[{"id":1,"file_name":%q,"width":20,"height":10}],"categories":[{"id":1,"name":"x"}],
			"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,2,2],"area":4,"iscrowd":0}]}`, file)
	}
	for name, c := range map[string]struct {
		texts    map[string]string
		pictures []string
		want     map[string]string // picture of each part
	}{
		"COCO": {map[string]string{
			"annotations/instances_train2017.json": ann("1.png"), "annotations/instances_val2017.json": ann("1.png"),
			"annotations/captions_train2017.json": "broken", "annotations/person_keypoints_train2017.json": "broken",
		}, []string{"train2017/1.png", "val2017/1.png"}, map[string]string{"train": "train2017/1.png", "val": "val2017/1.png"}},
		"Roboflow": {map[string]string{
			"train/_annotations.coco.json": ann("1.png"), "valid/_annotations.coco.json": ann("1.png"), "test/_annotations.coco.json": ann("2.png"),
			"README.roboflow.txt": "",
		}, []string{"train/1.png", "valid/1.png", "test/2.png"}, map[string]string{"train": "train/1.png", "val": "valid/1.png", "test": "test/2.png"}},
		"CVAT": {map[string]string{"annotations/instances_default.json": ann("sub/1.png")},
			[]string{"images/default/sub/1.png", "images/default/other/1.png"}, map[string]string{"train": "images/default/sub/1.png"}},
		"CVAT subsets": {map[string]string{"annotations/instances_Train.json": ann("1.png"), "annotations/instances_Validation.json": ann("1.png")},
			[]string{"images/Train/1.png", "images/Validation/1.png"}, map[string]string{"train": "images/Train/1.png", "val": "images/Validation/1.png"}},
		"Label Studio": {map[string]string{"result.json": ann(`images\0a1b2c3d-1.png`)},
			[]string{"images/0a1b2c3d-1.png", "images/1.png"}, map[string]string{"train": "images/0a1b2c3d-1.png"}},
		"Label Studio, the original pictures": {map[string]string{"result.json": ann("../../label-studio/data/media/upload/1/0a1b2c3d-my%20dog.png")},
			[]string{"photos/my dog.png"}, map[string]string{"train": "photos/my dog.png"}},
		"address":     {map[string]string{"x.json": ann("http://localhost:8080/data/local-files/?d=set/1.png")}, []string{"set/1.png", "1/1.png"}, map[string]string{"train": "set/1.png"}},
		"absolute":    {map[string]string{"labels.json": ann("/home/me/set/images/1.png"), "package.json": "{}"}, []string{"images/1.png", "1.png"}, map[string]string{"train": "images/1.png"}},
		"Windows":     {map[string]string{"labels.json": ann(`C:\set\images\1.png`)}, []string{"images/1.png", "other/1.png"}, map[string]string{"train": "images/1.png"}},
		"case":        {map[string]string{"labels.json": ann("IMG_1.PNG")}, []string{"img_1.png"}, map[string]string{"train": "img_1.png"}},
		"one folder":  {map[string]string{"my.json": ann("1.png"), "notes.json": `{"categories":[]}`, "list.json": "[1]"}, []string{"1.png"}, map[string]string{"train": "1.png"}},
		"a mark":      {map[string]string{"my.json": "\xef\xbb\xbf" + ann("1.png")}, []string{"1.png"}, map[string]string{"train": "1.png"}},
		"val alone":   {map[string]string{"annotations/val.json": ann("1.png")}, []string{"1.png"}, map[string]string{"val": "1.png"}},
		"deep folder": {map[string]string{"export/annotations/instances_train.json": ann("1.png")}, []string{"export/images/train/1.png", "export/images/val/1.png"}, map[string]string{"train": "export/images/train/1.png"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open1(t, tree(t, c.texts, c.pictures...))
			got := map[string]string{}
			for _, p := range s.parts() {
				got[p.name] = p.ds.Name(0)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("pictures %v, want %v; findings %v", got, c.want, s.Findings)
			}
		})
	}
}

// A SPEC may name one of several files, and a zip.
func TestOpenSpec(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, f := range tree(t, map[string]string{"set/annotations/instances_a.json": twoImages, "set/annotations/instances_b.json": "broken"}, "set/images/a.png", "set/images/b.png") {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "b.json") {
			continue
		}
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "set.zip"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"set/annotations/instances_a.json", "set.zip"} {
		s, err := Open("coco:"+filepath.Join(dir, filepath.FromSlash(name)), noHoldOut)
		if err != nil {
			t.Fatal(err)
		}
		if s.Train.Len() != 2 || len(s.Train.Labels(1)) != 2 {
			t.Errorf("%s: %d pictures", name, s.Train.Len())
		}
		var m imaging.Image
		if err := s.Train.Decode(1, &m); err != nil || m.W != 20 {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for spec, want := range map[string]string{
		"boxes": "not of the form KIND:PATH", "cocoo:x": `did you mean "coco"`, "coco:" + dir + "/gone": "no such file", "coco:" + dir + "/gone.json": "no such file", "voc:x.json": "give coco:x.json",
	} {
		if _, err := Open(spec, noHoldOut); err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "cannot find") {
			t.Errorf("%s: error %v, want one with %q", spec, err, want)
		}
	}
}

// Fields that are missing or written in another way.
func TestCOCOFields(t *testing.T) {
	for name, c := range map[string]struct {
		annotation string
		want       string
	}{
		"least":              {`{"image_id":1,"category_id":1,"bbox":[1,2,3,4]}`, "1 [1 2 3 4] 12 false false"},
		"text ids":           {`{"id":"3","image_id":"1","category_id":"1","bbox":["1",2,3,4],"iscrowd":"0"}`, "3 [1 2 3 4] 12 false false"},
		"fractions":          {`{"id":3.0,"image_id":1.0,"category_id":1e0,"bbox":[1,2,3,4],"iscrowd":true}`, "3 [1 2 3 4] 12 true false"},
		"null":               {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":null,"area":null,"iscrowd":null}`, "3 [1 2 3 4] 12 false false"},
		"empty segmentation": {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":[],"ignore":0}`, "3 [1 2 3 4] 12 false false"},
		"empty box":          {`{"id":3,"image_id":1,"category_id":1,"bbox":[],"segmentation":[[1,2,4,2,4,6,1,6]]}`, "3 [1 2 3 4] 12 false true"},
		"no box":             {`{"id":3,"image_id":1,"category_id":1,"segmentation":{"size":[10,20],"counts":[0,5,5,5,185]}}`, "3 [0 0 2 5] 10 false true"},
		"flat polygon":       {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":[1,2,4,2,4,6,1,6]}`, "3 [1 2 3 4] 12 false true"},
		"short polygon":      {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":[[1,2,4,2],[1,2,4,2,4,6,1,6]],"area":5}`, "3 [1 2 3 4] 5 false true"},
		"compressed":         {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":{"size":[10,20],"counts":"0550d5"}}`, "3 [1 2 3 4] 10 false true"},
		"list of runs":       {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"segmentation":[{"size":[10,20],"counts":[0,5,195]},{"size":[10,20],"counts":[10,5,185]}]}`, "3 [1 2 3 4] 10 false true"},
		"other fields":       {`{"id":3,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"attributes":{"occluded":false,"deep":[[{}]]},"score":0.5}`, "3 [1 2 3 4] 12 false false"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open1(t, tree(t, map[string]string{"a.json": `{"info":{"x":[1,{"y":null}]},"licenses":[],"images":[{"id":1,"file_name":"a.png","height":"10","width":20.0}],
				"annotations":[` + c.annotation + `],"categories":[{"id":1,"name":"x","supercategory":null}]}`}, "a.png"))
			if len(s.Train.Pictures[0].Objects) != 1 {
				t.Fatalf("objects %+v, findings %v", s.Train.Pictures[0].Objects, s.Findings)
			}
			o := s.Train.Pictures[0].Objects[0]
			if got := fmt.Sprint(o.ID, o.Box, o.Area, o.Crowd, o.HasMask()); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if o.HasMask() {
				if _, err := s.Train.Masks(0); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A broken annotation is an error that names the file, the id and the field.
func TestCOCOErrors(t *testing.T) {
	doc := func(images, annotations, categories string) string {
		return `{"images":[` + images + `],"annotations":[` + annotations + `],"categories":[` + categories + `]}`
	}
	const image, category = `{"id":1,"file_name":"a.png","width":20,"height":10}`, `{"id":1,"name":"x"}`
	ann := func(field string) string {
		return doc(image, `{"id":4,"image_id":1,"category_id":1,"bbox":[1,2,3,4]},{"id":12,"image_id":1,"category_id":1,"bbox":[1,2,3,4],`+field+`}`, category)
	}
	for text, want := range map[string][]string{
		ann(`"bbox":"wide"`):                                            {"a.json", "annotation 2", "id 12", "bbox", `"wide"`},
		ann(`"bbox":[1,2,3]`):                                           {"annotation 2", "id 12", "bbox", "[1,2,3]"},
		ann(`"bbox":[1,2,null,4]`):                                      {"id 12", "bbox"},
		ann(`"bbox":{"x":1}`):                                           {"id 12", "bbox"},
		ann(`"bbox":[true,false,true,true]`):                            {"annotation 2", "id 12", "bbox", "[true"},
		ann(`"bbox":["1_0",2,3,4]`):                                     {"id 12", "bbox", "1_0"},
		ann(`"area":true`):                                              {"id 12", "area", "must be a number"},
		ann(`"segmentation":[[1,2,"3_0",4,5,6]]`):                       {"id 12", "segmentation", "3_0"},
		ann(`"segmentation":{"size":[true,20],"counts":[20]}`):          {"id 12", "segmentation", "size"},
		doc(`{"id":1,"file_name":"a.png","width":true}`, "", category):  {"image 1", "width", "must be a number of pixels"},
		doc(image, "", category) + "{}":                                 {"a.json", "continues after the end"},
		doc(image, "", category) + " junk":                              {"a.json", "continues after the end"},
		ann(`"area":"big"`):                                             {"id 12", "area", `"big"`},
		ann(`"iscrowd":[]`):                                             {"id 12", "iscrowd"},
		ann(`"image_id":1.5`):                                           {"id 12", "image_id", "1.5"},
		ann(`"image_id":null`):                                          {"id 12", "image_id", "missing"},
		ann(`"category_id":{}`):                                         {"id 12", "category_id"},
		ann(`"segmentation":5`):                                         {"id 12", "segmentation"},
		ann(`"segmentation":[[1,2,"x",4,5,6]]`):                         {"id 12", "segmentation", `"x"`},
		ann(`"segmentation":[[1,2,3,4,5,6],7]`):                         {"id 12", "segmentation", "7"},
		ann(`"segmentation":[[[1,2],[3,4]]]`):                           {"id 12", "segmentation"},
		ann(`"segmentation":{"size":[10,20]}`):                          {"id 12", "segmentation", "counts"},
		ann(`"segmentation":{"size":[10],"counts":"0"}`):                {"id 12", "segmentation", "size"},
		ann(`"segmentation":{"size":[10,20],"counts":[300]}`):           {"id 12", "segmentation", "add up"},
		ann(`"segmentation":{"size":[10,20],"counts":[-3]}`):            {"id 12", "segmentation", "-3"},
		ann(`"segmentation":{"size":[10,20],"counts":"\u0001"}`):        {"id 12", "segmentation", "character"},
		ann(`"segmentation":{"size":[1e9,1e9],"counts":[1]}`):           {"id 12", "segmentation", "size"},
		ann(`"id":true`):                                                {"annotation 2", "id", "true"},
		ann(`"area":NaN`):                                               {"a.json", "byte", "annotations", "after 1", "id 4"},
		doc(image, "7", category):                                       {"an entry of annotations is a number"},
		doc(`{"id":1}`, "", category):                                   {"image 1", "file_name", "missing"},
		doc(`{"file_name":"a.png"}`, "", category):                      {"image 1", "id", "missing"},
		doc(`{"id":1,"file_name":"a.png","width":-5}`, "", category):    {"image 1", "id 1", "width", "-5"},
		doc(image, "", `{"name":"x"}`):                                  {"category 1", "id", "missing"},
		doc(image, "", `{"id":"x","name":"x"}`):                         {"category 1", "whole number"},
		doc(image, "", ""):                                              {"categories is empty"},
		doc(image, "", `{"id":1,"name":"x"},{"id":1,"name":"y"}`):       {"category 1", `"y"`, `"x"`},
		doc(`{"id":1,"file_name":"z.png"}`, "", category):               {"none of its 1 pictures", "z.png"},
		`{"images":[],"annotations":[]`:                                 {"too early"},
		`{"images":{},"annotations":[]}`:                                {"images", "must be a list"},
		`[{"image_id":1,"category_id":1,"bbox":[1,2,3,4],"score":0.5}]`: {"results"},
		`{"a":1}`:      {"not COCO's JSON"},
		`5`:            {"not COCO's JSON"},
		``:             {"too early"},
		"\x00\x01junk": {"a.json"},
		`{"images":[],"annotations":[],"images":[]}`: {`"images" twice`},
	} {
		_, err := OpenCOCO(tree(t, map[string]string{"a.json": text}, "a.png"), noHoldOut)
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
	small := noHoldOut
	small.MaxAnnotationBytes = 100
	for want, c := range map[string]struct {
		texts map[string]string
		opt   Options
	}{
		"no JSON file":        {nil, noHoldOut},
		"coco:FILE":           {map[string]string{"instances_a.json": twoImages, "instances_b.json": twoImages}, noHoldOut},
		"larger than":         {map[string]string{"a.json": twoImages}, small},
		"the same categories": {map[string]string{"train.json": twoImages, "val.json": strings.Replace(twoImages, "dog", "wolf", 1)}, noHoldOut},
	} {
		if _, err := OpenCOCO(tree(t, c.texts, "a.png", "b.png"), c.opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Mistakes in the annotations are findings; the rest of the data can be used.
func TestCOCOFindings(t *testing.T) {
	s := open1(t, tree(t, map[string]string{"a.json": `{"images":[
		{"id":1,"file_name":"a.png","width":20,"height":10},{"id":1,"file_name":"b.png","width":20,"height":10},
		{"id":2,"file_name":"b.png","width":20,"height":10},{"id":3,"file_name":"gone.png"},{"id":"four","file_name":"c.png"},{"id":5,"file_name":"x/same.png"}],
		"categories":[{"id":0,"name":"objects","supercategory":"none"},{"id":3,"name":"x","supercategory":"objects"}],
		"annotations":[
		{"id":1,"image_id":1,"category_id":3,"bbox":[1,1,0,5]},
		{"id":1,"image_id":1,"category_id":3,"bbox":[15,1,9,5]},
		{"image_id":1,"category_id":3,"bbox":[1,1,2,2],"iscrowd":1},
		{"id":4,"image_id":99,"category_id":3,"bbox":[1,1,2,2]},
		{"id":5,"image_id":1,"category_id":8,"bbox":[1,1,2,2]},
		{"id":6,"image_id":1,"category_id":3},
		{"id":7,"image_id":3,"category_id":3,"bbox":[1,1,2,2]},
		{"id":8,"image_id":"four","category_id":3,"bbox":[1,1,2,2],"segmentation":[[1,2,3,4]]},
		{"id":9,"image_id":1,"category_id":3,"bbox":[1,1,2,2],"segmentation":{"size":[5,5],"counts":[25]}}]}`},
		"a.png", "b.png", "c.png", "p/same.png", "q/same.png"))
	got := map[Kind]int{}
	for _, f := range s.Findings {
		got[f.Kind] = f.Count
		if len(f.Examples) == 0 || f.What == "" || f.Part != "train" {
			t.Errorf("finding %+v", f)
		}
	}
	want := map[Kind]int{DuplicatePicture: 1, MissingPicture: 1, AmbiguousPicture: 1, ZeroArea: 1, Outside: 1, DuplicateObject: 1, MissingID: 1,
		UnknownPicture: 1, UnknownCategory: 1, NoBox: 1, Crowd: 1, BadPolygon: 1, MaskSize: 1, Empty: 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("findings %v, want %v", got, want)
	}
	if !slices.Equal(s.Classes(), []string{"x"}) || len(s.Notes) != 1 {
		t.Errorf("classes %v, notes %v", s.Classes(), s.Notes)
	}
	ids := map[int64]bool{}
	for _, p := range s.Train.Pictures {
		for _, o := range p.Objects {
			if ids[o.ID] {
				t.Errorf("id %d twice", o.ID)
			}
			ids[o.ID] = true
		}
	}
	if len(ids) != 5 {
		t.Errorf("%d objects", len(ids))
	}
	r, err := Check(t.Context(), s, 1)
	if err != nil || r.Objects[0].Objects != 5 || r.Objects[0].Crowd != 1 || len(r.Warnings()) < 8 || r.Parts[0].NoLabel != 1 {
		t.Errorf("report %+v, %v", r, err)
	}
}
