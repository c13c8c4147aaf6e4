package segmentation

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
)

// OpenMasks opens folders of pictures and masks. A mask belongs to the picture of
// the same name, in a folder that is named as folders of masks usually are:
//
//	images/a.jpg            masks/a.png                   also labels, annotations, SegmentationClass, …
//	train/images/a.jpg      train/masks/a.png
//	images/train/a.jpg      annotations/train/a.png
//	train/a.png             trainannot/a.png              CamVid
//	train/a.jpg             train_masks/a_mask.gif        Kaggle
//	images/a.jpg            annotations/trimaps/a.png     Oxford-IIIT Pet
//	train/a.jpg             train/a_mask.png              Roboflow
//
// Parts are folders train, val and test, or lists train.txt, val.txt, test.txt and
// trainval.txt of names; without them everything is one training part.
//
// A file of classes is one of: classes.txt, a name per line, for the values 0, 1, …;
// classes.csv or class_dict.csv with lines NAME,VALUE or NAME,RED,GREEN,BLUE; CVAT's
// labelmap.txt; CamVid's label_colors.txt. Without one, the values of the masks are
// numbered classes, or background and foreground if they are 0 and 255 alone. The value
// 255, and a class called void, ignore or unlabeled, do not count, but where classes.txt
// names two classes and the values of all masks are 0 and 255, 255 is the second one.
// Gray values of 1, 2 and 4 bits are taken as they are in the file: those of one bit
// are 0 and 1.
func OpenMasks(ctx context.Context, files *data.Files, opt data.Options) (*data.Splits, error) {
	all, left, err := files.Data()
	if err != nil {
		return nil, err
	}
	pairs, err := pair(all)
	if err != nil {
		return nil, err
	}
	t := tree{root: commonFolder(pairs.samples), files: files, has: map[string]bool{}}
	for _, f := range all {
		if rest, ok := strings.CutPrefix(f, t.root); ok {
			t.has[rest] = true
		}
	}
	s := &data.Splits{Notes: pairs.notes}
	if left != "" {
		s.Notes = append(s.Notes, left)
	}
	c, err := t.classes()
	if err != nil {
		return nil, err
	}
	if c == nil && slices.ContainsFunc(pairs.samples, func(p paired) bool { return strings.Contains(strings.ToLower(p.mask), "trimaps/") }) {
		c = trimapClasses()
	}
	if c == nil {
		c, err = t.look(ctx, pairs.list(), opt)
	} else {
		err = t.ofTwo(ctx, c, pairs.list(), opt)
	}
	if err != nil {
		return nil, err
	}
	if c.note != "" {
		s.Notes = append(s.Notes, c.note)
	}
	if err := pairs.byLists(&t); err != nil {
		return nil, err
	}
	for part, to := range map[string]*data.Dataset{"train": &s.Train, "val": &s.Val, "test": &s.Test} {
		ds := t.set(c, opt)
		for _, p := range pairs.samples {
			if p.part == part || p.part == "" && part == "train" {
				ds.samples = append(ds.samples, p.sample)
			}
		}
		if len(ds.samples) > 0 {
			*to = ds
		}
	}
	return s.Finish(opt)
}

// trimapClasses are those of Oxford-IIIT Pet.
func trimapClasses() *classes {
	c := &classes{names: []string{"background", "pet", "border"}, note: "trimaps: value 1 is the pet, 2 the background, 3 the border"}
	c.read.values = nothing()
	c.read.values[1], c.read.values[2], c.read.values[3] = 1, 0, 2
	return c
}

// paired is a picture with its mask.
type paired struct {
	sample
	part string // train, val or test; empty if no folder names it
	stem string // name of the picture's file without ending
}

type pairs struct {
	samples []paired
	notes   []string
}

func (p *pairs) list() []sample {
	var list []sample
	for _, s := range p.samples {
		list = append(list, s.sample)
	}
	return list
}

// Words in the names of folders and files, in lower case.
var (
	partWords = map[string]string{
		"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
	}
	maskWords = []string{"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "segmentationclass",
		"segmentationclassaug", "segmentation", "segmentations", "trimap", "trimaps", "gt", "groundtruth", "ground_truth", "target", "targets"}
	pictureWords = []string{"image", "images", "img", "imgs", "jpegimages", "picture", "pictures", "photo", "photos", "input", "inputs"}
	// otherWords are folders of masks that are not classes.
	otherWords   = []string{"segmentationobject", "instances"}
	maskEnds     = []string{"mask", "masks", "label", "labels", "l", "seg", "segmentation", "gt", "annotation", "trimap"}
	pictureEnds  = []string{"image", "img", "sat", "rgb"}
	maskFormats  = []string{".png", ".gif", ".bmp"}
	betweenWords = "_- ."
)

// place is what the path of a file reveals about it.
type place struct {
	part  string // train, val or test, or ""
	role  string // "mask", "picture", "other", or ""
	rest  string // folders that say neither
	stem  string
	marks bool // the stem ends in a word for masks
}

// placeOf reads the path of a file.
func placeOf(name string) place {
	var p place
	var rest []string
	dir, file := path.Split(name)
	for _, folder := range strings.Split(strings.ToLower(strings.TrimSuffix(dir, "/")), "/") {
		part, role := folderWords(folder)
		if part == "" && role == "" && folder != "" {
			rest = append(rest, folder)
		}
		if part != "" {
			p.part = part
		}
		if role != "" {
			p.role = role
		}
	}
	p.rest = strings.Join(rest, "/")
	p.stem = strings.ToLower(strings.TrimSuffix(file, path.Ext(file)))
	_, p.marks = cutWord(p.stem, maskEnds)
	return p
}

// folderWords returns the words of a folder's name: "train_masks", "valannot".
func folderWords(name string) (part, role string) {
	roleOf := func(word string) string {
		switch {
		case slices.Contains(otherWords, word):
			return "other"
		case slices.Contains(maskWords, word):
			return "mask"
		case slices.Contains(pictureWords, word):
			return "picture"
		}
		return ""
	}
	if role := roleOf(name); role != "" || partWords[name] != "" {
		return partWords[name], role
	}
	for word, part := range partWords {
		if rest, ok := strings.CutPrefix(name, word); ok {
			if role := roleOf(strings.TrimLeft(rest, betweenWords)); role != "" {
				return part, role
			}
		}
		if rest, ok := strings.CutSuffix(name, word); ok {
			if role := roleOf(strings.TrimRight(rest, betweenWords)); role != "" {
				return part, role
			}
		}
	}
	return "", ""
}

// cutWord cuts one of the words off the end of a stem, with what divides it.
func cutWord(stem string, words []string) (string, bool) {
	i := strings.LastIndexAny(stem, betweenWords)
	if i < 1 || !slices.Contains(words, stem[i+1:]) {
		return stem, false
	}
	return strings.TrimRight(stem[:i], betweenWords), true
}

// pair finds the mask of each picture.
func pair(files []string) (*pairs, error) {
	pictures, masks := map[string]int{}, map[string]int{} // by key, index in files
	inMaskFolder := slices.ContainsFunc(files, func(f string) bool { return isMask(f) && placeOf(f).role == "mask" })
	for i, f := range files {
		p := placeOf(f)
		asMask := isMask(f) && (p.role == "mask" || p.marks && !inMaskFolder)
		asPicture := data.IsPicture(f) && !asMask && p.role != "mask"
		if p.role == "other" || !asMask && !asPicture {
			continue
		}
		into, ends := pictures, pictureEnds
		if asMask {
			into, ends = masks, maskEnds
		}
		key := p.part + "\x00" + p.rest + "\x00" + p.stem
		if stem, cut := cutWord(p.stem, ends); cut {
			key = p.part + "\x00" + p.rest + "\x00" + stem
		}
		if other, twice := into[key]; twice {
			return nil, fmt.Errorf("%s and %s would both be the %s of one sample: keep one", files[other], f,
				map[bool]string{true: "mask", false: "picture"}[asMask])
		}
		into[key] = i
	}
	out := &pairs{}
	match := func(key func(string) string) {
		byKey := map[string]int{}
		for k, i := range masks {
			if _, twice := byKey[key(k)]; twice {
				i = -1
			}
			byKey[key(k)] = i
		}
		for k, i := range pictures {
			if j, ok := byKey[key(k)]; ok && j >= 0 {
				p := placeOf(files[i])
				if p.part == "" {
					p.part = placeOf(files[j]).part
				}
				out.samples = append(out.samples, paired{sample{files[i], files[j]}, p.part, p.stem})
			}
		}
	}
	match(func(k string) string { return k })
	if len(out.samples) == 0 { // pictures or masks that are not divided into parts
		match(func(k string) string { return k[strings.Index(k, "\x00"):] })
	}
	if len(out.samples) == 0 { // or that lie in further folders
		match(func(k string) string { return k[strings.LastIndex(k, "\x00"):] })
	}
	slices.SortFunc(out.samples, func(a, b paired) int { return strings.Compare(a.picture, b.picture) })
	switch {
	case len(pictures) == 0:
		return nil, fmt.Errorf("there are no pictures (%s): %w", strings.Join(data.PictureEndings(), " "), fs.ErrNotExist)
	case len(masks) == 0:
		return nil, fmt.Errorf("there are %d pictures, such as %s, and no masks: put the masks (%s) into a folder masks beside the folder images, with the names of the pictures: %w",
			len(pictures), anyOf(files, pictures), strings.Join(maskFormats, " "), fs.ErrNotExist)
	case len(out.samples) == 0:
		return nil, fmt.Errorf("no mask has the name of a picture: there are %d pictures, such as %s, and %d masks, such as %s",
			len(pictures), anyOf(files, pictures), len(masks), anyOf(files, masks))
	}
	out.notes = unpaired(files, pictures, masks, out.samples)
	return out, nil
}

func isMask(name string) bool {
	return slices.Contains(maskFormats, strings.ToLower(path.Ext(name)))
}

// anyOf returns the first of the files that have a key.
func anyOf(files []string, keys map[string]int) string {
	first := len(files)
	for _, i := range keys {
		first = min(first, i)
	}
	return files[first]
}

// unpaired notes pictures without masks and masks without pictures.
func unpaired(files []string, pictures, masks map[string]int, samples []paired) []string {
	used := map[string]bool{}
	for _, s := range samples {
		used[s.picture], used[s.mask] = true, true
	}
	var notes []string
	for _, k := range []struct {
		what string
		of   map[string]int
	}{{"pictures without a mask are left out", pictures}, {"masks without a picture are left out", masks}} {
		n, first := 0, len(files)
		for _, i := range k.of {
			if !used[files[i]] {
				n, first = n+1, min(first, i)
			}
		}
		if n > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d of %d, such as %s", k.what, n, len(k.of), files[first]))
		}
	}
	return notes
}

// byLists divides samples that no folder puts into a part by lists of names.
func (p *pairs) byLists(t *tree) error {
	if slices.ContainsFunc(p.samples, func(s paired) bool { return s.part != "" }) {
		return nil
	}
	for _, dir := range []string{"", "annotations/", "splits/", "lists/", vocLists} {
		if t.first(dir+"train", ".txt") == "" && t.first(dir+"trainval", ".txt") == "" {
			continue
		}
		byStem := map[string]int{}
		for i, s := range p.samples {
			byStem[s.stem] = i
		}
		listed := 0
		for _, list := range []struct{ file, part string }{{"trainval", "train"}, {"train", "train"}, {"val", "val"}, {"valid", "val"}, {"test", "test"}} {
			name := t.first(dir+list.file, ".txt")
			if name == "" {
				continue
			}
			stems, err := t.stems(name)
			if err != nil {
				return err
			}
			for _, stem := range stems {
				stem = strings.ToLower(path.Base(stem))
				i, ok := byStem[stem]
				if !ok {
					i, ok = byStem[strings.TrimSuffix(stem, path.Ext(stem))]
				}
				if ok {
					p.samples[i].part = list.part
					listed++
				}
			}
		}
		if listed == 0 {
			return fmt.Errorf("%s%s lists no picture that has a mask", t.root, dir)
		}
		all := p.samples
		p.samples = slices.DeleteFunc(slices.Clone(all), func(s paired) bool { return s.part == "" })
		if n := len(all) - len(p.samples); n > 0 {
			p.notes = append(p.notes, fmt.Sprintf("pictures that no list in %s%s names are left out: %d of %d", t.root, dir, n, len(all)))
		}
		return nil
	}
	return nil
}

// commonFolder returns the folder that holds all samples, without folders that say
// which part or what a file is.
func commonFolder(samples []paired) string {
	common := path.Dir(samples[0].picture) + "/"
	for _, s := range samples {
		for _, f := range []string{s.picture, s.mask} {
			for !strings.HasPrefix(f, common) && common != "./" && common != "" {
				common = parent(common)
			}
		}
	}
	for common != "" && common != "./" {
		if part, role := folderWords(strings.ToLower(path.Base(common))); part == "" && role == "" {
			break
		}
		common = parent(common)
	}
	if common == "./" {
		return ""
	}
	return common
}

// parent returns the folder that holds a folder, both with a slash at the end.
func parent(dir string) string {
	up := path.Dir(strings.TrimSuffix(dir, "/"))
	if up == "." {
		return ""
	}
	return up + "/"
}
