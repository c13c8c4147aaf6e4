package train

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The checksums of RFC 3720, appendix B.4, which TFRecord masks, and the first
// record of a file that TensorFlow wrote.
func TestRecordFraming(t *testing.T) {
	unmask := func(m uint32) uint32 { r := m - 0xa282ead8; return r<<15 | r>>17 }
	for _, c := range []struct {
		data []byte
		crc  uint32
	}{
		{make([]byte, 32), 0x8a9136aa},
		{bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
	} {
		if got := unmask(maskedCRC(c.data)); got != c.crc {
			t.Errorf("CRC-32C %08x, want %08x", got, c.crc)
		}
	}
	var b bytes.Buffer
	if err := writeRecord(&b, make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 8+4+32+4 || binary.LittleEndian.Uint64(b.Bytes()) != 32 {
		t.Errorf("the record is %x", b.Bytes())
	}
}

// testdata/events.hex is what the tensorboard package's own protobuf classes
// and record writer make of the same events; see testdata/gen/events.py.
func TestEventsEqualTensorBoards(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "events.hex"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	record := func(payload []byte) {
		if err := writeRecord(&b, payload); err != nil {
			t.Fatal(err)
		}
	}
	record(eventBytes(1.5, 0, versionField))
	record(eventBytes(2.25, 300, restartField))
	record(eventBytes(3.125, 300, summaryField([]string{"loss/train", "lr"}, []float64{0.1, 1e-5})))
	record(eventBytes(4, 1<<40, summaryField([]string{"top1/val"}, []float64{math.Inf(1)})))
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got\n%x\nwant\n%x", b.Bytes(), want)
	}
}

func TestResumedEventsSayFromWhere(t *testing.T) {
	dir := t.TempDir()
	for step, want := range map[int]bool{0: false, 12: true} {
		e, err := openEvents(dir, step)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files %v, %v", files, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(b, restartField); got != want || !bytes.Contains(b, []byte("brain.Event:2")) {
			t.Errorf("from step %d: the file has a restart: %v", step, got)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
	}
}
