package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/internal/limitread"
)

// maxIDX keeps the size in an IDX file's header far from overflow.
const maxIDX = 1 << 40

// maxDeflate is the most bytes that one packed byte unpacks to, rounded up.
const maxDeflate = 1100

// maxNames is the limit of a file of class names, in bytes.
const maxNames = 1 << 20

// OpenIDX opens a dataset in the IDX format of MNIST (LeCun, Cortes and
// Burges), which Fashion-MNIST, KMNIST and EMNIST share: train-images-idx3-ubyte,
// train-labels-idx1-ubyte and the same with t10k or test for the test part, each
// plain or as .gz. All names may begin alike, as EMNIST's do with emnist-letters-.
// Class names are the lines of classes.txt. Without that file, they are
// Fashion-MNIST's names if the labels are Fashion-MNIST's, EMNIST's by the names
// of its files, or else the numbers. EMNIST's pictures, which its files hold
// transposed, are turned upright.
func OpenIDX(fsys fs.FS, opt Options) (*Splits, error) {
	return openIDX(fsys, "", opt)
}

// openIDX is OpenIDX for files whose names begin with prefix.
func openIDX(fsys fs.FS, prefix string, opt Options) (*Splits, error) {
	files, err := findIDX(fsys, prefix)
	if err != nil {
		return nil, err
	}
	train, err := openIDXPart(fsys, files, "train")
	if err != nil {
		return nil, err
	}
	test, err := openIDXPart(fsys, files, "t10k")
	if err != nil {
		return nil, err
	}
	if train == nil && test == nil {
		return nil, fmt.Errorf("neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte, plain or .gz: %w", fs.ErrNotExist)
	}
	s := new(Splits)
	if e, ok := emnistClasses[strings.ToLower(files.prefix)]; ok {
		s.Notes = append(s.Notes, "EMNIST: its files hold the pictures transposed; they are turned upright")
		for _, p := range []*idx{train, test} {
			if p == nil {
				continue
			}
			p.transpose()
			if err := p.renumber(e.first, len(e.names)); err != nil {
				return nil, err
			}
		}
	}
	classes, err := idxClasses(fsys, files.prefix, train, test)
	if err != nil {
		return nil, err
	}
	single := singles(len(classes))
	for _, p := range []*idx{train, test} {
		if p != nil {
			p.classes, p.single = classes, single
		}
	}
	if train != nil {
		s.Train = train
	}
	if test != nil {
		s.Test = test
	}
	return s.finish(opt)
}

// emnistClasses are the classes of EMNIST's sets (Cohen and others, arXiv
// 1702.05373, section III) by the names of their files, and the label of the first.
var emnistClasses = map[string]struct {
	names string
	first byte
}{
	"emnist-balanced-": {emnistMerged, 0},
	"emnist-bymerge-":  {emnistMerged, 0},
	"emnist-byclass-":  {"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 0},
	"emnist-letters-":  {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1},
	"emnist-digits-":   {"0123456789", 0},
	"emnist-mnist-":    {"0123456789", 0},
}

// emnistMerged are the classes where small letters that look like capitals are
// counted with them.
const emnistMerged = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"

// idxFiles are the names of the files of one dataset, by part, kind and rank.
type idxFiles struct {
	prefix string
	names  map[string]string
}

var idxName = regexp.MustCompile(`^(?i:(.*?)(train|t10k|test)-(images|labels)[-.]idx([0-9])-ubyte)(\.gz)?$`)

// findIDX finds the files of the one dataset of the root whose names begin with
// prefix.
func findIDX(fsys fs.FS, prefix string) (idxFiles, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return idxFiles{}, err
	}
	var found []idxFiles
	for _, e := range entries {
		m := idxName.FindStringSubmatch(e.Name())
		if m == nil || !strings.HasPrefix(m[1], prefix) || hidden(e.Name()) {
			continue
		}
		i := slices.IndexFunc(found, func(f idxFiles) bool { return f.prefix == m[1] })
		if i < 0 {
			i = len(found)
			found = append(found, idxFiles{m[1], map[string]string{}})
		}
		part := strings.ToLower(m[2])
		if part == "test" {
			part = "t10k"
		}
		key := part + "-" + strings.ToLower(m[3]) + m[4]
		if found[i].names[key] == "" || m[5] == "" { // a plain file before a packed one
			found[i].names[key] = e.Name()
		}
	}
	switch len(found) {
	case 0:
		return idxFiles{}, nil
	case 1:
		return found[0], nil
	}
	var sets []string
	for _, f := range found {
		if f.prefix == prefix {
			return f, nil
		}
		sets = append(sets, strings.TrimRight(f.prefix, "-_."))
	}
	return idxFiles{}, fmt.Errorf("holds several datasets (%s): name one, as idx:DIR/%s", strings.Join(sets, ", "), sets[0])
}

func idxClasses(fsys fs.FS, prefix string, parts ...*idx) ([]string, error) {
	count, in := 0, ""
	for _, p := range parts {
		if p == nil {
			continue
		}
		for _, l := range p.labels {
			if int(l) >= count {
				count, in = int(l)+1, p.name
			}
		}
	}
	text, err := limitread.FS(fsys, "classes.txt", maxNames)
	if errors.Is(err, fs.ErrNotExist) {
		for _, p := range parts {
			if p != nil && fashionLabels[fmt.Sprintf("%x", sha256.Sum256(p.labels))] {
				return fashionClasses, nil
			}
		}
		if e, ok := emnistClasses[strings.ToLower(prefix)]; ok {
			return strings.Split(e.names, ""), nil
		}
		names := make([]string, count)
		for i := range names {
			names[i] = strconv.Itoa(i)
		}
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := ParseClassNames(text)
	if err != nil {
		return nil, fmt.Errorf("classes.txt: %w", err)
	}
	if count > len(names) {
		return nil, fmt.Errorf("classes.txt names %d classes, but %s has label %d", len(names), in, count-1)
	}
	return names, nil
}

// Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747) comes without a
// file of class names and is known by the SHA-256 of its labels.
var (
	fashionClasses = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}
	fashionLabels  = map[string]bool{
		"657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7": true, // 60,000
		"3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9": true, // 10,000
	}
)

// idx is one part of an IDX dataset in memory.
type idx struct {
	name      string // of the file of pictures
	labelName string
	classes   []string
	single    [][]int
	w, h      int
	pix       []byte
	labels    []byte
}

// openIDXPart returns nil if there is no such part among the files.
func openIDXPart(fsys fs.FS, files idxFiles, part string) (*idx, error) {
	name := files.names[part+"-images3"]
	if name == "" {
		return nil, nil
	}
	images, err := readIDX(fsys, name, 3)
	if err != nil {
		return nil, err
	}
	labelName := files.names[part+"-labels1"]
	if labelName == "" {
		return nil, fmt.Errorf("%s has no labels beside it (%s%s-labels-idx1-ubyte, plain or .gz): %w", name, files.prefix, part, fs.ErrNotExist)
	}
	labels, err := readIDX(fsys, labelName, 1)
	if err != nil {
		return nil, err
	}
	n, h, w := images.dims[0], images.dims[1], images.dims[2]
	if n != labels.dims[0] {
		return nil, fmt.Errorf("%s has %d pictures, but %s has %d labels", name, n, labelName, labels.dims[0])
	}
	if n == 0 || h == 0 || w == 0 {
		return nil, fmt.Errorf("%s holds %d pictures of %d x %d pixels, must be at least 1 of each", name, n, w, h)
	}
	return &idx{name: name, labelName: labelName, w: w, h: h, pix: images.data, labels: labels.data}, nil
}

// transpose mirrors all pictures along their main diagonal.
func (d *idx) transpose() {
	buf := make([]byte, d.w*d.h)
	for i := range d.Len() {
		p := d.picture(i)
		copy(buf, p)
		for y := range d.h {
			for x := range d.w {
				p[x*d.h+y] = buf[y*d.w+x]
			}
		}
	}
	d.w, d.h = d.h, d.w
}

// renumber subtracts the number of the first of n classes from the labels.
func (d *idx) renumber(first byte, n int) error {
	for i, l := range d.labels {
		if l < first || int(l-first) >= n {
			return fmt.Errorf("%s: record %d has label %d, not one of %d to %d", d.labelName, i, l, first, int(first)+n-1)
		}
		d.labels[i] = l - first
	}
	return nil
}

func readIDX(fsys fs.FS, name string, rank int) (*idxFile, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if err := limitread.Regular(name, info.Mode()); err != nil {
		return nil, err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(strings.ToLower(name), ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r = z
	}
	file, err := parseIDX(r, rank, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

type idxFile struct {
	dims []int
	data []byte
}

// parseIDX reads an array of bytes with rank dimensions to the end of r, which unpacks
// a file of packed bytes. The budget of the file bounds the memory; where the file is
// too small for the size in the header, memory grows with the data alone.
func parseIDX(r io.Reader, rank int, packed int64) (*idxFile, error) {
	head := make([]byte, 4+4*rank)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("IDX header: %w", err)
	}
	if head[0] != 0 || head[1] != 0 || head[2] != 8 || int(head[3]) != rank {
		return nil, fmt.Errorf("starts with % x, not with 00 00 08 %02x of an IDX file of bytes with %d dimensions", head[:4], rank, rank)
	}
	f := &idxFile{dims: make([]int, rank)}
	size := int64(1)
	for i := range f.dims {
		d := int64(binary.BigEndian.Uint32(head[4+4*i:]))
		if d > 0 && size > maxIDX/d {
			return nil, fmt.Errorf("header promises more than %d bytes", int64(maxIDX))
		}
		f.dims[i] = int(d)
		size *= d
	}
	if err := budget.File("its content", size, packed); err != nil {
		return nil, err
	}
	var room []byte
	if size <= maxDeflate*packed { // else it is cut off, or hostile
		room = make([]byte, 0, size+1+bytes.MinRead) // a buffer that grows holds the data several times
	}
	buf := bytes.NewBuffer(room)
	n, err := io.Copy(buf, io.LimitReader(r, size+1))
	if err != nil {
		return nil, err
	}
	if n != size {
		return nil, fmt.Errorf("header promises %d bytes %v, but %s", size, f.dims, found(n, size))
	}
	f.data = buf.Bytes()
	return f, nil
}

func found(n, want int64) string {
	if n > want {
		return "there are more"
	}
	return fmt.Sprintf("there are only %d", n)
}

func (d *idx) Len() int           { return len(d.labels) }
func (d *idx) Classes() []string  { return d.classes }
func (d *idx) MultiLabel() bool   { return false }
func (d *idx) inMemory() bool     { return true }
func (d *idx) Name(i int) string  { return fmt.Sprintf("%s#%d", d.name, i) }
func (d *idx) Labels(i int) []int { return d.single[d.labels[i]] }

func (d *idx) picture(i int) []byte { return d.pix[i*d.w*d.h : (i+1)*d.w*d.h] }

func (d *idx) Decode(i int, dst *imaging.Image) error {
	dst.Reset(d.w, d.h, 1)
	copy(dst.Pix, d.picture(i))
	return nil
}

func (d *idx) Content(i int, buf []byte) ([]byte, error) {
	return append(buf[:0], d.picture(i)...), nil
}
