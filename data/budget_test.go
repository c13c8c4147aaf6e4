package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/internal/membound"
)

// A packed file that unpacks to gigabytes is refused by its header.
func TestHugeIDX(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	head := []byte{0, 0, 8, 3}
	for _, n := range []uint32{1 << 20, 64, 64} {
		head = binary.BigEndian.AppendUint32(head, n)
	}
	z.Write(head)
	z.Write(make([]byte, 64<<20)) // the rest would be as many zeros as the header has
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "train-images-idx3-ubyte.gz"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "train-labels-idx1-ubyte"), append([]byte{0, 0, 8, 1, 0, 16, 0, 0}, make([]byte, 1<<20)...), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	used, over := membound.Over(membound.Slack, 4, 1<<20, func() { _, err = OpenIDX(os.DirFS(dir), Options{}) })
	if err == nil || !strings.Contains(err.Error(), "--max-memory") || !strings.Contains(err.Error(), "train-images-idx3-ubyte.gz") {
		t.Errorf("error %v", err)
	}
	if over {
		t.Errorf("%d bytes were allocated", used)
	}
}

// A file of any size is refused before it is read.
func TestHugeCIFAR(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "data_batch_1.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1000 * 3073); err != nil {
		t.Fatal(err)
	}
	f.Close()
	budget.Set(1 << 20)
	defer budget.Set(0)
	_, err = OpenCIFAR10(os.DirFS(dir), Options{})
	if err == nil || !strings.Contains(err.Error(), "data_batch_1.bin needs 2 MiB of memory") {
		t.Errorf("error %v", err)
	}
	budget.Set(0)
	if _, err := OpenCIFAR10(os.DirFS(dir), Options{}); err != nil {
		t.Error(err)
	}
}
