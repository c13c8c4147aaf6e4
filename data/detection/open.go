package detection

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Options are the choices of [Open]. The zero value is the usual one.
type Options struct {
	// Options hold the limits of picture files and the share of the training pictures
	// that is held out where there is no validation part.
	data.Options
	// MaxAnnotationBytes is the limit of a file of annotations, unpacked; 0 means
	// DefaultMaxAnnotationBytes.
	MaxAnnotationBytes int64
}

// DefaultMaxAnnotationBytes is the default limit of a file of annotations, four
// times the size of COCO's largest. Reading it takes several times its size in memory.
const DefaultMaxAnnotationBytes = 2 << 30

func (o Options) annotationLimit() int64 {
	if o.MaxAnnotationBytes > 0 {
		return o.MaxAnnotationBytes
	}
	return DefaultMaxAnnotationBytes
}

// Kinds returns the kinds of dataset that a SPEC of [Open] may start with.
func Kinds() []string { return []string{"coco", "voc"} }

// Splits are the parts of a dataset. Parts that it does not have are nil.
type Splits struct {
	Spec             string
	Train, Val, Test *Dataset
	// Notes describe decisions that a user may want to know.
	Notes []string
	// Findings are likely mistakes in the annotations. What they name was left out or
	// filled in as Finding.What describes.
	Findings []Finding

	files *data.Files
}

// part is a part and its name.
type part struct {
	name string
	ds   *Dataset
}

func (s *Splits) parts() []part {
	var ps []part
	for _, p := range []part{{"train", s.Train}, {"val", s.Val}, {"test", s.Test}} {
		if p.ds != nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// Split returns a part by its name: train, val or test.
func (s *Splits) Split(name string) (*Dataset, error) {
	var have []string
	for _, p := range s.parts() {
		if p.name == name {
			return p.ds, nil
		}
		have = append(have, p.name)
	}
	return nil, fmt.Errorf("detection: %s has no part %q, only %s", s.Spec, name, strings.Join(have, ", "))
}

// Classes returns the names of the classes, which all parts share.
func (s *Splits) Classes() []string {
	for _, p := range s.parts() {
		return p.ds.Classes()
	}
	return nil
}

// Data returns the parts as package data takes them: pictures with the classes of
// their objects as labels.
func (s *Splits) Data() *data.Splits {
	d := &data.Splits{Spec: s.Spec, Notes: s.Notes}
	for _, p := range s.parts() {
		switch p.name {
		case "train":
			d.Train = p.ds
		case "val":
			d.Val = p.ds
		default:
			d.Test = p.ds
		}
	}
	return d
}

// Close closes the files that the parts read from, which must not be used
// afterwards.
func (s *Splits) Close() error {
	if s.files == nil {
		return nil
	}
	return s.files.Close()
}

// Open opens the dataset that spec names, KIND:PATH, a folder or a zip of it:
//
//	coco:DIR, coco:FILE.zip   COCO's JSON; see [OpenCOCO]
//	coco:FILE.json            one file of annotations, whose pictures are in its folder or,
//	                          if that has the name annotations, in the folder above
//	voc:DIR, voc:FILE.zip     Pascal VOC's XML; see [OpenVOC]
//
// Each part of the dataset has the same classes. What is wrong in the annotations but
// can be left out is in Findings; an annotation that cannot be read is an error that
// names the file, the annotation's id and the field. Close the splits when done.
func Open(spec string, opt Options) (*Splits, error) {
	kind, name, ok := strings.Cut(spec, ":")
	if !ok || name == "" {
		return nil, fmt.Errorf("detection: %q is not of the form KIND:PATH, such as coco:boxes (kinds: %s)", spec, strings.Join(Kinds(), ", "))
	}
	if slices.Contains(data.Kinds(), kind) {
		return nil, fmt.Errorf("detection: %s has no boxes of objects: name a dataset that has them, by %s:PATH", spec, strings.Join(Kinds(), ":PATH or "))
	}
	if !slices.Contains(Kinds(), kind) {
		return nil, fmt.Errorf("detection: unknown kind of dataset %q in %q%s", kind, spec, suggest.Phrase(kind, Kinds()))
	}
	s, err := open(kind, name, opt)
	if err != nil {
		return nil, fmt.Errorf("detection: %s: %w", spec, err)
	}
	s.Spec = spec
	return s, nil
}

// OpenData is [Open] for those that take the datasets of package data: its parts are
// *Dataset, and the findings are notes.
func OpenData(spec string, opt data.Options) (*data.Splits, error) {
	s, err := Open(spec, Options{Options: opt})
	if err != nil {
		return nil, err
	}
	d := s.Data()
	for _, f := range s.Findings {
		d.Notes = append(d.Notes, f.String())
	}
	d.OnClose(s.Close)
	return d, nil
}

func open(kind, name string, opt Options) (*Splits, error) {
	only := ""
	if strings.EqualFold(filepath.Ext(name), ".json") {
		if kind != "coco" {
			return nil, fmt.Errorf("%s is a JSON file: give coco:%s, or the folder that has Annotations", name, name)
		}
		if info, err := os.Stat(name); err != nil {
			return nil, err
		} else if !info.IsDir() {
			name, only = filepath.Dir(name), filepath.Base(name)
			if abs, err := filepath.Abs(name); err == nil && strings.EqualFold(filepath.Base(abs), "annotations") {
				// Its pictures are beside this folder, not in it.
				name, only = filepath.Dir(abs), filepath.Base(abs)+"/"+only
			}
		}
	}
	files, err := data.OpenFiles(name, opt.Options)
	if err != nil {
		return nil, err
	}
	var s *Splits
	if kind == "coco" {
		s, err = openCOCO(files, only, opt)
	} else {
		s, err = openVOC(files, opt)
	}
	if err != nil {
		files.Close()
		return nil, err
	}
	s.files = files
	return s, nil
}

// OpenCOCO opens COCO's JSON in fsys: annotations/instances_train2017.json with
// pictures in train2017/, CVAT's annotations/instances_default.json with images/,
// Roboflow's train/_annotations.coco.json and the same in valid/ and test/, Label
// Studio's result.json with images/, or any JSON file of that form. The part is taken
// from the names of the file and its folders; a file without such a name is the training
// part. Pictures are found by the end of file_name, so that absolute paths and prefixes
// of another machine do no harm. Classes are the categories by rising id, which may
// begin at 0 and have gaps.
func OpenCOCO(fsys fs.FS, opt Options) (*Splits, error) {
	return openCOCO(data.FilesOf(fsys, opt.Options), "", opt)
}

// OpenVOC opens Pascal VOC's XML in fsys: Annotations/ with JPEGImages/, and parts by
// the lists in ImageSets/Main; or XML files beside their pictures, in folders train/,
// valid/ and test/ or in one. Masks come from SegmentationObject/ where that has a
// file for the picture. Classes are those of CVAT's labelmap.txt, or else those that
// occur, sorted by name, but in the challenge's order if they are its 20. Coordinates
// count from 1, as in the challenge, unless a box begins at 0 or most have a decimal
// point.
func OpenVOC(fsys fs.FS, opt Options) (*Splits, error) {
	return openVOC(data.FilesOf(fsys, opt.Options), opt)
}

// finish holds out a validation part.
func (s *Splits) finish(opt Options) (*Splits, error) {
	if len(s.parts()) == 0 {
		return nil, fmt.Errorf("no pictures found: %w", fs.ErrNotExist)
	}
	share := opt.ValFraction
	if share == 0 && s.Test == nil {
		share = 0.1
	}
	if !(share < 1) {
		return nil, fmt.Errorf("cannot hold out %v of the training pictures for validation: give a share below 1", share)
	}
	if s.Val != nil || s.Train == nil || share <= 0 || s.Train.Len() < 2 {
		return s, nil
	}
	held := s.Train.heldOut(share, opt.Seed)
	var out, in []int
	for i := range s.Train.Pictures {
		if held[i] {
			out = append(out, i)
		} else {
			in = append(in, i)
		}
	}
	if len(out) == 0 {
		return s, nil
	}
	s.Notes = append(s.Notes, fmt.Sprintf("no validation part: held out %d of %d training pictures, class by class (share %g, seed %d)", len(out), len(in)+len(out), share, opt.Seed))
	s.Train, s.Val = s.Train.Subset(in), s.Train.Subset(out)
	return s, nil
}

// heldOut returns which pictures are held out for validation: as data.HoldOut, that share
// of the pictures of each class, the class being that of the first object, but at least
// one picture with objects where there are two, since nothing can be measured without;
// and that share of the pictures without objects.
func (d *Dataset) heldOut(share float64, seed uint64) []bool {
	const none = -1 // the class of pictures without objects
	class := func(i int) int {
		if at := slices.IndexFunc(d.Pictures[i].Objects, d.Pictures[i].counts); at >= 0 {
			return d.Pictures[i].Objects[at].Class
		}
		return none
	}
	held := make([]bool, d.Len())
	with, some := 0, false
	for _, all := range data.Draw(d.Len(), class, d.Name, seed) {
		n, objects := int(share*float64(len(all))+0.5), class(all[0]) != none
		if objects {
			n = max(n, 1)
			with += len(all)
		}
		n = min(n, len(all)-1)
		for _, i := range all[:n] {
			held[i] = true
		}
		some = some || objects && n > 0
	}
	if !some && with > 1 || with == 0 && !slices.Contains(held, true) { // each class is in one picture, or there is none
		groups := data.Draw(d.Len(), func(i int) int { return min(class(i), 0) }, d.Name, seed) // with objects last
		held[groups[len(groups)-1][0]] = true
	}
	return held
}

// counts reports whether an object of the picture counts in the evaluation.
func (p *Picture) counts(o Object) bool {
	return !o.Crowd && o.Box[2] > 0 && o.Box[3] > 0 && !p.outside(o.Box)
}

// outside reports whether a box has nothing in common with the picture, if its size is
// known.
func (p *Picture) outside(b [4]float64) bool {
	if !(b[2] > 0 && b[3] > 0) {
		return false
	}
	if p.W <= 0 || p.H <= 0 {
		return b[0]+b[2] <= 0 || b[1]+b[3] <= 0
	}
	c := clip(b, float64(p.W), float64(p.H))
	return !(c[2] > 0 && c[3] > 0)
}

func (s *Splits) set(name string, d *Dataset) {
	switch name {
	case "train":
		s.Train = d
	case "val":
		s.Val = d
	default:
		s.Test = d
	}
}

// partOf returns the part that the name of a file or of the folders above it gives,
// the nearest first, and "" if none does.
func partOf(name string) string {
	for name = strings.TrimSuffix(name, path.Ext(name)); name != "." && name != "/" && name != ""; name = path.Dir(name) {
		words := strings.FieldsFunc(strings.ToLower(path.Base(name)), func(r rune) bool { return r < 'a' || r > 'z' })
		for _, w := range words {
			switch w {
			case "train", "training", "trainval":
				return "train"
			case "val", "valid", "validation", "minival":
				return "val"
			case "test", "testing":
				return "test"
			}
		}
	}
	return ""
}

func (o Options) imaging() imaging.DecodeOptions {
	return imaging.DecodeOptions{MaxPixels: o.MaxPixels}
}
