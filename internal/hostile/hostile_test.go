package hostile

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"iter"
	"testing"
)

func count(t *testing.T, variants iter.Seq[[]byte], original []byte) (n int) {
	t.Helper()
	seen := map[string]bool{}
	same := 0
	for b := range variants {
		n++
		seen[string(b)] = true
		if bytes.Equal(b, original) {
			same++
		}
	}
	if len(seen) < n/4 || same > n/4 {
		t.Errorf("of %d variants, %d are different and %d are the original", n, len(seen), same)
	}
	return n
}

func TestVariants(t *testing.T) {
	text := []byte(`{"a":[1,2],"b":{"c":"x","d":null},"e":1.5}`)
	if n := count(t, JSON(text), text); n < 100 {
		t.Errorf("%d variants of JSON", n)
	}
	for b := range JSON(text) {
		if !json.Valid(b) {
			t.Fatalf("%s is not JSON", b)
		}
	}
	binary := []byte("0123456789abcdef")
	if n := count(t, Fields(binary), binary); n < 250 {
		t.Errorf("%d variants of fields", n)
	}
	// Field 1 is 150, field 2 a message with field 1 = "hi", field 3 a float.
	message := []byte{0x08, 0x96, 0x01, 0x12, 0x04, 0x0a, 0x02, 'h', 'i', 0x1d, 0, 0, 0x80, 0x3f}
	if n := count(t, Protobuf(message), message); n < 30 {
		t.Errorf("%d variants of a message", n)
	}
	for b := range Protobuf(message) {
		if len(b) > 0 && !whole(b) {
			t.Errorf("% x is no message", b)
		}
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, name := range []string{"a.json", "b"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(text)
	}
	w.Close()
	n := 0
	for b := range Zip(archive.Bytes(), func(name string, b []byte) iter.Seq[[]byte] {
		if name == "b" {
			return nil
		}
		return JSON(b)
	}) {
		n++
		if _, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	if n < 100 {
		t.Errorf("%d variants of an archive", n)
	}
}
