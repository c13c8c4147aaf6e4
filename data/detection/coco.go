package detection

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/masks"
)

var (
	// usualNames are the names that programs give files of objects.
	usualNames = regexp.MustCompile(`^(instances.*|.*[._]coco|_annotations.*|annotations|result|coco.*|labels)\.json$`)
	// otherTasks are COCO's files for other tasks, which lie beside.
	otherTasks = regexp.MustCompile(`^(captions|person_keypoints|image_info|stuff|panoptic)_.*\.json$`)
)

// maxFiles limits how many JSON files are tried.
const maxFiles = 64

// annotationFiles returns the files that may hold the annotations; sure is set if
// their names are those of such files.
func annotationFiles(files []string) (found []string, sure bool) {
	var usual, all []string
	for _, f := range files {
		base := strings.ToLower(path.Base(f))
		switch {
		case path.Ext(base) != ".json" || otherTasks.MatchString(base):
		case usualNames.MatchString(base):
			usual = append(usual, f)
		default:
			all = append(all, f)
		}
	}
	if len(usual) > 0 {
		return usual, true
	}
	return all, false
}

func openCOCO(files *data.Files, only string, opt Options) (*Splits, error) {
	names, err := files.List()
	if err != nil {
		return nil, err
	}
	candidates, sure := annotationFiles(names)
	if only != "" {
		candidates, sure = []string{only}, true
	}
	if len(candidates) > maxFiles {
		return nil, fmt.Errorf("there are %d JSON files: name the one with the annotations, as coco:FILE.json", len(candidates))
	}
	by := map[string]*cocoFile{}
	var reason error
	for _, n := range candidates {
		f, err := readCOCOFile(files, n, opt.annotationLimit())
		if err != nil && (!sure || errors.Is(err, errNotCOCO) && len(candidates) > 1) {
			if reason == nil || errors.Is(reason, errNotCOCO) {
				reason = err // that of a file with annotations, if there is one
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		part := cmp.Or(partOf(n), "train")
		if by[part] != nil {
			return nil, fmt.Errorf("both %s and %s are the %s part: name the one to take, as coco:FILE.json", by[part].name, n, part)
		}
		by[part] = f
	}
	if len(by) == 0 {
		if reason != nil {
			return nil, reason
		}
		return nil, fmt.Errorf("no JSON file of annotations, such as annotations/instances_train.json or _annotations.coco.json: %w", fs.ErrNotExist)
	}
	s := new(Splits)
	categories, classes, err := s.categories(by)
	if err != nil {
		return nil, err
	}
	locate := newLocator(names)
	for _, part := range []string{"train", "val", "test"} {
		f := by[part]
		if f == nil {
			continue
		}
		found := newFindings(part)
		d := &Dataset{Categories: categories, classes: classes, files: files, decode: opt.imaging()}
		f.link(d, found, locate, part)
		if len(f.images) == 0 {
			return nil, fmt.Errorf("%s: its list \"images\" is empty", f.name)
		}
		if len(d.Pictures) == 0 {
			return nil, fmt.Errorf("%s: none of its %d pictures is there, such as %q", f.name, len(f.images), firstName(f))
		}
		f.inspectNames(found)
		found.inspect(d)
		s.Findings = append(s.Findings, found.sorted()...)
		s.set(part, d)
	}
	return s.finish(opt)
}

// inspectNames adds what is wrong with the names of the categories.
func (f *cocoFile) inspectNames(found *findings) {
	ids := map[string]int64{}
	for _, c := range f.categories {
		name := strings.TrimSpace(string(c.Name))
		first, twice := ids[name]
		switch {
		case name == "":
			found.add(NoName, "%s, id %d", f.name, c.ID.n)
			continue
		case twice && first != c.ID.n:
			found.add(SameName, "%s, ids %d and %d: %s", f.name, first, c.ID.n, name)
		}
		ids[name] = c.ID.n
		if strings.ContainsRune(name, utf8.RuneError) {
			found.add(BadName, "%s, id %d: %s", f.name, c.ID.n, name)
		}
	}
}

func firstName(f *cocoFile) string {
	if len(f.images) == 0 {
		return ""
	}
	return string(f.images[0].FileName)
}

func readCOCOFile(files *data.Files, name string, limit int64) (*cocoFile, error) {
	r, err := files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	return readCOCO(name, r, limit)
}

// categories returns the ids and names of the categories of all files. It is an error
// if an id has two names.
func (s *Splits) categories(by map[string]*cocoFile) (ids []int64, classes []string, err error) {
	names, from := map[int64]string{}, map[int64]string{}
	used := map[int64]bool{}
	var lists [][]int64
	for _, part := range []string{"train", "val", "test"} {
		f := by[part]
		if f == nil {
			continue
		}
		var list []int64
		for i, c := range f.categories {
			if c.ID.s != "" {
				return nil, nil, fmt.Errorf("%s: category %d: id is %q, must be a whole number", f.name, i+1, c.ID.s)
			}
			n, ok := names[c.ID.n]
			name := cmp.Or(strings.TrimSpace(string(c.Name)), fmt.Sprint(c.ID.n))
			if ok && n != name && from[c.ID.n] == f.name {
				return nil, nil, fmt.Errorf("%s: category %d is there twice, with the names %q and %q: give one of them another id", f.name, c.ID.n, n, name)
			}
			if ok && n != name {
				return nil, nil, fmt.Errorf("%s: category %d has the name %q, but %q in %s: the parts need the same categories", f.name, c.ID.n, name, n, from[c.ID.n])
			}
			names[c.ID.n], from[c.ID.n] = name, f.name
			list = append(list, c.ID.n)
		}
		for _, o := range f.objects {
			used[o.CategoryID.n] = true
		}
		slices.Sort(list)
		lists = append(lists, slices.Compact(list))
	}
	for id := range names {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) == 0 {
		var files []string
		for _, part := range []string{"train", "val", "test"} {
			if by[part] != nil {
				files = append(files, by[part].name)
			}
		}
		return nil, nil, fmt.Errorf("%s: the list of categories is empty or missing: list the classes in \"categories\", as {\"id\": 1, \"name\": \"car\"}", strings.Join(files, ", "))
	}
	for _, l := range lists[1:] {
		if !slices.Equal(l, lists[0]) {
			s.Notes = append(s.Notes, "the parts list different categories: all of them are classes")
			break
		}
	}
	if group, ok := roboflowGroup(by, used); ok && len(ids) > 1 {
		s.Notes = append(s.Notes, fmt.Sprintf("left out the category %q (id %d), which only groups the others and has no objects", names[group], group))
		ids = slices.DeleteFunc(ids, func(id int64) bool { return id == group })
	}
	for _, id := range ids {
		classes = append(classes, names[id])
	}
	return ids, classes, nil
}

// roboflowGroup returns the category that Roboflow adds: the supercategory of all
// others.
func roboflowGroup(by map[string]*cocoFile, used map[int64]bool) (int64, bool) {
	for _, f := range by {
		for _, c := range f.categories {
			if c.Supercategory != "none" || used[c.ID.n] {
				continue
			}
			groups := !slices.ContainsFunc(f.categories, func(o cocoCategory) bool {
				return o.ID.n != c.ID.n && o.Supercategory != c.Name
			})
			if groups {
				return c.ID.n, true
			}
		}
	}
	return 0, false
}

// link puts the objects into their pictures.
func (f *cocoFile) link(d *Dataset, found *findings, locate *locator, part string) {
	dir := path.Dir(f.name)
	at := make(map[id]int, len(f.images)) // index of the picture, -1 for one that is left out
	next := int64(0)
	for _, m := range f.images {
		next = max(next, m.ID.n+1)
	}
	for _, m := range f.images {
		key := m.ID.id()
		if _, twice := at[key]; twice {
			found.add(DuplicatePicture, "%s, id %v: %s", f.name, key, m.FileName)
			continue
		}
		at[key] = -1
		file, several := locate.find(string(m.FileName), dir, part)
		switch {
		case several:
			found.add(AmbiguousPicture, "%s, id %v: %s", f.name, key, m.FileName)
			continue
		case file == "":
			found.add(MissingPicture, "%s, id %v: %s", f.name, key, m.FileName)
			continue
		}
		p := Picture{ID: m.ID.n, Name: file, W: int(m.Width.v), H: int(m.Height.v)}
		if key.s != "" { // an id that is a text: COCO's results need a number
			p.ID = next
			next++
		}
		at[key] = len(d.Pictures)
		d.Pictures = append(d.Pictures, p)
	}
	fresh := int64(1)
	for _, o := range f.objects {
		fresh = max(fresh, o.ID.n+1)
	}
	ids := make(map[int64]bool, len(f.objects))
	for i := range f.objects {
		c := &f.objects[i]
		where := func() string { return fmt.Sprintf("%s, annotation %d, id %v", f.name, i+1, c.ID.id()) }
		p, ok := at[c.ImageID.id()]
		if !ok {
			found.add(UnknownPicture, "%s: image_id %v", where(), c.ImageID.id())
			continue
		}
		class, ok := slices.BinarySearch(d.Categories, c.CategoryID.n)
		if !ok || c.CategoryID.s != "" {
			found.add(UnknownCategory, "%s: category_id %v", where(), c.CategoryID.id())
			continue
		}
		if p < 0 {
			continue // its picture is a finding already
		}
		o := Object{ID: c.ID.n, Class: class, Crowd: c.IsCrowd.v != 0}
		if !c.ID.set || c.ID.s != "" || ids[o.ID] {
			if c.ID.set && ids[o.ID] && c.ID.s == "" {
				found.add(DuplicateObject, "%s", where())
			} else if !c.ID.set {
				found.add(MissingID, "%s, annotation %d", f.name, i+1)
			}
			o.ID = fresh
			fresh++
		}
		ids[o.ID] = true
		if o.ID == 0 && !o.Crowd {
			found.add(ZeroID, "%s", where())
		}
		if !c.outline(&o, &d.Pictures[p], found, where) {
			continue
		}
		d.Pictures[p].Objects = append(d.Pictures[p].Objects, o)
	}
}

// outline sets the mask, the box and the area of an object. It reports whether there
// is a box.
func (c *cocoObject) outline(o *Object, p *Picture, found *findings, where func() string) bool {
	for range c.Segmentation.odd {
		found.add(BadPolygon, "%s", where())
	}
	o.polygons, o.runs = c.Segmentation.polygons, c.Segmentation.runs
	if r := o.runs; r != nil && p.W > 0 && p.H > 0 && (r.W != p.W || r.H != p.H) {
		found.add(MaskSize, "%s: %d x %d in %d x %d pixels", where(), r.W, r.H, p.W, p.H)
		o.runs = nil
	}
	switch {
	case c.Bbox.set:
		o.Box = c.Bbox.v
	case o.runs != nil:
		o.Box = o.runs.Box()
	case o.polygons != nil:
		o.Box = extent(o.polygons)
	default:
		found.add(NoBox, "%s", where())
		return false
	}
	o.Area = o.Box[2] * o.Box[3]
	switch {
	case c.Area.set:
		o.Area = c.Area.v
	case o.runs != nil:
		o.Area = float64(o.runs.Area())
	case o.polygons != nil && p.W > 0 && p.H > 0:
		if r, err := masks.FromPolygons(o.polygons, p.H, p.W); err == nil {
			o.Area = float64(r.Area())
		}
	}
	return true
}

// extent returns the box around polygons.
func extent(polygons [][]float64) [4]float64 {
	x0, y0, x1, y1 := polygons[0][0], polygons[0][1], polygons[0][0], polygons[0][1]
	for _, p := range polygons {
		for i := 0; i+1 < len(p); i += 2 {
			x0, x1 = min(x0, p[i]), max(x1, p[i])
			y0, y1 = min(y0, p[i+1]), max(y1, p[i+1])
		}
	}
	return [4]float64{x0, y0, x1 - x0, y1 - y0}
}
