// Command gen makes the sample in embedded/fashion from the full Fashion-MNIST
// dataset: the first 600 training and the first 100 test images of each class,
// in the order of the original files. Debian's package dataset-fashion-mnist
// installs the input.
//
//	go run ./embedded/gen /usr/share/datasets/fashion-mnist embedded/fashion
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const classes = 10

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR_OF_FASHION_MNIST OUT_DIR")
		os.Exit(2)
	}
	for _, p := range []struct {
		name string
		each int // images of a class
	}{{"train", 600}, {"t10k", 100}} {
		if err := subset(os.Args[1], os.Args[2], p.name, p.each); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}

func subset(from, to, part string, each int) error {
	labelFile, imageFile := part+"-labels-idx1-ubyte.gz", part+"-images-idx3-ubyte.gz"
	labels, err := unpack(filepath.Join(from, labelFile), 8)
	if err != nil {
		return err
	}
	images, err := unpack(filepath.Join(from, imageFile), 16)
	if err != nil {
		return err
	}
	height := int(binary.BigEndian.Uint32(images[8:]))
	width := int(binary.BigEndian.Uint32(images[12:]))
	if size := 16 + (len(labels)-8)*height*width; len(images) != size {
		return fmt.Errorf("%s has %d bytes, not %d", imageFile, len(images), size)
	}

	var taken [classes]int
	outLabels := bytes.NewBuffer(labels[:8:8])
	outImages := bytes.NewBuffer(images[:16:16])
	n := 0
	for i, label := range labels[8:] {
		if int(label) >= classes {
			return fmt.Errorf("%s: label %d", labelFile, label)
		}
		if taken[label] == each {
			continue
		}
		taken[label]++
		n++
		outLabels.WriteByte(label)
		outImages.Write(images[16+i*height*width : 16+(i+1)*height*width])
	}
	if n != classes*each {
		return fmt.Errorf("%s: %d images where %d of each of %d classes were wanted", labelFile, n, each, classes)
	}
	binary.BigEndian.PutUint32(outLabels.Bytes()[4:], uint32(n))
	binary.BigEndian.PutUint32(outImages.Bytes()[4:], uint32(n))
	if err := pack(filepath.Join(to, labelFile), outLabels.Bytes()); err != nil {
		return err
	}
	return pack(filepath.Join(to, imageFile), outImages.Bytes())
}

// unpack reads a gzipped IDX file of unsigned bytes.
func unpack(path string, header int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) < header || b[2] != 8 {
		return nil, fmt.Errorf("%s is not an IDX file of bytes", path)
	}
	return b, nil
}

// pack writes b gzipped, without name and time so that the bytes depend on b alone.
func pack(path string, b []byte) error {
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}
