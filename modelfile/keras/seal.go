package keras

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// sealMark and the CRC-32C of all bytes before it are the end of our HDF5 files. The
// format's own end is before them, so that other programs do not see them; those that
// change a file end it there.
const sealMark = "\nresnet crc32c "

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed adds the checksum to what write writes.
func sealed(write func(w io.Writer) error) func(w io.Writer) error {
	return func(w io.Writer) error {
		sum := crc32.New(castagnoli)
		if err := write(io.MultiWriter(w, sum)); err != nil {
			return err
		}
		_, err := w.Write(binary.LittleEndian.AppendUint32([]byte(sealMark), sum.Sum32()))
		return err
	}
}

// unsealed compares the checksum of a file that has one, and returns the file's size
// without it.
func unsealed(r io.ReaderAt, size int64, skip bool) (int64, error) {
	var end [len(sealMark) + 4]byte
	n := size - int64(len(end))
	if n < 0 {
		return size, nil
	}
	if _, err := r.ReadAt(end[:], n); err != nil && !errors.Is(err, io.EOF) {
		return size, err
	}
	if string(end[:len(sealMark)]) != sealMark {
		return size, nil
	}
	if skip {
		return n, nil
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, n)); err != nil {
		return n, err
	}
	if want := binary.LittleEndian.Uint32(end[len(sealMark):]); sum.Sum32() != want {
		return n, errors.New("keras: the checksum of the file is wrong: it is damaged; use another copy, or --skip-checksums to go on")
	}
	return n, nil
}
