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
	"strconv"

	"github.com/resnet-go/resnet/data/imaging"
)

// maxIDX is the limit of an unpacked IDX file, against gzip bombs: more than ten
// times the size of the largest published file (EMNIST by class, 0.6 GB).
const maxIDX = 8 << 30

// OpenIDX opens a dataset in the IDX format of MNIST (LeCun, Cortes and
// Burges), which Fashion-MNIST, KMNIST and EMNIST share: train-images-idx3-ubyte,
// train-labels-idx1-ubyte and the same with t10k for the test part, each plain
// or as .gz. Class names are the lines of classes.txt. Without that file, they are
// Fashion-MNIST's names if the labels are Fashion-MNIST's, or else the numbers.
func OpenIDX(fsys fs.FS, opt Options) (*Splits, error) {
	train, err := openIDXPart(fsys, "train")
	if err != nil {
		return nil, err
	}
	test, err := openIDXPart(fsys, "t10k")
	if err != nil {
		return nil, err
	}
	if train == nil && test == nil {
		return nil, fmt.Errorf("neither train-images-idx3-ubyte nor t10k-images-idx3-ubyte, plain or .gz: %w", fs.ErrNotExist)
	}
	classes, err := idxClasses(fsys, train, test)
	if err != nil {
		return nil, err
	}
	s := new(Splits)
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

func idxClasses(fsys fs.FS, parts ...*idx) ([]string, error) {
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
	text, err := fs.ReadFile(fsys, "classes.txt")
	if errors.Is(err, fs.ErrNotExist) {
		for _, p := range parts {
			if p != nil && fashionLabels[fmt.Sprintf("%x", sha256.Sum256(p.labels))] {
				return fashionClasses, nil
			}
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
	names := nonEmptyLines(string(text))
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
	name    string // of the file of pictures
	classes []string
	single  [][]int
	w, h    int
	pix     []byte
	labels  []byte
}

// openIDXPart returns nil if fsys has no such part.
func openIDXPart(fsys fs.FS, part string) (*idx, error) {
	name, images, err := readIDX(fsys, part+"-images", 3)
	if err != nil || name == "" {
		return nil, err
	}
	labelName, labels, err := readIDX(fsys, part+"-labels", 1)
	if err != nil {
		return nil, err
	}
	if labelName == "" {
		return nil, fmt.Errorf("%s has no labels beside it (%s-labels-idx1-ubyte, plain or .gz): %w", name, part, fs.ErrNotExist)
	}
	n, h, w := images.dims[0], images.dims[1], images.dims[2]
	if n != labels.dims[0] {
		return nil, fmt.Errorf("%s has %d pictures, but %s has %d labels", name, n, labelName, labels.dims[0])
	}
	if n == 0 || h == 0 || w == 0 {
		return nil, fmt.Errorf("%s holds %d pictures of %d x %d pixels, must be at least 1 of each", name, n, w, h)
	}
	return &idx{name: name, w: w, h: h, pix: images.data, labels: labels.data}, nil
}

// readIDX reads stem-idxN-ubyte or one of its other usual names; the name is
// "" if there is none.
func readIDX(fsys fs.FS, stem string, rank int) (string, *idxFile, error) {
	for _, form := range []string{"%s-idx%d-ubyte", "%s.idx%d-ubyte"} {
		for _, end := range []string{"", ".gz"} {
			name := fmt.Sprintf(form, stem, rank) + end
			f, err := fsys.Open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", nil, err
			}
			defer f.Close()
			var r io.Reader = f
			if end != "" {
				z, err := gzip.NewReader(f)
				if err != nil {
					return "", nil, fmt.Errorf("%s: %w", name, err)
				}
				r = z
			}
			file, err := parseIDX(r, rank)
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", name, err)
			}
			return name, file, nil
		}
	}
	return "", nil, nil
}

type idxFile struct {
	dims []int
	data []byte
}

// parseIDX reads an array of bytes with rank dimensions to the end of r. Memory
// grows with the data, not with the size in the header, which may be hostile.
func parseIDX(r io.Reader, rank int) (*idxFile, error) {
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
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, size+1))
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
