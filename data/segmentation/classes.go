package segmentation

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/plaintext"
)

// classes are the names of a dataset's classes, and how masks show them.
type classes struct {
	names []string
	read  reading
	note  string // what was found out, for people; may be empty
}

// maxClasses is the largest number of classes: 255 is the value of pixels without.
const maxClasses = data.IgnoredClass

// classFiles are the files that name classes, the first that exists counts.
var classFiles = []struct {
	name  string
	parse func(text string) (*classes, error)
}{
	{"classes.csv", parseClassCSV},
	{"class_dict.csv", parseClassCSV},
	{"_classes.csv", parseClassCSV},
	{"labelmap.txt", parseLabelMap},
	{"label_colors.txt", parseLabelColors},
	{"classes.txt", parseClassNames},
	{"codes.txt", parseClassNames},
}

// classes reads the file that names the classes, in the root or, as some exports
// have it, in the folder of a part; nil if there is none.
func (t *tree) classes() (*classes, error) {
	for _, dir := range []string{"", "train/", "training/", "annotations/", "masks/", "labels/"} {
		for _, f := range classFiles {
			if !t.has[dir+f.name] {
				continue
			}
			b, err := t.read(dir + f.name)
			if err != nil {
				return nil, err
			}
			b, err = plaintext.Decode(b)
			var c *classes
			if err == nil {
				c, err = f.parse(string(b))
			}
			if err == nil && len(c.names) > maxClasses {
				err = fmt.Errorf("it names %d classes, more than %d", len(c.names), maxClasses)
			}
			if err == nil && len(c.names) == 0 {
				err = fmt.Errorf("it names no classes")
			}
			if err != nil {
				return nil, fmt.Errorf("%s%s%s: %w", t.root, dir, f.name, err)
			}
			return c, nil
		}
	}
	return nil, nil
}

// colorTable are lines NAME RED GREEN BLUE or RED GREEN BLUE NAME.
var colorTable = regexp.MustCompile(`^(?:\S.*?[\s,;:]+\d{1,3}(?:[\s,;]+\d{1,3}){2}|\d{1,3}(?:[\s,;]+\d{1,3}){2}[\s,;:]+\S.*)$`)

// parseClassNames reads one name for each line: the class of value 0, 1, …. An empty
// line would give the classes after it other values, unless it is at the end.
func parseClassNames(text string) (*classes, error) {
	c := &classes{}
	at := map[string]int{}
	n, empty, colors := 0, 0, 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			if empty == 0 {
				empty = n
			}
			continue
		}
		if empty > 0 {
			return nil, fmt.Errorf("line %d is empty, but names follow, and a class is the number of its line: remove the line, or name the class", empty)
		}
		if first, twice := at[line]; twice {
			return nil, fmt.Errorf("lines %d and %d both name the class %q: give each class its own name, or use classes.csv, with lines NAME,VALUE, to join values", first, n, line)
		}
		at[line] = n
		c.names = append(c.names, line)
		if colorTable.MatchString(line) {
			colors++
		}
	}
	if colors > 0 && colors == len(c.names) {
		return nil, fmt.Errorf("every line has a name and a color, such as %q, but each must be a name alone: "+
			"write the colors of the masks to class_dict.csv, with lines NAME,RED,GREEN,BLUE", c.names[0])
	}
	return c, nil
}

// parseClassCSV reads lines NAME,VALUE or VALUE,NAME (as Roboflow writes them) or
// NAME,RED,GREEN,BLUE (as in Kaggle's class_dict.csv), with a head or without. The
// value 255, and names of nothing, are pixels that do not count.
func parseClassCSV(text string) (*classes, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace, r.FieldsPerRecord = true, -1
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	for i, row := range rows {
		for k := range row {
			row[k] = strings.TrimSpace(row[k])
		}
		switch {
		case len(row) == 2:
			name, number := row[0], row[1]
			if _, err := strconv.Atoi(number); err != nil {
				name, number = number, name
			}
			v, err := strconv.Atoi(number)
			if err != nil && i == 0 {
				continue // the head
			}
			if err != nil || v < 0 || v > 255 {
				return nil, fmt.Errorf("line %d: %q has no value from 0 to 255", i+1, strings.Join(row, ","))
			}
			if err := b.value(name, v); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		case len(row) >= 4:
			color, err := parseColor(row[1:4])
			if err != nil && i == 0 {
				continue
			}
			if err == nil {
				err = b.color(row[0], color)
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		default:
			return nil, fmt.Errorf("line %d: %q is neither NAME,VALUE nor NAME,RED,GREEN,BLUE", i+1, strings.Join(row, ","))
		}
	}
	return b.classes()
}

// parseLabelMap reads CVAT's labelmap.txt: lines NAME:RED,GREEN,BLUE:…, comments
// with #. Its masks have these colors.
func parseLabelMap(text string) (*classes, error) {
	b := newBuilder()
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, ":")
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %q is not of CVAT's form, NAME:RED,GREEN,BLUE and two colons", n, line)
		}
		color, err := parseColor(strings.Split(fields[1], ","))
		if err == nil {
			err = b.color(strings.TrimSpace(fields[0]), color)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return b.classes()
}

// parseLabelColors reads CamVid's label_colors.txt: lines RED GREEN BLUE NAME.
func parseLabelColors(text string) (*classes, error) {
	b := newBuilder()
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) < 4 {
			return nil, fmt.Errorf("line %d: %q is not of the form RED GREEN BLUE NAME", n, strings.TrimSpace(line))
		}
		color, err := parseColor(words[:3])
		if err == nil {
			err = b.color(strings.Join(words[3:], " "), color)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return b.classes()
}

func parseColor(words []string) (c [3]uint8, err error) {
	for i := range c {
		if i >= len(words) {
			return c, fmt.Errorf("the color %q has not three numbers", strings.Join(words, ","))
		}
		v, err := strconv.Atoi(strings.TrimSpace(words[i]))
		if err != nil || v < 0 || v > 255 {
			return c, fmt.Errorf("the color %q has a number that is not from 0 to 255", strings.Join(words, ","))
		}
		c[i] = uint8(v)
	}
	return c, nil
}

// builder collects classes by value or by color.
type builder struct {
	names  []string
	index  map[string]uint8
	values map[int]string
	colors map[[3]uint8]uint8
}

func newBuilder() *builder {
	return &builder{index: map[string]uint8{}, values: map[int]string{}, colors: map[[3]uint8]uint8{}}
}

// nameless are the names of pixels that do not count, in lower case.
var nameless = []string{"void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown"}

// class returns the number of the class of that name, a new one if it is new.
func (b *builder) class(name string) (uint8, error) {
	if name == "" {
		return 0, fmt.Errorf("a class has no name")
	}
	if slices.Contains(nameless, strings.ToLower(name)) {
		return data.IgnoredClass, nil
	}
	i, ok := b.index[name]
	if !ok {
		if len(b.names) == maxClasses {
			return 0, fmt.Errorf("there are more than %d classes", maxClasses)
		}
		i = uint8(len(b.names))
		b.index[name] = i
		b.names = append(b.names, name)
	}
	return i, nil
}

func (b *builder) color(name string, c [3]uint8) error {
	i, err := b.class(name)
	if err != nil {
		return err
	}
	if old, ok := b.colors[c]; ok && old != i {
		return fmt.Errorf("the color %d,%d,%d of %q is another class's, too", c[0], c[1], c[2], name)
	}
	b.colors[c] = i
	return nil
}

func (b *builder) value(name string, v int) error {
	if old, ok := b.values[v]; ok {
		return fmt.Errorf("the value %d is that of %q and of %q", v, old, name)
	}
	b.values[v] = name
	return nil
}

// classes returns what was collected. Values become classes in their order.
func (b *builder) classes() (*classes, error) {
	switch {
	case len(b.values) > 0 && len(b.colors) > 0:
		return nil, fmt.Errorf("some classes have a value and others a color: give all one or the other")
	case len(b.colors) > 0:
		return &classes{names: b.names, read: reading{colors: b.colors}}, nil
	}
	to := nothing()
	for v := range 256 {
		name, ok := b.values[v]
		if !ok || v == data.IgnoredClass && slices.Contains(nameless, strings.ToLower(name)) {
			continue
		}
		i, err := b.class(name)
		if err != nil {
			return nil, err
		}
		to[v] = int16(i)
	}
	return &classes{names: b.names, read: reading{values: to}}, nil
}

// seen are the values that masks have.
type seen struct {
	bits  [2]bool   // of gray PNG files of one bit
	other [256]bool // of other files
}

func (s *seen) add(o *seen) {
	for v, is := range o.bits {
		s.bits[v] = s.bits[v] || is
	}
	for v, is := range o.other {
		s.other[v] = s.other[v] || is
	}
}

// binary reports whether there are two classes, 0 and the value that is shown as white:
// 1 of files of one bit, 255 of others.
func (s *seen) binary() bool {
	for v := 1; v < 255; v++ {
		if s.other[v] {
			return false
		}
	}
	return s.other[255] && (s.other[0] || s.bits[0]) || s.bits[1] && !s.other[255]
}

func (s *seen) values() []int {
	var values []int
	for v, is := range s.other {
		if is || v < 2 && s.bits[v] {
			values = append(values, v)
		}
	}
	return values
}

// scan reads masks until all are read, or one has a value by which enough is known.
func (t *tree) scan(ctx context.Context, samples []sample, opt data.Options, enough func(*seen) bool) (*seen, error) {
	var found seen
	var mu sync.Mutex
	var next atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var m imaging.Image
			var all reading
			for ctx.Err() == nil && !done.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(samples) {
					return
				}
				b, err := t.files.Read(samples[i].mask, nil)
				if err != nil || all.decode(&m, b, opt.MaxPixels) != nil {
					continue // reported by name when the mask is used
				}
				var own seen
				into := own.other[:]
				if grayStep(b) == 255 {
					into = own.bits[:]
				}
				for v := range into {
					into[v] = bytes.IndexByte(m.Pix, uint8(v)) >= 0
				}
				mu.Lock()
				found.add(&own)
				if enough(&found) {
					done.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return &found, ctx.Err()
}

// look finds out the classes of masks that no file names: all masks are read, since
// a rare class may be in one of them alone.
func (t *tree) look(ctx context.Context, samples []sample, opt data.Options) (*classes, error) {
	found, err := t.scan(ctx, samples, opt, func(*seen) bool { return false })
	if err != nil {
		return nil, err
	}
	if found.binary() {
		c := &classes{names: []string{"background", "foreground"}}
		c.white("which are taken as background and foreground")
		return c, nil
	}
	return classesOf(found.values(), t.firstError(samples, opt))
}

// ofTwo makes white the second of two classes that a file names without their values,
// where the masks have black and white alone: the value 255 would not count, and nothing
// would be of the second class.
func (t *tree) ofTwo(ctx context.Context, c *classes, samples []sample, opt data.Options) error {
	if len(c.names) != 2 || c.read.values != nil || c.read.colors != nil || slices.Contains(nameless, strings.ToLower(c.names[1])) {
		return nil
	}
	found, err := t.scan(ctx, samples, opt, func(s *seen) bool {
		return slices.Contains(s.other[1:255], true)
	})
	if err == nil && found.other[255] && found.binary() {
		c.white(fmt.Sprintf("so 255 is %s", c.names[1]))
	}
	return err
}

// white makes 0 the first class, and 1 and 255 the second.
func (c *classes) white(how string) {
	c.read.values = nothing()
	c.read.values[0], c.read.values[1], c.read.values[255] = 0, 1, 1
	c.note = "the masks have the values 0 and 255 alone (or are of one bit), " + how
}

// firstError returns why the first mask cannot be read; nil if it can.
func (t *tree) firstError(samples []sample, opt data.Options) error {
	b, err := t.files.Read(samples[0].mask, nil)
	if err == nil {
		var m imaging.Image
		err = new(reading).decode(&m, b, opt.MaxPixels)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", samples[0].mask, err)
	}
	return nil
}

// classesOf returns the classes of masks with these values, sorted; bad is why the
// first mask could not be read.
func classesOf(values []int, bad error) (*classes, error) {
	c := &classes{}
	most := -1
	for _, v := range values {
		if v != data.IgnoredClass {
			most = v
		}
	}
	switch {
	case len(values) == 0:
		return nil, fmt.Errorf("no mask can be read: %w", bad)
	case most < 0:
		return nil, fmt.Errorf("all pixels of the masks have the value %d, which does not count: write 0, 1, 2, …, the numbers of the classes", data.IgnoredClass)
	case most > 20 && 2*len(values) < most:
		return nil, fmt.Errorf("the masks have %d values up to %d, such as %v, which are not the numbers of classes 0, 1, 2, …: "+
			"name the class of each value in a file classes.csv of the data, with lines NAME,VALUE", len(values), most, values[:min(4, len(values))])
	}
	for v := range max(most+1, 2) {
		c.names = append(c.names, strconv.Itoa(v))
	}
	c.note = fmt.Sprintf("no file names the classes (classes.txt, one name per line): %d of them are numbered, the largest value of the masks", len(c.names))
	return c, nil
}
