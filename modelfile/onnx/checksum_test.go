package onnx

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// written returns a small network of ours as a file.
func written(t *testing.T, external bool) string {
	t.Helper()
	net, err := models.New("resnet8-cifar", models.Classes(3), func(c *models.Config) { c.Width = 4 })
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := Save(path, net, SaveOptions{Input: tensor.Shape{3, 32, 32}, External: external, Metadata: map[string]string{"classes": `["a","b","c"]`}}); err != nil {
		t.Fatal(err)
	}
	return path
}

// content is all that a model holds.
func content(t *testing.T, m *Model) []any {
	t.Helper()
	values := map[string][]float32{}
	for name, x := range m.Tensors() {
		if err := x.Load(); err != nil {
			t.Fatal(err)
		}
		values[name] = x.Float32s()
	}
	return []any{values, m.proto.graph, m.proto.opsets, m.Metadata()}
}

// A flipped bit anywhere in a file of ours is found, or changes nothing that is read.
func TestDamagedFileIsFound(t *testing.T) {
	path := written(t, false)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(whole)
	if err != nil {
		t.Fatal(err)
	}
	if m.Metadata()[checksumKey] != "" || m.Metadata()["classes"] == "" {
		t.Errorf("the metadata are %v", m.Metadata())
	}
	want := content(t, m)
	found, byChecksum := 0, 0
	tries := 0
	for at := 0; at < len(whole); at += 1 + len(whole)/4000 {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		tries++
		m, err := Decode(b)
		if err == nil {
			if got := content(t, m); !reflect.DeepEqual(got[:1], want[:1]) || !reflect.DeepEqual(got[1:3], want[1:3]) {
				t.Errorf("bit %d of byte %d of %d changes the model, and is not found", at%8, at, len(whole))
			}
			continue
		}
		found++
		if errors.Is(err, ErrChecksum) {
			byChecksum++
		}
	}
	t.Logf("%d of %d flipped bits are found, %d by the checksum", found, tries, byChecksum)
	if byChecksum < tries*9/10 {
		t.Errorf("the checksum found only %d of %d", byChecksum, tries)
	}
}

// Tensors outside the file have checksums, too, whether they are read now or later.
func TestDamagedTensorOutsideIsFound(t *testing.T) {
	path := written(t, true)
	side := path + ".data"
	whole, err := os.ReadFile(side)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 500, len(whole) - 1} {
		b := bytes.Clone(whole)
		b[at] ^= 4
		if err := os.WriteFile(side, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), "m.onnx.data") {
			t.Errorf("byte %d: %v", at, err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(f, info.Size(), ReadOptions{Path: path, SkipChecksums: true}); err != nil {
			t.Errorf("with SkipChecksums: %v", err)
		}
		f.Close()
	}
}

// A weight that is read later is compared then.
func TestDamagedDeferredTensorIsFound(t *testing.T) {
	net, err := models.New("resnet8-cifar", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := Save(path, net, SaveOptions{Input: tensor.Shape{3, 32, 32}, External: true}); err != nil {
		t.Fatal(err)
	}
	side := path + ".data"
	b, err := os.ReadFile(side)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1 // of one of the large weights, which are most of the file
	if err := os.WriteFile(side, b, 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := LoadDeferred(path)
	if err != nil {
		if errors.Is(err, ErrChecksum) { // where nothing is deferred
			return
		}
		t.Fatal(err)
	}
	found := false
	for _, x := range m.Tensors() {
		found = found || errors.Is(x.Load(), ErrChecksum)
	}
	if !found {
		t.Error("the damaged weight is read without an error")
	}
}

// Other programs keep metadata when they write a changed model: it is of another size,
// and is read as it is.
func TestChecksumsOfAChangedModelAreNotItsOwn(t *testing.T) {
	b, err := os.ReadFile(written(t, false))
	if err != nil {
		t.Fatal(err)
	}
	p, err := (&decoder{}).model(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := bytes.Join(p.encode().parts, nil); !bytes.Equal(again, b) {
		t.Error("a file that is written again as it is has other bytes")
	}
	p.producer += " and others"
	p.graph.initializers[0].raw[0] ^= 1
	m, err := Decode(bytes.Join(p.encode().parts, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(m.Producer(), "and others") {
		t.Errorf("the producer is %q", m.Producer())
	}
	for i := range p.metadata {
		if p.metadata[i].key == checksumKey {
			p.metadata[i].value = `{"size":`
		}
	}
	if _, err := Decode(bytes.Join(p.encode().parts, nil)); !errors.Is(err, errDamaged) {
		t.Errorf("checksums that cannot be read: %v", err)
	}
}

// What the checksum of a file costs when it is opened: 100 MB of weights.
func BenchmarkCheckFile(b *testing.B) {
	p := &modelProto{irVersion: irVersion, graph: &graphProto{initializers: []*tensorProto{{name: "w", dims: []int64{25e6}, elem: elemFloat, raw: make([]byte, 100e6)}}}}
	c, err := p.sealed(nil)
	if err != nil {
		b.Fatal(err)
	}
	file := bytes.Join(c.parts, nil)
	p, err = (&decoder{}).model(file)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := p.checkFile(file); err != nil {
			b.Fatal(err)
		}
	}
}
