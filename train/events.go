package train

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// eventWriter writes a TensorBoard event file: records in TFRecord's framing,
// each an Event message of TensorFlow's event.proto. Its protobuf encoding needs so
// few field types that it is written by hand.
type eventWriter struct {
	w   *bufio.Writer
	c   io.Closer
	now func() time.Time
}

// openEvents starts a new event file in dir. In a resumed run it starts with a
// SessionLog, on which TensorBoard drops the points that earlier files have from
// step on.
func openEvents(dir string, step int) (*eventWriter, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", now.Unix(), filepath.Base(host), os.Getpid(), now.Nanosecond())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("TensorBoard events: %w", err)
	}
	e := &eventWriter{w: bufio.NewWriter(f), c: f, now: time.Now}
	err = e.event(0, versionField)
	if err == nil && step > 0 {
		err = e.event(step, restartField)
	}
	if err != nil {
		e.close()
		return nil, fmt.Errorf("TensorBoard events: %w", err)
	}
	return e, nil
}

var (
	versionField = protoBytes(nil, 3, []byte("brain.Event:2")) // file_version
	restartField = protoBytes(nil, 7, protoVarint(nil, 1, 1))  // session_log { status: START }
)

// scalars writes values at a step. tags and values correspond.
func (e *eventWriter) scalars(step int, tags []string, values []float64) error {
	return e.event(step, summaryField(tags, values))
}

// summaryField is Event.summary (5), with a Value (1) for each tag (1), with
// its simple_value (2).
func summaryField(tags []string, values []float64) []byte {
	var summary []byte
	for i, tag := range tags {
		v := protoBytes(nil, 1, []byte(tag))
		v = protoFloat(v, 2, float32(values[i]))
		summary = protoBytes(summary, 1, v)
	}
	return protoBytes(nil, 5, summary)
}

func (e *eventWriter) event(step int, what []byte) error {
	return writeRecord(e.w, eventBytes(float64(e.now().UnixNano())/1e9, step, what))
}

// eventBytes is an Event: wall_time (1), step (2) and the field what.
func eventBytes(wall float64, step int, what []byte) []byte {
	b := protoDouble(nil, 1, wall)
	if step != 0 {
		b = protoVarint(b, 2, uint64(step))
	}
	return append(b, what...)
}

func (e *eventWriter) flush() error { return e.w.Flush() }

func (e *eventWriter) close() error {
	err := e.w.Flush()
	if cerr := e.c.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeRecord frames a record as TFRecord does: length, the length's checksum,
// the data, the data's checksum.
func writeRecord(w io.Writer, data []byte) error {
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:], uint64(len(data)))
	binary.LittleEndian.PutUint32(head[8:], maskedCRC(head[:8]))
	var foot [4]byte
	binary.LittleEndian.PutUint32(foot[:], maskedCRC(data))
	for _, b := range [][]byte{head[:], data, foot[:]} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, rotated and offset as TFRecord requires, since a CRC of data
// that contains its own CRC is weak.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func protoKey(b []byte, field, wire int) []byte {
	return binary.AppendUvarint(b, uint64(field<<3|wire))
}

func protoVarint(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(protoKey(b, field, 0), v)
}

func protoDouble(b []byte, field int, v float64) []byte {
	return binary.LittleEndian.AppendUint64(protoKey(b, field, 1), math.Float64bits(v))
}

func protoBytes(b []byte, field int, v []byte) []byte {
	return append(binary.AppendUvarint(protoKey(b, field, 2), uint64(len(v))), v...)
}

func protoFloat(b []byte, field int, v float32) []byte {
	return binary.LittleEndian.AppendUint32(protoKey(b, field, 5), math.Float32bits(v))
}
