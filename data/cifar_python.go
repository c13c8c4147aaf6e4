package data

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/pytorch"
)

// pythonLayout names the files of CIFAR's Python version, which are pickles, and what
// is in them.
type pythonLayout struct {
	folder, train, test, meta string
	names, labels             string // keys of the class names in meta, and of the labels
}

// maxPickleFile bounds a file of CIFAR's Python version. The largest, CIFAR-100's
// train, has 155 MB.
const maxPickleFile = 1 << 30

// openPythonCIFAR opens the Python version; both parts are nil if there is none.
func openPythonCIFAR(fsys fs.FS, lay cifarLayout) (train, test *cifar, err error) {
	py := lay.python
	if _, err := fs.Stat(fsys, py.folder); err == nil {
		lay.python.train, lay.python.test = path.Join(py.folder, py.train), path.Join(py.folder, py.test)
		lay.python.meta = path.Join(py.folder, py.meta)
		py = lay.python
	}
	classes, err := pythonClasses(fsys, lay)
	if err != nil {
		return nil, nil, err
	}
	if train, err = openPythonFiles(fsys, lay, py.train, classes); err != nil {
		return nil, nil, err
	}
	test, err = openPythonFiles(fsys, lay, py.test, classes)
	return train, test, err
}

// readPickle reads a file of the Python version.
func readPickle(fsys fs.FS, lay cifarLayout, name string) (map[string]any, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPickleFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d for a pickle of CIFAR", name, info.Size(), maxPickleFile)
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	d, err := pytorch.ReadDict(b)
	if err != nil {
		return nil, fmt.Errorf("%s is no file of CIFAR's Python version, and there is none of its binary version (%s): %w", name, lay.folder, err)
	}
	return d, nil
}

func pythonClasses(fsys fs.FS, lay cifarLayout) ([]string, error) {
	d, err := readPickle(fsys, lay, lay.python.meta)
	if errors.Is(err, fs.ErrNotExist) {
		return cifarClasses(fsys, lay)
	}
	if err != nil {
		return nil, err
	}
	list, _ := d[lay.python.names].([]any)
	var names []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			names = append(names, v)
		case []byte:
			names = append(names, string(v))
		}
	}
	if len(names) != lay.classes {
		return nil, fmt.Errorf("%s has %d names in %q, not %d", lay.python.meta, len(names), lay.python.names, lay.classes)
	}
	return names, nil
}

// openPythonFiles makes records of the binary version of the Python version's.
func openPythonFiles(fsys fs.FS, lay cifarLayout, pattern string, classes []string) (*cifar, error) {
	names, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	c := &cifar{classes: classes, single: singles(len(classes)), skip: lay.labels}
	for _, name := range names {
		if info, err := fs.Stat(fsys, name); err != nil || !info.Mode().IsRegular() {
			continue // a folder called train
		}
		d, err := readPickle(fsys, lay, name)
		if err != nil {
			return nil, err
		}
		records, err := lay.records(name, d)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, cifarFile{name, records})
		c.first = append(c.first, c.n)
		c.n += len(records) / (lay.labels + cifarImage)
	}
	if len(c.files) == 0 {
		return nil, nil
	}
	return c, nil
}

func (lay cifarLayout) records(name string, d map[string]any) ([]byte, error) {
	data, ok := d["data"].(pytorch.Array)
	if !ok || data.DType != pytorch.UInt8 || len(data.Shape) != 2 || !data.Shape[1:].Equal(tensor.Shape{cifarImage}) || data.Shape[0] < 1 {
		return nil, fmt.Errorf("%s has no array \"data\" of uint8 [N %d]; is the file of another kind?", name, cifarImage)
	}
	labels, ok := d[lay.python.labels].([]any)
	if n := data.Shape[0]; !ok || len(labels) != n {
		return nil, fmt.Errorf("%s has %d labels in %q for %d pictures; is the file of another kind?", name, len(labels), lay.python.labels, n)
	}
	out := make([]byte, 0, len(labels)*(lay.labels+cifarImage))
	for i, v := range labels {
		label, ok := v.(int64)
		if !ok || label < 0 || label >= int64(lay.classes) {
			return nil, fmt.Errorf("%s: record %d has label %v, not one of 0 to %d; is the file of another kind?", name, i, v, lay.classes-1)
		}
		// The label that counts is the last one.
		out = append(append(out, slices.Repeat([]byte{0}, lay.labels-1)...), byte(label))
		out = append(out, data.Data[i*cifarImage:(i+1)*cifarImage]...)
	}
	return out, nil
}
