package data

import (
	"slices"
	"testing"
	"testing/fstest"
)

// labeled returns pictures and a label file.
func labeled(labelFile, text string, paths ...string) fstest.MapFS {
	fsys := folderFS(paths...)
	fsys[labelFile] = file([]byte(text))
	return fsys
}

// utf16Text returns a text of ASCII in UTF-16 without a byte order mark.
func utf16Text(s string) string {
	var b []byte
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return string(b)
}

func TestMultiLabel(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		paths            []string
		want             []string
	}{
		{"one column", "labels.csv", "file,labels\na.png,dog|cat\nb.png,\nc.png, dog | dog \n", []string{"a.png", "b.png", "c.png"},
			[]string{"train cat+dog a.png", "train  b.png", "train dog c.png"}},
		{"column a class", "labels.csv", "\xef\xbb\xbffile,split,zebra,ape\r\na.png,val,1,1\r\nb.png,train,0,1\r\n", []string{"a.png", "b.png"},
			[]string{"train ape b.png", "val zebra+ape a.png"}},
		{"parts by folder", "set/labels.csv", "labels,file\nx,train/a.png\ny,val/b.png\n\"x|y\",test/c.png\n",
			[]string{"set/train/a.png", "set/val/b.png", "set/test/c.png"},
			[]string{"train x set/train/a.png", "val y set/val/b.png", "test x+y set/test/c.png"}},
		{"commas in names", "labels.csv", "file,labels\na.png,\"crane, bird|crane, machine\"\nb.png,\"crane, bird\"\n", []string{"a.png", "b.png"},
			[]string{"train crane, bird+crane, machine a.png", "train crane, bird b.png"}},
		{"json", "labels.json", `[{"file":"a.png","labels":["x"]},{"file":"b.png","labels":["y","x"]}]`, []string{"a.png", "b.png"},
			[]string{"train x a.png", "train x+y b.png"}},
		{"json with a mark and spaces", "labels.json", "\xef\xbb\xbf" + `[{"file":"a.png","labels":["x "]},{"file":"b.png","labels":["x"," y"]},{"file":"c.png","labels":[]}]`,
			[]string{"a.png", "b.png", "c.png"}, []string{"train x a.png", "train x+y b.png", "train  c.png"}},
		{"json in UTF-16", "labels.json", "\xff\xfe" + utf16Text(`[{"file":"a.png","labels":["x"]}]`), []string{"a.png"}, []string{"train x a.png"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := openBoth(t, "multilabel", labeled(c.file, c.text, c.paths...), Options{ValFraction: -1})
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(s); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if !s.MultiLabel() {
				t.Error("not multi-label")
			}
		})
	}
}

func TestMultiLabelClassOrder(t *testing.T) {
	fsys := labeled("labels.csv", "file,labels\na.png,cat\n", "a.png")
	fsys["classes.txt"] = file([]byte("dog\ncat\n\n"))
	s, err := openBoth(t, "multilabel", fsys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Classes(), []string{"dog", "cat"}) || s.Train.Labels(0)[0] != 1 {
		t.Errorf("classes %v, label %v", s.Classes(), s.Train.Labels(0))
	}
}

func TestMultiLabelErrors(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             []string
	}{
		{"none", "other.csv", "file,labels\n", []string{"labels.csv", "labels.json"}},
		{"empty", "labels.csv", "", []string{"labels.csv", "empty"}},
		{"no file column", "labels.csv", "name,labels\n", []string{"labels.csv", `"file"`}},
		{"no labels column", "labels.csv", "file,split\n", []string{"labels.csv", `"labels"`}},
		{"both forms", "labels.csv", "file,labels,cat\n", []string{"labels.csv", "cat"}},
		{"unnamed column", "labels.csv", "file,,cat\n", []string{"column 2"}},
		{"fields", "labels.csv", "file,labels\na.png\n", []string{"labels.csv", "line 2", "fields"}},
		{"value", "labels.csv", "file,cat\na.png,yes\n", []string{"line 2", "cat", `"yes"`}},
		{"missing", "labels.csv", "file,labels\nb.png,x\n", []string{"line 2", "b.png", "not exist"}},
		{"twice", "labels.csv", "file,labels\na.png,x\na.png,y\n", []string{"line 3", "a.png", "line 2"}},
		{"outside", "labels.csv", "file,labels\n../a.png,x\n", []string{"line 2", "../a.png"}},
		{"split", "labels.csv", "file,split,x\na.png,trian,1\n", []string{"line 2", "trian"}},
		{"semicolons", "labels.csv", "file,labels\na.png,cat\nb.png,dog\nc.png,cat;dog\n", []string{"labels.csv", "line 4", `"cat;dog"`, "cat|dog"}},
		{"commas", "labels.csv", "file,labels\na.png,\"cat, dog\"\nb.png,dog\nc.png,cat\n", []string{"labels.csv", "line 2", "cat|dog"}},
		{"semicolons alone", "labels.csv", "file,labels\na.png,cat;dog\nb.png,dog;elk\nc.png,elk;cat\n", []string{"line 2", "cat|dog"}},
		{"no labels", "labels.csv", "file,labels\na.png,\n", []string{"no labels"}},
		{"class twice", "labels.csv", "file,x,x\na.png,1,1\n", []string{`"x"`, "twice"}},
		{"no json", "labels.json", "{", []string{"labels.json"}},
		{"unknown key", "labels.json", `[{"file":"a.png","label":["x"]}]`, []string{"labels.json", "label"}},
		{"not UTF-8", "labels.json", "[{\"file\":\"a.png\",\"labels\":[\"caf\xe9\"]}]", []string{"labels.json", "line 1", "UTF-8"}},
		{"csv not UTF-8", "labels.csv", "file,labels\na.png,caf\xe9\n", []string{"labels.csv", "line 2", "UTF-8"}},
		{"half a character", "labels.json", `[{"file":"a.png","labels":["\ud800"]}]`, []string{"labels.json", "entry 1", "a.png", "lost"}},
		{"null label", "labels.json", `[{"file":"a.png","labels":["x"]},{"file":"b.png","labels":[null]}]`, []string{"entry 2", "b.png", "no name"}},
		{"empty label", "labels.json", `[{"file":"a.png","labels":["x",""]}]`, []string{"entry 1", "no name"}},
		{"blank label", "labels.json", `[{"file":"a.png","labels":["x"," "]}]`, []string{"entry 1", "no name"}},
		{"without labels", "labels.json", `[{"file":"a.png"}]`, []string{"entry 1", `"labels"`, "[]"}},
		{"null labels", "labels.json", `[{"file":"a.png","labels":null}]`, []string{"entry 1", `"labels"`, "[]"}},
		{"without file", "labels.json", `[{"labels":["x"]}]`, []string{"entry 1", `"file"`}},
		{"null entry", "labels.json", `[null]`, []string{"entry 1", "null"}},
		{"key twice", "labels.json", "[\n{\"file\":\"a.png\",\"labels\":[\"x\"],\"labels\":[\"y\"]}]", []string{"line 2", `"labels"`, "twice"}},
		{"key twice by case", "labels.json", `[{"file":"a.png","File":"b.png","labels":["x"]}]`, []string{`"File"`, "twice"}},
		{"rest", "labels.json", `[{"file":"a.png","labels":["x"]}]]`, []string{"labels.json", "after"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openBoth(t, "multilabel", labeled(c.file, c.text, "a.png"), Options{})
			checkError(t, err, c.want...)
		})
	}
	fsys := labeled("labels.csv", "file,labels\na.png,cot\n", "a.png")
	fsys["classes.txt"] = file([]byte("dog\ncat\n"))
	_, err := openBoth(t, "multilabel", fsys, Options{})
	checkError(t, err, `"cot"`, `"cat"`)
	fsys["labels.json"] = file([]byte("[]"))
	_, err = openBoth(t, "multilabel", fsys, Options{})
	checkError(t, err, "labels.csv", "labels.json", "keep one")
}
