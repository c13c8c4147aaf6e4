package detection

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/resnet-go/resnet/internal/limitread"
)

// cocoFile is the contents of one file of annotations.
type cocoFile struct {
	name       string
	images     []cocoImage
	objects    []cocoObject
	categories []cocoCategory
}

type cocoImage struct {
	ID            key
	FileName      name `json:"file_name"`
	Width, Height number
}

type cocoObject struct {
	ID           key
	ImageID      key `json:"image_id"`
	CategoryID   key `json:"category_id"`
	Bbox         box
	Area         number
	IsCrowd      number
	Segmentation outline
}

type cocoCategory struct {
	ID            key
	Name          name
	Supercategory name
}

// errNotCOCO is the error of a JSON file of another kind.
var errNotCOCO = errors.New(`not COCO's JSON: it has no lists "images", "annotations" and "categories"`)

// maxItem is the limit of one picture's or object's JSON, which is in memory as a
// whole.
const maxItem = 64 << 20

// meter limits how much is read, in all and for one item.
type meter struct {
	r           io.Reader
	total, item int64 // bytes left
	limit       int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.total -= int64(n)
	m.item -= int64(n)
	if m.total < 0 {
		return 0, &limitread.TooLarge{Limit: m.limit}
	}
	if m.item < 0 {
		return 0, fmt.Errorf("one value is larger than the limit of %d MiB", maxItem>>20)
	}
	return n, err
}

// readCOCO reads a file of annotations item by item, so that its text is never in
// memory as a whole.
func readCOCO(name string, r io.Reader, limit int64) (*cocoFile, error) {
	m := &meter{r: r, total: limit, item: maxItem, limit: limit}
	text := bufio.NewReaderSize(m, 1<<16)
	if mark, err := text.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		text.Discard(3)
	}
	dec := json.NewDecoder(text)
	f := &cocoFile{name: name}
	if t, err := dec.Token(); err != nil {
		return nil, f.syntax("", dec, err)
	} else if t != json.Delim('{') {
		if t == json.Delim('[') {
			return nil, fmt.Errorf("%s: %w (it is a list, as COCO's files of results are)", name, errNotCOCO)
		}
		return nil, fmt.Errorf("%s: %w", name, errNotCOCO)
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, f.syntax("", dec, err)
		}
		field := t.(string)
		m.item = maxItem
		switch field {
		case "images":
			err = list(m, dec, field, &f.images)
		case "annotations":
			err = list(m, dec, field, &f.objects)
		case "categories":
			err = list(m, dec, field, &f.categories)
		default:
			err = skip(m, dec)
		}
		if err != nil {
			return nil, f.syntax(field, dec, err)
		}
		if seen[field] && (field == "images" || field == "annotations" || field == "categories") {
			return nil, fmt.Errorf("%s: it has %q twice: join the lists", name, field)
		}
		seen[field] = true
	}
	if _, err := dec.Token(); err != nil {
		return nil, f.syntax("", dec, err)
	}
	m.item = maxItem
	end := dec.InputOffset()
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if large := (*limitread.TooLarge)(nil); errors.As(err, &large) {
			return nil, f.syntax("", dec, err)
		}
		return nil, fmt.Errorf("%s: the file continues after the end of its JSON at byte %d: is it two files in one, or was it written over a longer one?", name, end)
	}
	if !seen["images"] || !seen["annotations"] {
		return nil, fmt.Errorf("%s: %w", name, errNotCOCO)
	}
	return f, f.check()
}

// syntax returns the error for text that is not JSON, or of another structure.
func (f *cocoFile) syntax(field string, dec *json.Decoder, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errors.New("the file ends too early: is it complete?")
	}
	where := ""
	switch field {
	case "images":
		where = fmt.Sprintf(", in images, after %d of them", len(f.images))
	case "annotations":
		where = fmt.Sprintf(", in annotations, after %d of them", len(f.objects))
		if n := len(f.objects); n > 0 {
			where += fmt.Sprintf(" (the last has id %v)", f.objects[n-1].ID.id())
		}
	case "":
	default:
		where = fmt.Sprintf(", in %q", field)
	}
	return fmt.Errorf("%s: at byte %d%s: %w", f.name, dec.InputOffset(), where, err)
}

// list reads a list of items, or null.
func list[T any](m *meter, dec *json.Decoder, field string, to *[]T) error {
	t, err := dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%s is %v, must be a list", field, t)
	}
	for dec.More() {
		m.item = maxItem
		var v T
		if err := dec.Decode(&v); err != nil {
			if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
				return fmt.Errorf("an entry of %s is a %s, must be an object in braces", field, wrong.Value)
			}
			return err
		}
		*to = append(*to, v)
	}
	_, err = dec.Token()
	return err
}

// skip goes over a value.
func skip(m *meter, dec *json.Decoder) error {
	for depth := 0; ; {
		m.item = maxItem
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// check returns an error that names the item and the field whose value is of a wrong
// kind.
func (f *cocoFile) check() error {
	wrong := func(what string, i int, k key, field, bad, want string) error {
		which := fmt.Sprintf("%s %d", what, i+1)
		if k.set && k.bad == "" {
			which += fmt.Sprintf(" (id %v)", k.id())
		}
		return fmt.Errorf("%s: %s: %s is %s, %s", f.name, which, field, bad, want)
	}
	const wantID = "must be a whole number"
	for i, c := range f.categories {
		if c.ID.bad != "" || !c.ID.set {
			return wrong("category", i, c.ID, "id", orMissing(c.ID.bad), wantID)
		}
	}
	for i, m := range f.images {
		switch {
		case m.ID.bad != "" || !m.ID.set:
			return wrong("image", i, m.ID, "id", orMissing(m.ID.bad), wantID)
		case strings.TrimSpace(string(m.FileName)) == "":
			return wrong("image", i, m.ID, "file_name", "missing", "must name the picture")
		}
		for k, n := range []number{m.Width, m.Height} {
			if n.bad != "" || n.word || n.v < 0 || n.v > 1<<24 {
				return wrong("image", i, m.ID, []string{"width", "height"}[k], orValue(n), "must be a number of pixels")
			}
		}
	}
	for i, o := range f.objects {
		switch {
		case o.ID.bad != "":
			return wrong("annotation", i, o.ID, "id", o.ID.bad, wantID)
		case o.ImageID.bad != "" || !o.ImageID.set:
			return wrong("annotation", i, o.ID, "image_id", orMissing(o.ImageID.bad), "must be an image's id")
		case o.CategoryID.bad != "" || !o.CategoryID.set:
			return wrong("annotation", i, o.ID, "category_id", orMissing(o.CategoryID.bad), "must be a category's id")
		case o.Bbox.bad != "":
			return wrong("annotation", i, o.ID, "bbox", o.Bbox.bad, "must be four numbers: x, y, width, height in pixels")
		case o.Area.bad != "" || o.Area.word:
			return wrong("annotation", i, o.ID, "area", orValue(o.Area), "must be a number")
		case o.IsCrowd.bad != "":
			return wrong("annotation", i, o.ID, "iscrowd", o.IsCrowd.bad, "must be 0 or 1")
		case o.Segmentation.bad != "":
			return wrong("annotation", i, o.ID, "segmentation", "wrong", "must be polygons or runs: "+o.Segmentation.bad)
		}
	}
	return nil
}

func orMissing(bad string) string {
	if bad == "" {
		return "missing"
	}
	return bad
}

func orValue(n number) string {
	switch {
	case n.bad != "":
		return n.bad
	case n.word:
		return "true or false"
	}
	return fmt.Sprint(n.v)
}
