package detection

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Finding is one kind of likely mistake in the annotations of a part.
type Finding struct {
	Part     string   `json:"part"`
	Kind     Kind     `json:"kind"`
	What     string   `json:"what"` // in words, and what was done
	Count    int      `json:"count"`
	Examples []string `json:"examples"` // up to five: file, id
	// Wrong is set if data are lost or a model would learn something wrong.
	Wrong bool `json:"wrong"`
}

// Kind is a kind of finding.
type Kind string

// The kinds of findings.
const (
	MissingPicture   Kind = "missing_picture"
	AmbiguousPicture Kind = "ambiguous_picture"
	DuplicatePicture Kind = "duplicate_picture_id"
	DuplicateObject  Kind = "duplicate_annotation_id"
	MissingID        Kind = "missing_annotation_id"
	ZeroID           Kind = "annotation_id_0"
	UnknownPicture   Kind = "unknown_picture"
	UnknownCategory  Kind = "unknown_category"
	NoBox            Kind = "no_box"
	ZeroArea         Kind = "zero_area_box"
	Outside          Kind = "box_outside"
	WhollyOutside    Kind = "box_wholly_outside"
	SameName         Kind = "categories_of_one_name"
	NoName           Kind = "category_without_name"
	BadName          Kind = "category_name_not_utf8"
	NoObjects        Kind = "no_objects"
	BadPolygon       Kind = "bad_polygon"
	MaskSize         Kind = "mask_of_another_size"
	Crowd            Kind = "crowd"
	Empty            Kind = "picture_without_objects"
	NoDifficult      Kind = "missing_difficult"
	BadMask          Kind = "bad_mask"
	NoAnnotations    Kind = "no_annotations"
)

var kinds = map[Kind]struct {
	what  string
	wrong bool
}{
	MissingPicture:   {"pictures whose file is not there, which were left out", true},
	AmbiguousPicture: {"pictures whose name fits several files, which were left out", true},
	DuplicatePicture: {"pictures with the id of an earlier one, which were left out", true},
	DuplicateObject:  {"annotations with the id of an earlier one, which got another", false},
	MissingID:        {"annotations without an id, which got one", false},
	ZeroID:           {"annotations with the id 0, which COCO's evaluation never counts as found", false},
	UnknownPicture:   {"annotations of a picture that is not listed, which were left out", true},
	UnknownCategory:  {"annotations of a category that is not listed, which were left out", true},
	NoBox:            {"annotations with neither a box nor a mask, which were left out", true},
	ZeroArea:         {"boxes without area, which training leaves out", true},
	Outside:          {"boxes that reach more than a pixel outside of their picture, which training cuts", true},
	WhollyOutside:    {"boxes that lie wholly outside of their picture, which training leaves out", true},
	SameName:         {"categories of the name of another, which are classes of their own", true},
	NoName:           {"categories without a name, whose number is taken", true},
	BadName:          {"categories whose name is not UTF-8: write the file again as UTF-8", true},
	NoObjects:        {"parts in which no picture has an object", true},
	BadPolygon:       {"polygons of fewer than three corners or an odd number of coordinates, which were left out", false},
	MaskSize:         {"masks of another size than their picture, which were left out", true},
	BadMask:          {"pictures with a mask that cannot be drawn, where training stops", true},
	NoAnnotations:    {"pictures without a file of annotations, which count as without objects", false},
	Crowd:            {"crowds, which training leaves out", false},
	Empty:            {"pictures without objects, which training leaves out", false},
	NoDifficult:      {"objects without the field difficult, which count as not difficult", false},
}

const maxExamples = 5

// findings collects the findings of one part.
type findings struct {
	part string
	by   map[Kind]*Finding
}

func newFindings(part string) *findings { return &findings{part, map[Kind]*Finding{}} }

func (f *findings) add(k Kind, format string, args ...any) {
	g := f.by[k]
	if g == nil {
		g = &Finding{Part: f.part, Kind: k, What: kinds[k].what, Wrong: kinds[k].wrong}
		f.by[k] = g
	}
	g.Count++
	if len(g.Examples) < maxExamples {
		g.Examples = append(g.Examples, fmt.Sprintf(format, args...))
	}
}

func (f *findings) sorted() []Finding {
	var all []Finding
	for _, g := range f.by {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Finding) int {
		if a.Wrong != b.Wrong {
			if a.Wrong {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Kind, b.Kind)
	})
	return all
}

// String returns the finding as one line.
func (f Finding) String() string {
	more := ""
	if f.Count > len(f.Examples) {
		more = ", …"
	}
	return fmt.Sprintf("%s: %s: %d (%s%s)", f.Part, f.What, f.Count, strings.Join(f.Examples, "; "), more)
}

// inspect adds what can be seen in the objects of a part.
func (f *findings) inspect(d *Dataset) {
	objects := 0
	for i := range d.Pictures {
		p := &d.Pictures[i]
		objects += len(p.Objects)
		if !slices.ContainsFunc(p.Objects, func(o Object) bool { return o.Crowd || p.counts(o) }) {
			f.add(Empty, "%s", p.Name)
		}
		for _, o := range p.Objects {
			if o.Crowd {
				f.add(Crowd, "%s, id %d", p.Name, o.ID)
			}
			if !(o.Box[2] > 0 && o.Box[3] > 0) {
				f.add(ZeroArea, "%s, id %d: %v", p.Name, o.ID, o.Box)
			}
			if p.outside(o.Box) {
				f.add(WhollyOutside, "%s, id %d: %v in %d x %d pixels", p.Name, o.ID, o.Box, p.W, p.H)
			} else if p.W > 0 && p.H > 0 && (o.Box[0] < -1 || o.Box[1] < -1 || o.Box[0]+o.Box[2] > float64(p.W)+1 || o.Box[1]+o.Box[3] > float64(p.H)+1) {
				f.add(Outside, "%s, id %d: %v in %d x %d pixels", p.Name, o.ID, o.Box, p.W, p.H)
			}
		}
	}
	if objects == 0 {
		f.add(NoObjects, "%d pictures", len(d.Pictures))
	}
}
