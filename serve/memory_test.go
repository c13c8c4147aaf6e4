package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
)

// The memory for decoding is weighed by what decoding takes, of which only the picture
// stays; and a picture that needs more than there is gets an error.
func TestDecodersWeighMemory(t *testing.T) {
	const w, h = 1024, 1024
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewNRGBA64(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	d := newDecoders(1, w*h)
	const need = 11 * w * h
	var m imaging.Image
	release, err := d.decode(t.Context(), picture{name: "x", file: file.Bytes()}, imaging.DecodeOptions{}, func(r *imaging.Reader) error {
		if r.Memory() != need || d.memory.TryAcquire(d.most-need+1) {
			t.Errorf("decoding takes %d bytes, must be %d", r.Memory(), need)
		}
		return r.Decode(&m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if rest := d.most - 3*w*h; d.memory.TryAcquire(rest+1) || !d.memory.TryAcquire(rest) {
		t.Error("not only the decoded picture stays")
	} else {
		d.memory.Release(rest)
	}
	release()
	if !d.memory.TryAcquire(d.most) {
		t.Error("memory is left behind")
	}
	d.memory.Release(d.most)

	d = newDecoders(1, w*h)
	interlaced := bytes.Clone(file.Bytes())
	interlaced[28] = 1
	binary.BigEndian.PutUint32(interlaced[29:], crc32.ChecksumIEEE(interlaced[12:29]))
	_, err = d.decode(context.Background(), picture{name: "x", file: interlaced}, imaging.DecodeOptions{}, func(*imaging.Reader) error {
		t.Error("it is decoded")
		return nil
	})
	if api, ok := err.(*apiError); !ok || api.status != http.StatusBadRequest || !strings.Contains(api.Error(), "to decode") {
		t.Errorf("%v", err)
	}
}
