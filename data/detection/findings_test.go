package detection

import (
	"fmt"
	"strings"
	"testing"
)

// TestFindingsOfKinds: what is wrong in a file is a finding of its own kind, and what
// cannot be read an error that names the file and the list.
func TestFindingsOfKinds(t *testing.T) {
	file := func(categories, annotations string) string {
		return fmt.Sprintf(`{"images":[{"id":1,"file_name":"a.png","width":20,"height":10}],"categories":[%s],"annotations":[%s]}`, categories, annotations)
	}
	const x, inside = `{"id":1,"name":"x"}`, `{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,5,5]}`
	for _, c := range []struct {
		json string
		kind Kind
	}{
		{file(x, ""), NoObjects},
		{file(x, `{"id":1,"image_id":1,"category_id":1,"bbox":[30,1,5,5]}`), WhollyOutside},
		{file(x, `{"id":1,"image_id":1,"category_id":1,"bbox":[17,1,9,5]}`), Outside},
		{file(x+`,{"id":2,"name":"x"}`, inside), SameName},
		{file(x+`,{"id":2,"name":" "}`, inside), NoName},
		{file(x+`,{"id":2,"name":"`+"B\xff\xfeag"+`"}`, inside), BadName},
	} {
		s, err := OpenCOCO(tree(t, map[string]string{"a.json": c.json}, "a.png"), noHoldOut)
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		found := 0
		for _, f := range s.Findings {
			if f.Wrong {
				found++
			}
			if f.Kind == c.kind {
				found += 10
			}
		}
		if found != 11 {
			t.Errorf("%s: %v", c.kind, s.Findings)
		}
		// A picture without a box in it is one without objects.
		learn, err := s.Train.ForTraining()
		if none := c.kind == NoObjects || c.kind == WhollyOutside; err != nil || none != (learn.Len() == 0) {
			t.Errorf("%s: %d pictures to train on, %v", c.kind, learn.Len(), err)
		}
	}
	for json, want := range map[string]string{
		file("", inside): `a.json: the list of categories is empty or missing`,
		`{"images":[],"annotations":[],"categories":[{"id":1,"name":"x"}]}`:                                     `a.json: its list "images" is empty`,
		file(x+`,{"id":1,"name":"y"}`, inside):                                                                  `category 1 is there twice, with the names "x" and "y"`,
		file(x, `{"id":1,"image_id":1,"category_id":1,"segmentation":{"size":[10,20],"counts":[10000000000]}}`): "counts have 1e+10, which is not a number of pixels",
	} {
		if _, err := OpenCOCO(tree(t, map[string]string{"a.json": json}, "a.png"), noHoldOut); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
