package detection

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/limitread"
)

// vocClasses are the classes of the challenge, in its order.
var vocClasses = []string{"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"}

// maxXML is the limit of the annotations of one picture.
const maxXML = 16 << 20

type vocXML struct {
	XMLName  xml.Name    `xml:"annotation"`
	Filename string      `xml:"filename"`
	Width    string      `xml:"size>width"`
	Height   string      `xml:"size>height"`
	Objects  []vocObject `xml:"object"`
}

type vocObject struct {
	Names     []string `xml:"name"`
	Difficult []string `xml:"difficult"`
	Boxes     []vocBox `xml:"bndbox"`
}

type vocBox struct {
	Xmin []string `xml:"xmin"`
	Ymin []string `xml:"ymin"`
	Xmax []string `xml:"xmax"`
	Ymax []string `xml:"ymax"`
}

// vocPicture is what one XML file gives.
type vocPicture struct {
	file     string // of the XML
	missing  bool   // there is no such file: the picture is in a list only
	filename string
	w, h     int
	objects  []vocEntry
}

type vocEntry struct {
	class     string
	box       [4]float64 // xmin, ymin, xmax, ymax as in the file
	hasBox    bool
	difficult bool
	known     bool // difficult is in the file
	point     bool // the coordinates are written with a decimal point
}

// parseVOC reads one file. The error names the object and the field.
func parseVOC(file string, text []byte) (*vocPicture, error) {
	dec := xml.NewDecoder(bytes.NewReader(text))
	dec.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "ascii", "us-ascii", "utf8":
			return r, nil
		case "iso-8859-1", "latin1", "windows-1252":
			b, err := io.ReadAll(r)
			return strings.NewReader(latin1(b)), err
		}
		return nil, fmt.Errorf("the encoding %s is not known: write the file as UTF-8", charset)
	}
	var x vocXML
	if err := dec.Decode(&x); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file has no <annotation>")
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := onlyRoot(dec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &vocPicture{file: file, filename: strings.TrimSpace(x.Filename)}
	// Many files have no size, or 0.
	p.w, p.h = size(x.Width), size(x.Height)
	for i, o := range x.Objects {
		class := ""
		if len(o.Names) > 0 {
			class = strings.TrimSpace(o.Names[0])
		}
		if class == "" {
			return nil, fmt.Errorf("%s: object %d: name is missing, must be the class", file, i+1)
		}
		twice := func(field string) error {
			return fmt.Errorf("%s: object %d (%s) has %s more than once: keep one, or make it two objects", file, i+1, class, field)
		}
		switch {
		case len(o.Names) > 1:
			return nil, twice("name")
		case len(o.Difficult) > 1:
			return nil, twice("difficult")
		case len(o.Boxes) > 1:
			return nil, twice("bndbox")
		}
		e := vocEntry{class: class}
		if len(o.Difficult) > 0 && strings.TrimSpace(o.Difficult[0]) != "" {
			e.known = true
			switch v := strings.ToLower(strings.TrimSpace(o.Difficult[0])); v {
			case "0", "false", "no", "unspecified":
			case "1", "true", "yes":
				e.difficult = true
			default:
				return nil, fmt.Errorf("%s: object %d (%s): difficult is %q, must be 0 or 1", file, i+1, class, v)
			}
		}
		if len(o.Boxes) > 0 {
			e.hasBox = true
			b := o.Boxes[0]
			for k, field := range []struct {
				name  string
				texts []string
			}{{"xmin", b.Xmin}, {"ymin", b.Ymin}, {"xmax", b.Xmax}, {"ymax", b.Ymax}} {
				if len(field.texts) > 1 {
					return nil, twice(field.name)
				}
				text := strings.Join(field.texts, "")
				v, ok := decimal(text)
				if !ok {
					return nil, fmt.Errorf("%s: object %d (%s): %s is %q, must be a number", file, i+1, class, field.name, text)
				}
				e.box[k] = v
				e.point = e.point || strings.Contains(text, ".")
			}
		}
		p.objects = append(p.objects, e)
	}
	return p, nil
}

// onlyRoot returns an error if more than comments and white space follows the root,
// where the decoder stops.
func onlyRoot(dec *xml.Decoder) error {
	for {
		t, err := dec.Token()
		switch t := t.(type) {
		case xml.StartElement:
			return fmt.Errorf("line %d: a second element <%s> after the first <annotation>: a file describes one picture, so split it", inLine(dec), t.Name.Local)
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return fmt.Errorf("line %d: the file continues after </annotation>: remove what follows", inLine(dec))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after </annotation>: %w", err)
		}
	}
}

func inLine(dec *xml.Decoder) int {
	line, _ := dec.InputPos()
	return line
}

func size(s string) int {
	v, ok := decimal(s)
	if !ok || !(v > 0 && v < 1<<24) {
		return 0
	}
	return int(v)
}

// latin1 returns text in ISO 8859-1 as UTF-8.
func latin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func openVOC(files *data.Files, opt Options) (*Splits, error) {
	names, err := files.List()
	if err != nil {
		return nil, err
	}
	s := new(Splits)
	parts, err := vocParts(files, names)
	if err != nil {
		return nil, err
	}
	read := map[string][]*vocPicture{}
	var used []string
	boxes, points, zero := 0, 0, ""
	for _, part := range []string{"train", "val", "test"} {
		for _, e := range parts[part] {
			if e.missing {
				read[part] = append(read[part], &vocPicture{file: e.name, missing: true})
				continue
			}
			text, err := readXML(files, e.name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.name, err)
			}
			p, err := parseVOC(e.name, text)
			if err != nil {
				return nil, err
			}
			read[part] = append(read[part], p)
			for _, o := range p.objects {
				used = append(used, o.class)
				if !o.hasBox {
					continue
				}
				boxes++
				if o.point {
					points++
				}
				if zero == "" && min(o.box[0], o.box[1]) < 1 {
					zero = e.name
				}
			}
		}
		slices.Sort(used)
		used = slices.Compact(used)
	}
	if len(used) == 0 {
		return nil, errors.New("no XML file has an object")
	}
	classes, err := vocNames(files, names, used)
	if err != nil {
		return nil, err
	}
	shift := 1.0
	switch { // Pascal VOC's own files have a decimal point in a few boxes
	case zero != "":
		shift = 0
		s.Notes = append(s.Notes, fmt.Sprintf("coordinates count from 0, not from 1 as in Pascal VOC: a box in %s begins at 0", zero))
	case 2*points > boxes:
		shift = 0
		s.Notes = append(s.Notes, "coordinates count from 0, not from 1 as in Pascal VOC: most have a decimal point")
	}
	v := &vocLinker{classes: classes, shift: shift, stems: map[string][]string{}, masks: map[string]string{}, locate: newLocator(names)}
	v.index(names)
	id := int64(0)
	for _, part := range []string{"train", "val", "test"} {
		if read[part] == nil {
			continue
		}
		d := &Dataset{classes: classes, files: files, decode: opt.imaging()}
		for k := range classes {
			d.Categories = append(d.Categories, int64(k+1))
		}
		found := newFindings(part)
		for _, p := range read[part] {
			v.add(d, p, part, found)
		}
		if len(d.Pictures) == 0 {
			return nil, fmt.Errorf("none of the %d pictures of the %s part is there, such as that of %s", len(read[part]), part, read[part][0].file)
		}
		for i := range d.Pictures { // ids over all parts
			d.Pictures[i].ID = id + 1
			id++
		}
		found.inspect(d)
		s.Findings = append(s.Findings, found.sorted()...)
		s.set(part, d)
	}
	return s.finish(opt)
}

// vocNames returns the classes: those of CVAT's labelmap.txt, and then others that are
// used; without that file, those that are used, in the challenge's order if they are
// all of its classes.
func vocNames(files *data.Files, names, used []string) ([]string, error) {
	at := slices.IndexFunc(names, func(n string) bool { return path.Base(n) == "labelmap.txt" })
	if at < 0 {
		if len(used) == len(vocClasses) && !slices.ContainsFunc(used, func(c string) bool { return !slices.Contains(vocClasses, c) }) {
			return vocClasses, nil
		}
		return used, nil
	}
	text, err := files.Read(names[at], nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", names[at], err)
	}
	var classes []string
	for _, line := range strings.Split(string(text), "\n") {
		name, _, _ := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); name != "" && !strings.HasPrefix(name, "#") && name != "background" && !slices.Contains(classes, name) {
			classes = append(classes, name)
		}
	}
	for _, c := range used {
		if !slices.Contains(classes, c) {
			classes = append(classes, c)
		}
	}
	return classes, nil
}

func readXML(files *data.Files, name string) ([]byte, error) {
	r, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return limitread.All(r, nil, maxXML)
}

// vocListed is an XML file of a part.
type vocListed struct {
	name    string
	missing bool // it is not there
}

// vocParts returns the XML files of each part.
func vocParts(files *data.Files, names []string) (map[string][]vocListed, error) {
	xmls := map[string]string{} // by folder and stem
	var sorted, roots []string
	for _, n := range names {
		if strings.ToLower(path.Ext(n)) == ".xml" {
			xmls[strings.TrimSuffix(n, path.Ext(n))] = n
			sorted = append(sorted, n)
		}
		if dir, base := path.Split(n); strings.HasSuffix("/"+dir, "/ImageSets/Main/") && vocList(base) != "" {
			roots = append(roots, strings.TrimSuffix(strings.TrimSuffix(dir, "ImageSets/Main/"), "/"))
		}
	}
	if len(xmls) == 0 {
		return nil, fmt.Errorf("no XML files of annotations: %w", fs.ErrNotExist)
	}
	slices.Sort(roots)
	roots = slices.Compact(roots)
	if len(roots) > 1 {
		return nil, fmt.Errorf("%s and %s both have ImageSets/Main: name the folder to take, as voc:…/%s", roots[0], roots[1], path.Base(roots[1]))
	}
	parts := map[string][]vocListed{}
	if len(roots) == 0 {
		for _, n := range sorted {
			part := cmp.Or(partOf(path.Dir(n)), "train")
			parts[part] = append(parts[part], vocListed{name: n})
		}
		return parts, nil
	}
	root := roots[0]
	lists := map[string]string{} // of each part; train before trainval and default
	for _, n := range names {
		dir, base := path.Split(n)
		if dir != path.Join(root, "ImageSets/Main")+"/" || vocList(base) == "" {
			continue
		}
		if part := vocList(base); lists[part] == "" || strings.EqualFold(base, "train.txt") {
			lists[part] = n
		}
	}
	for part, list := range lists {
		text, err := files.Read(list, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		seen := map[string]bool{}
		for _, line := range strings.Split(string(text), "\n") {
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			at := path.Join(root, "Annotations", line)
			e := vocListed{name: cmp.Or(xmls[at], xmls[strings.TrimSuffix(at, path.Ext(at))])}
			if e.name == "" { // a flag may follow: -1 if a class is not in the picture
				if name, flag, ok := cutLast(line); ok && flag == "-1" {
					continue
				} else if ok && (flag == "0" || flag == "1") {
					at = path.Join(root, "Annotations", name)
					e.name = xmls[at]
				}
			}
			if e.name == "" {
				if part == "test" { // whose annotations are often not published
					continue
				}
				e = vocListed{at + ".xml", true}
			}
			if !seen[e.name] {
				parts[part] = append(parts[part], e)
				seen[e.name] = true
			}
		}
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("the lists in %s name no pictures with annotations", path.Join(root, "ImageSets/Main"))
	}
	return parts, nil
}

// cutLast cuts a line before its last word.
func cutLast(line string) (before, last string, ok bool) {
	i := strings.LastIndexAny(line, " \t")
	if i < 0 {
		return "", "", false
	}
	return strings.TrimSpace(line[:i]), line[i+1:], true
}

// vocList returns the part of a list in ImageSets/Main, and "" for lists of one class.
func vocList(base string) string {
	name, ok := strings.CutSuffix(strings.ToLower(base), ".txt")
	switch {
	case !ok:
	case name == "default": // CVAT's
		return "train"
	case !strings.Contains(name, "_"):
		return partOf(base)
	}
	return ""
}

// vocLinker finds the pictures of XML files.
type vocLinker struct {
	classes []string
	shift   float64
	stems   map[string][]string // pictures by name without ending
	masks   map[string]string   // files of SegmentationObject, by the XML file without ending
	locate  *locator
	objects int64 // so far, over all parts
}

func stem(name string) string { return strings.TrimSuffix(path.Base(name), path.Ext(name)) }

// below returns the path of a file without its ending below a folder of that name, and
// what is above the folder.
func below(name, folder string) (root, rel string, ok bool) {
	name = strings.TrimSuffix("/"+name, path.Ext(name))
	root, rel, ok = strings.Cut(name, "/"+folder+"/")
	return strings.TrimPrefix(root, "/"), rel, ok
}

func (v *vocLinker) index(names []string) {
	for _, n := range names {
		if !data.IsPicture(n) {
			continue
		}
		if _, _, ok := below(n, "SegmentationClass"); ok {
			continue
		}
		if root, rel, ok := below(n, "SegmentationObject"); ok {
			v.masks[path.Join(root, "Annotations", rel)] = n
			continue
		}
		v.stems[stem(n)] = append(v.stems[stem(n)], n)
	}
}

// picture returns the file that an XML file is about: of the same name in its folder,
// or in a folder beside, or the one that it names.
func (v *vocLinker) picture(p *vocPicture, part string) (file string, several bool) {
	found := v.stems[stem(p.file)]
	dir := path.Dir(p.file)
	places := []string{dir}
	if root, rel, ok := below(p.file, "Annotations"); ok {
		places = append(places, path.Join(root, "JPEGImages", path.Dir(rel)), path.Join(root, "images", path.Dir(rel)))
	} else {
		places = append(places, path.Join(path.Dir(dir), "JPEGImages"), path.Join(path.Dir(dir), "images"))
	}
	for _, near := range places {
		for _, f := range found {
			if path.Dir(f) == near {
				return f, false
			}
		}
	}
	if len(found) == 1 {
		return found[0], false
	}
	if p.filename != "" {
		if f, several := v.locate.find(p.filename, dir, part); f != "" || several {
			return f, several
		}
	}
	return "", len(found) > 1
}

func (v *vocLinker) add(d *Dataset, p *vocPicture, part string, found *findings) {
	file, several := v.picture(p, part)
	switch {
	case several:
		found.add(AmbiguousPicture, "%s", p.file)
		return
	case file == "":
		found.add(MissingPicture, "%s: %s", p.file, cmp.Or(p.filename, stem(p.file)))
		return
	}
	if p.missing {
		found.add(NoAnnotations, "%s", p.file)
	}
	pic := Picture{Name: file, W: p.w, H: p.h, maskFile: v.masks[strings.TrimSuffix(p.file, path.Ext(p.file))]}
	for i, e := range p.objects {
		if !e.hasBox {
			found.add(NoBox, "%s, object %d (%s)", p.file, i+1, e.class)
			continue
		}
		if !e.known {
			found.add(NoDifficult, "%s, object %d (%s)", p.file, i+1, e.class)
		}
		b := e.box
		v.objects++
		o := Object{ID: v.objects, Class: slices.Index(v.classes, e.class), Difficult: e.difficult,
			Box: [4]float64{b[0] - v.shift, b[1] - v.shift, b[2] - b[0] + v.shift, b[3] - b[1] + v.shift}}
		o.Area = o.Box[2] * o.Box[3]
		if pic.maskFile != "" && i < 254 { // 255 marks borders
			o.instance = uint8(i + 1)
		}
		pic.Objects = append(pic.Objects, o)
	}
	d.Pictures = append(d.Pictures, pic)
}
