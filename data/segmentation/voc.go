package segmentation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/plaintext"
	"github.com/resnet-go/resnet/models"
)

// vocLists is the folder of Pascal VOC's lists of samples.
const vocLists = "ImageSets/Segmentation/"

// OpenVOC opens Pascal VOC's layout: JPEGImages, SegmentationClass and
// ImageSets/Segmentation with train.txt and val.txt, in the folder itself or, as in
// VOCdevkit/VOC2012, below it; of several years the last one is taken. Masks are
// PNG files whose palette indices are classes, and 255 is the border of objects. The
// classes are VOC's 21, or those of a labelmap.txt, as CVAT writes it (see
// [OpenMasks]), whose masks may have colors instead.
func OpenVOC(ctx context.Context, files *data.Files, opt data.Options) (*data.Splits, error) {
	all, err := files.List()
	if err != nil {
		return nil, err
	}
	root, found := "", false
	for _, f := range all { // sorted, so that the last year is found last
		if at, ok := strings.CutSuffix(path.Dir(f)+"/", vocLists); ok && path.Ext(f) == ".txt" && (at == "" || strings.HasSuffix(at, "/")) {
			root, found = at, true
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no %s with lists of samples, as in VOCdevkit/VOC2012: for other folders of pictures and masks use masks:DIR", strings.TrimSuffix(vocLists, "/"))
	}
	t := tree{root: root, files: files, has: map[string]bool{}}
	for _, f := range all {
		if rest, ok := strings.CutPrefix(f, root); ok {
			t.has[rest] = true
		}
	}
	c, err := t.classes()
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = &classes{names: models.VOCNames()}
	}
	s := new(data.Splits)
	for _, part := range []struct {
		lists []string
		to    *data.Dataset
	}{{[]string{"train.txt", "default.txt"}, &s.Train}, {[]string{"val.txt"}, &s.Val}, {[]string{"test.txt"}, &s.Test}} {
		for _, list := range part.lists {
			if !t.has[vocLists+list] {
				continue
			}
			ds, err := t.vocPart(vocLists+list, c, opt)
			if errors.Is(err, errNoMasks) { // VOC's test part has none
				s.Notes = append(s.Notes, err.Error()+": that part is left out")
				continue
			}
			if err != nil {
				return nil, err
			}
			*part.to = ds
		}
	}
	if s.Train == nil && t.has[vocLists+"trainval.txt"] {
		ds, err := t.vocPart(vocLists+"trainval.txt", c, opt)
		if err != nil {
			return nil, err
		}
		s.Train = ds
	}
	return s.Finish(opt)
}

var errNoMasks = errors.New("there are no masks")

// vocPart reads a list of samples.
func (t *tree) vocPart(list string, c *classes, opt data.Options) (*set, error) {
	stems, err := t.stems(list)
	if err != nil {
		return nil, err
	}
	ds := t.set(c, opt)
	var missing []string
	for _, stem := range stems {
		picture := t.first("JPEGImages/"+stem, ".jpg", ".jpeg", ".JPG", ".png", ".PNG", ".bmp", ".webp")
		mask := t.first("SegmentationClass/"+stem, ".png", ".PNG")
		switch {
		case picture == "":
			return nil, fmt.Errorf("%s%s lists %s, but there is no JPEGImages/%s.jpg: %w", t.root, list, stem, stem, fs.ErrNotExist)
		case mask == "":
			missing = append(missing, stem)
			continue
		}
		ds.samples = append(ds.samples, sample{t.root + picture, t.root + mask})
	}
	switch {
	case len(ds.samples) == 0:
		return nil, fmt.Errorf("%s%s: %w in SegmentationClass for its %d pictures", t.root, list, errNoMasks, len(stems))
	case len(missing) > 0:
		return nil, fmt.Errorf("%s%s: %d of its %d pictures have no mask in SegmentationClass, such as %s.png: %w", t.root, list, len(missing), len(stems), missing[0], fs.ErrNotExist)
	}
	return ds, nil
}

// tree is a folder of a dataset's files.
type tree struct {
	root  string // with a slash at the end, or empty
	files *data.Files
	has   map[string]bool // paths below root
}

func (t *tree) read(name string) ([]byte, error) {
	b, err := t.files.Read(t.root+name, nil)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", t.root, name, err)
	}
	return b, nil
}

// first returns the first file of that name with one of the endings, or "".
func (t *tree) first(name string, ends ...string) string {
	for _, end := range ends {
		if t.has[name+end] {
			return name + end
		}
	}
	return ""
}

// stems returns the first word of each line of a file, without those that begin
// with #.
func (t *tree) stems(list string) ([]string, error) {
	b, err := t.read(list)
	if err != nil {
		return nil, err
	}
	if b, err = plaintext.Decode(b); err != nil {
		return nil, fmt.Errorf("%s%s: %w", t.root, list, err)
	}
	var stems []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") || seen[words[0]] {
			continue
		}
		seen[words[0]] = true
		stems = append(stems, words[0])
	}
	if len(stems) == 0 {
		return nil, fmt.Errorf("%s%s lists no samples", t.root, list)
	}
	return slices.Clip(stems), nil
}

func (t *tree) set(c *classes, opt data.Options) *set {
	return &set{files: t.files, classes: c.names, read: c.read, opt: opt}
}
