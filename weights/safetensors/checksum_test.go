package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

func checksummed(t testing.TB) []byte {
	t.Helper()
	f, err := tensor.FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	i, err := tensor.FromInt64([]int64{7, -8}, 2)
	if err != nil {
		t.Fatal(err)
	}
	none, err := tensor.FromFloat32(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = Write(&b, []Tensor{{Name: "f", Tensor: f}, {Name: "half", Tensor: f, As: F16}, {Name: "i", Tensor: i}, {Name: "none", Tensor: none}},
		map[string]string{"who": "I", "what": "a test"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// content is all that a program can read from a file.
type content struct {
	entries  []Entry
	metadata map[string]string
	floats   map[string][]float32
	ints     map[string][]int64
	raw      map[string][]byte
}

func read(b []byte, open func(*bytes.Reader, int64) (*Reader, error)) (*content, error) {
	r, err := open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	c := &content{entries: r.Entries(), metadata: r.Metadata(), floats: map[string][]float32{}, ints: map[string][]int64{}, raw: map[string][]byte{}}
	for _, e := range r.Entries() {
		x, err := r.Tensor(e.Name)
		if err != nil {
			return nil, err
		}
		if x.DType() == tensor.Float32 {
			c.floats[e.Name] = x.Float32s()
			later, err := r.Deferred(e.Name)
			if err == nil {
				err = later.Load()
			}
			if err != nil {
				return nil, err
			}
		} else {
			c.ints[e.Name] = x.Int64s()
		}
		if c.raw[e.Name], err = r.Bytes(e.Name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func checked(r *bytes.Reader, n int64) (*Reader, error) { return NewReader(r, n) }

// Whichever bit of a file is flipped, the file is refused or has the same content.
func TestEveryFlippedBit(t *testing.T) {
	b := checksummed(t)
	want, err := read(b, checked)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.metadata) != 2 {
		t.Errorf("metadata %v", want.metadata)
	}
	accepted := 0
	for at := range len(b) * 8 {
		b[at/8] ^= 1 << (at % 8)
		got, err := read(b, checked)
		b[at/8] ^= 1 << (at % 8)
		if err != nil {
			continue
		}
		accepted++
		for k, v := range got.metadata {
			if strings.HasPrefix(v, `{"header":`) { // a file whose entry of checksums has another name has none
				delete(got.metadata, k)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("with bit %d of byte %d flipped, the file reads as %+v", at%8, at/8, got)
		}
	}
	// Those of the name of the checksums, and of the case of keys.
	t.Logf("%d of %d flips leave the content as it was", accepted, len(b)*8)
}

func TestFlippedBitOfTensor(t *testing.T) {
	b := checksummed(t)
	b[len(b)-3] ^= 4
	_, err := read(b, checked)
	if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), `tensor "half"`) {
		t.Errorf("error %v", err)
	}
	if _, err := read(b, func(r *bytes.Reader, n int64) (*Reader, error) { return NewUncheckedReader(r, n) }); err != nil {
		t.Errorf("without checksums: %v", err)
	}
	if _, err := read(b, func(r *bytes.Reader, n int64) (*Reader, error) {
		x, err := NewReader(r, n)
		if err == nil {
			x.SkipChecksums()
		}
		return x, err
	}); err != nil {
		t.Errorf("without checksums of tensors: %v", err)
	}
}

// Files of other programs have no checksums.
func TestWithoutChecksums(t *testing.T) {
	header := `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  `
	b := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header+"\x00\x00\x80\x3f"...)
	got, err := read(b, checked)
	if err != nil || got.floats["a"][0] != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReservedMetadata(t *testing.T) {
	if err := Write(new(bytes.Buffer), nil, map[string]string{checksumKey: "x"}); err == nil || !strings.Contains(err.Error(), checksumKey) {
		t.Errorf("error %v", err)
	}
}

// The checksums themselves may be anything.
func TestHostileChecksums(t *testing.T) {
	for _, text := range []string{"", "null", "{}", `{"header":1}`, `{"header":"00000000","tensors":null}`, `{"header":"","tensors":{"a":"00000000"}}`,
		`{"header":"00000000","tensors":{"b":"00000000"}}`, `{"header":"00000000","tensors":{"a":"00000000"},"more":1}`} {
		m, err := json.Marshal(map[string]string{checksumKey: text})
		if err != nil {
			t.Fatal(err)
		}
		header := `{"__metadata__":` + string(m) + `,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
		b := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header+"\x00\x00\x80\x3f"...)
		if len(header) > 255 {
			t.Fatal("the header is too long for the test")
		}
		if _, err := read(b, checked); err == nil {
			t.Errorf("checksums %s are accepted", text)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	x := tensor.New(1 << 20)
	var f bytes.Buffer
	if err := Write(&f, []Tensor{{Name: "x", Tensor: x}}, nil); err != nil {
		b.Fatal(err)
	}
	for name, skip := range map[string]bool{"checksums": false, "none": true} {
		b.Run(name, func(b *testing.B) {
			r, err := NewReader(bytes.NewReader(f.Bytes()), int64(f.Len()))
			if err != nil {
				b.Fatal(err)
			}
			if skip {
				r.SkipChecksums()
			}
			b.SetBytes(4 << 20)
			for b.Loop() {
				if _, err := r.Tensor("x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
