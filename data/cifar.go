package data

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/internal/limitread"
)

// The layout of CIFAR's binary files: label bytes, then a 32x32 picture as
// three planes, red, green, blue.
const (
	cifarSide  = 32
	cifarPlane = cifarSide * cifarSide
	cifarImage = 3 * cifarPlane
)

var cifar10Classes = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// OpenCIFAR10 opens CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from
// Tiny Images", 2009): data_batch_N.bin and test_batch.bin of the binary version, or
// data_batch_N and test_batch of the Python version, in the root of fsys or in its
// folder cifar-10-batches-bin or cifar-10-batches-py. Files may be missing or shorter
// than the official ones, but must hold whole records. Class names come from
// batches.meta.txt or batches.meta, or are the official ones if that is missing. The
// Python version's pickles are read as data: nothing is executed.
func OpenCIFAR10(fsys fs.FS, opt Options) (*Splits, error) {
	return openCIFAR(fsys, opt, cifarLayout{
		folder: "cifar-10-batches-bin", names: "batches.meta.txt", fallback: cifar10Classes,
		classes: 10, labels: 1, train: "data_batch_*.bin", test: "test_batch.bin",
		python: pythonLayout{folder: "cifar-10-batches-py", train: "data_batch_[0-9]*", test: "test_batch", meta: "batches.meta", names: "label_names", labels: "labels"},
	})
}

// OpenCIFAR100 opens CIFAR-100 by its 100 fine labels: train.bin, test.bin and
// fine_label_names.txt of the binary version, or train, test and meta of the Python
// version, in the root of fsys or in its folder cifar-100-binary or cifar-100-python.
// Files may be shorter than the official ones, but must hold whole records.
func OpenCIFAR100(fsys fs.FS, opt Options) (*Splits, error) {
	return openCIFAR(fsys, opt, cifarLayout{
		folder: "cifar-100-binary", names: "fine_label_names.txt",
		classes: 100, labels: 2, train: "train.bin", test: "test.bin",
		python: pythonLayout{folder: "cifar-100-python", train: "train", test: "test", meta: "meta", names: "fine_label_names", labels: "fine_labels"},
	})
}

type cifarLayout struct {
	folder, names string
	python        pythonLayout
	fallback      []string // class names if the file of names is missing
	classes       int
	labels        int // bytes in front of a picture; the last one counts
	train, test   string
}

func openCIFAR(fsys fs.FS, opt Options, lay cifarLayout) (*Splits, error) {
	if sub, err := fs.Sub(fsys, lay.folder); err == nil {
		if _, err := fs.Stat(fsys, lay.folder); err == nil {
			fsys = sub
		}
	}
	classes, err := cifarClasses(fsys, lay)
	if err != nil {
		return nil, err
	}
	s := new(Splits)
	train, err := openCIFARFiles(fsys, lay, lay.train, classes)
	if err != nil {
		return nil, err
	}
	test, err := openCIFARFiles(fsys, lay, lay.test, classes)
	if err != nil {
		return nil, err
	}
	if train == nil && test == nil {
		if train, test, err = openPythonCIFAR(fsys, lay); err != nil {
			return nil, err
		}
	}
	if train == nil && test == nil {
		return nil, fmt.Errorf("neither %s nor %s: %w", lay.train, lay.test, fs.ErrNotExist)
	}
	// A nil *cifar in the interface would not compare equal to nil.
	if train != nil {
		s.Train = train
	}
	if test != nil {
		s.Test = test
	}
	return s.finish(opt)
}

func cifarClasses(fsys fs.FS, lay cifarLayout) ([]string, error) {
	text, err := limitread.FS(fsys, lay.names, maxNames)
	if errors.Is(err, fs.ErrNotExist) {
		if lay.fallback != nil {
			return lay.fallback, nil
		}
		names := make([]string, lay.classes)
		for i := range names {
			names[i] = fmt.Sprintf("class %d", i)
		}
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(text))
	if len(names) != lay.classes {
		return nil, fmt.Errorf("%s has %d class names, not %d", lay.names, len(names), lay.classes)
	}
	return names, nil
}

// cifar is the records of some files, as they are in the files.
type cifar struct {
	classes []string
	single  [][]int
	skip    int // label bytes of a record
	files   []cifarFile
	first   []int // number of the first record of each file
	n       int
}

type cifarFile struct {
	name string
	data []byte
}

func openCIFARFiles(fsys fs.FS, lay cifarLayout, pattern string, classes []string) (*cifar, error) {
	names, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, nil
	}
	sort.Strings(names)
	c := &cifar{classes: classes, single: singles(len(classes)), skip: lay.labels}
	record := lay.labels + cifarImage
	for _, name := range names {
		info, err := fs.Stat(fsys, name)
		if err != nil {
			return nil, err
		}
		if err := budget.Machine(name, info.Size()); err != nil {
			return nil, err
		}
		data, err := limitread.FS(fsys, name, info.Size())
		if err != nil {
			return nil, err
		}
		if len(data)%record != 0 || len(data) == 0 {
			return nil, fmt.Errorf("%s: size %d is not a multiple of a record's %d bytes; is the file cut short, or of another kind?",
				name, len(data), record)
		}
		for i := 0; i < len(data); i += record {
			if label := int(data[i+lay.labels-1]); label >= lay.classes {
				return nil, fmt.Errorf("%s: record %d has label %d, not one of 0 to %d; is the file of another kind?",
					name, i/record, label, lay.classes-1)
			}
		}
		c.files = append(c.files, cifarFile{name, data})
		c.first = append(c.first, c.n)
		c.n += len(data) / record
	}
	return c, nil
}

func (c *cifar) at(i int) (file *cifarFile, record int) {
	if i < 0 || i >= c.n {
		panic(fmt.Sprintf("data: sample %d of %d", i, c.n))
	}
	f := len(c.first) - 1
	for c.first[f] > i {
		f--
	}
	return &c.files[f], i - c.first[f]
}

func (c *cifar) record(i int) []byte {
	f, r := c.at(i)
	size := c.skip + cifarImage
	return f.data[r*size : (r+1)*size]
}

func (c *cifar) Len() int          { return c.n }
func (c *cifar) Classes() []string { return c.classes }
func (c *cifar) MultiLabel() bool  { return false }
func (c *cifar) inMemory() bool    { return true }

func (c *cifar) Name(i int) string {
	f, r := c.at(i)
	return fmt.Sprintf("%s#%d", f.name, r)
}

func (c *cifar) Labels(i int) []int { return c.single[c.record(i)[c.skip-1]] }

func (c *cifar) Decode(i int, dst *imaging.Image) error {
	dst.Reset(cifarSide, cifarSide, 3)
	p := c.record(i)[c.skip:]
	r, g, b := p[:cifarPlane], p[cifarPlane:2*cifarPlane], p[2*cifarPlane:3*cifarPlane]
	for i := range r {
		o := dst.Pix[3*i : 3*i+3 : 3*i+3]
		o[0], o[1], o[2] = r[i], g[i], b[i]
	}
	return nil
}

func (c *cifar) Content(i int, buf []byte) ([]byte, error) {
	return append(buf[:0], c.record(i)[c.skip:]...), nil
}
