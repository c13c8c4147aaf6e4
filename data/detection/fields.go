package detection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/masks"
)

// The fields of COCO's JSON as programs write them: numbers also as text or with a
// fraction of zero, null where there is nothing. UnmarshalJSON never returns an
// error, so that the rest of an annotation, its id above all, is read, too; what is
// wrong is kept for the message.

// key is an id: a whole number or, as some programs have it, a text.
type key struct {
	n   int64
	s   string // of an id that is not a number
	set bool
	bad string
}

func (k *key) UnmarshalJSON(b []byte) error {
	*k = key{}
	text, isNull, ok := plain(b)
	if isNull {
		return nil
	}
	k.set = true
	if !ok || text == "" {
		k.bad = shorten(b)
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		k.n = n
		return nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && b[0] != '"' {
		if f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			k.bad = shorten(b)
			return nil
		}
		k.n = int64(f)
		return nil
	}
	if b[0] != '"' {
		k.bad = shorten(b)
		return nil
	}
	k.s = text
	return nil
}

// id is what two keys have in common that mean the same.
type id struct {
	n int64
	s string
}

func (k key) id() id { return id{k.n, k.s} }

func (i id) String() string {
	if i.s != "" {
		return strconv.Quote(i.s)
	}
	return strconv.FormatInt(i.n, 10)
}

// number is a number.
type number struct {
	v    float64
	set  bool
	word bool // true or false, which some programs write for iscrowd
	bad  string
}

// decimal reads a finite decimal number. Go's other spellings, as 1_0 and 0x10, are
// those of no program that writes annotations.
func decimal(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !strings.ContainsAny(text, "_xX") && !math.IsInf(v, 0) && !math.IsNaN(v)
}

func (x *number) UnmarshalJSON(b []byte) error {
	*x = number{}
	text, isNull, ok := plain(b)
	switch {
	case isNull:
		return nil
	case text == "true":
		x.v, x.word = 1, true
	case text == "false":
		x.word = true
	default:
		v, isNumber := decimal(text)
		if x.v = v; !isNumber || !ok {
			x.bad = shorten(b)
		}
	}
	x.set = true
	return nil
}

// name is a text; numbers are taken as they are written.
type name string

func (n *name) UnmarshalJSON(b []byte) error {
	text, _, _ := plain(b)
	*n = name(text)
	return nil
}

// plain returns the text of a JSON value that is a number, a word or a string; ok is
// false for a list or an object.
func plain(b []byte) (text string, isNull, ok bool) {
	switch b[0] {
	case 'n':
		return "", true, true
	case '[', '{':
		return "", false, false
	case '"':
		if err := json.Unmarshal(b, &text); err != nil {
			return "", false, false
		}
		return text, false, true
	}
	return string(b), false, true
}

// shorten returns a value for a message.
func shorten(b []byte) string {
	if len(b) > 40 {
		return string(bytes.ToValidUTF8(b[:40], nil)) + "…"
	}
	return string(b)
}

// box is a list of four numbers.
type box struct {
	v   [4]float64
	set bool
	bad string
}

func (x *box) UnmarshalJSON(b []byte) error {
	*x = box{}
	if b[0] == 'n' || string(b) == "[]" {
		return nil
	}
	x.set = true
	var v []number
	if b[0] != '[' || json.Unmarshal(b, &v) != nil || len(v) != 4 {
		x.bad = shorten(b)
		return nil
	}
	for i, n := range v {
		if !n.set || n.word || n.bad != "" {
			x.bad = shorten(b)
		}
		x.v[i] = n.v
	}
	return nil
}

// outline is a segmentation: polygons, one polygon that is not in a list, or runs.
type outline struct {
	polygons [][]float64
	odd      int // polygons that were left out
	runs     *masks.RLE
	bad      string
}

func (x *outline) UnmarshalJSON(b []byte) error {
	*x = outline{}
	switch b[0] {
	case '{':
		r, err := parseRuns(b)
		if err != nil {
			x.bad = err.Error()
		}
		x.runs = r
	case '[':
		rest := bytes.TrimLeft(b[1:], " \t\r\n")
		switch rest[0] {
		case ']':
		case '{':
			x.runs, x.bad = mergeRuns(b)
		case '[':
			x.lists(b)
		default:
			p, _, err := parseNumbers(b)
			x.add(p, err)
		}
	case 'n', '"', 'f':
	default:
		x.bad = shorten(b)
	}
	return nil
}

// lists reads a list of lists of numbers.
func (x *outline) lists(b []byte) {
	for at := 1; at < len(b); {
		switch b[at] {
		case '[':
			p, n, err := parseNumbers(b[at:])
			x.add(p, err)
			if err != nil {
				return
			}
			at += n
		case ' ', '\t', '\r', '\n', ',', ']':
			at++
		default:
			x.bad = shorten(b[at:])
			return
		}
	}
}

func (x *outline) add(p []float64, err error) {
	switch {
	case err != nil:
		x.bad = err.Error()
	case len(p) < 6 || len(p)%2 != 0:
		x.odd++
	default:
		x.polygons = append(x.polygons, p)
	}
}

// parseNumbers reads a list of numbers at the start of b, which is valid JSON, and
// returns its length in bytes.
func parseNumbers(b []byte) ([]float64, int, error) {
	end := bytes.IndexByte(b, ']')
	if end < 0 || bytes.IndexByte(b[1:], '[') >= 0 && bytes.IndexByte(b[1:], '[') < end-1 {
		return nil, 0, fmt.Errorf("%s is not a list of numbers", shorten(b))
	}
	inside := b[1:end]
	v := make([]float64, 0, bytes.Count(inside, []byte(","))+1)
	for len(bytes.TrimSpace(inside)) > 0 {
		var item []byte
		item, inside, _ = bytes.Cut(inside, []byte(","))
		f, ok := decimal(string(bytes.Trim(item, "\" \t\r\n")))
		if !ok {
			return nil, 0, fmt.Errorf("%s is not a number", shorten(item))
		}
		v = append(v, f)
	}
	return v, end + 1, nil
}

// parseRuns reads a run-length encoded mask: size [height, width], and counts as a
// list or in COCO's compressed form.
func parseRuns(b []byte) (*masks.RLE, error) {
	var v struct {
		Size   []number
		Counts json.RawMessage
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("%s is not a mask with size and counts", shorten(b))
	}
	if len(v.Size) != 2 || v.Size[0].bad+v.Size[1].bad != "" || v.Size[0].word || v.Size[1].word {
		return nil, fmt.Errorf("size is not [height, width]")
	}
	var size [2]int
	for i, n := range v.Size {
		if size[i] = int(n.v); float64(size[i]) != n.v || n.v < 1 || n.v > masks.MaxPixels {
			return nil, fmt.Errorf("size has %v, which is not a whole number above 0", n.v)
		}
	}
	var r masks.RLE
	var err error
	switch {
	case len(v.Counts) > 0 && v.Counts[0] == '"':
		var s string
		if err = json.Unmarshal(v.Counts, &s); err == nil {
			r, err = masks.Parse(s, size[0], size[1])
		}
	case len(v.Counts) > 0 && v.Counts[0] == '[':
		var list []float64
		if list, _, err = parseNumbers(v.Counts); err == nil {
			counts := make([]uint32, len(list))
			for i, c := range list {
				if c < 0 || c > masks.MaxPixels {
					return nil, fmt.Errorf("counts have %v, which is not a number of pixels from 0 to %d", c, masks.MaxPixels)
				}
				if counts[i] = uint32(c); float64(counts[i]) != c {
					return nil, fmt.Errorf("counts have %v, which is not a whole number", c)
				}
			}
			r, err = masks.FromCounts(counts, size[0], size[1])
		}
	default:
		return nil, fmt.Errorf("counts are neither a list nor a text")
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func mergeRuns(b []byte) (*masks.RLE, string) {
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		return nil, shorten(b)
	}
	var all []masks.RLE
	for _, item := range list {
		if item[0] != '{' {
			return nil, shorten(item)
		}
		r, err := parseRuns(item)
		if err != nil {
			return nil, err.Error()
		}
		all = append(all, *r)
	}
	r, err := masks.Union(all...)
	if err != nil {
		return nil, err.Error()
	}
	return &r, ""
}
