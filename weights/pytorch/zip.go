package pytorch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/internal/steadyfile"
)

// zipFile is the format of PyTorch 1.6 and later: a zip archive, nothing
// compressed, of NAME/data.pkl and NAME/data/KEY for each storage.
type zipFile struct {
	ra     io.ReaderAt
	size   int64
	prefix string // NAME/
	files  map[string]*zip.File
	big    bool // the elements are big-endian
	skip   bool // checksums are not compared

	mu    sync.Mutex
	whole map[string]error // records whose checksum was compared by reading all of them
}

// extraRecord is where [Write] puts what is not PyTorch's; torch.load does not
// look at it.
const extraRecord = "extra/resnet.json"

// maxExtra bounds the extra record, as safetensors bounds its header.
const maxExtra = 100_000_000

func (r *Reader) openZip(ra io.ReaderAt, size int64, skip bool) (any, error) {
	zr, err := zip.NewReader(ra, size)
	if err != nil {
		return nil, badf("it begins like a zip archive, but is none: %w (is it cut off?)", err)
	}
	z := &zipFile{ra: ra, size: size, skip: skip, files: make(map[string]*zip.File, len(zr.File)), whole: map[string]error{}}
	found := false
	for _, f := range zr.File {
		if z.files[f.Name] != nil {
			return nil, badf("the archive has %s twice", clip(f.Name))
		}
		z.files[f.Name] = f
		dir, name, _ := strings.Cut(f.Name, "/")
		if name == "data.pkl" {
			if found {
				return nil, badf("the archive has more than one data.pkl")
			}
			found, z.prefix = true, dir+"/"
		}
	}
	if !found {
		return nil, badf("the archive has no data.pkl, so it was not written by torch.save")
	}
	if order, err := z.small("byteorder", 16); err != nil {
		return nil, err
	} else if s := strings.TrimSpace(string(order)); s == "big" {
		z.big = true
	} else if s != "little" && s != "" {
		return nil, badf("its byte order is %s, not little or big", clip(s))
	}
	if r.extra, err = z.small(extraRecord, maxExtra); err != nil {
		return nil, err
	}
	pickle, err := z.small("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	r.box = z
	storages := map[string]*storage{}
	p := &unpickler{b: pickle, persID: func(id any) (any, error) { return persistent(storages, id, false) }}
	return p.next()
}

// find returns a record's place in the file, and false if there is none.
func (z *zipFile) find(name string) (section, bool, error) {
	f := z.files[z.prefix+name]
	if f == nil {
		return section{}, false, nil
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 || f.Flags&1 != 0 {
		return section{}, true, badf("record %s is compressed or encrypted, which torch.save never does", clip(f.Name))
	}
	at, err := f.DataOffset()
	if errors.Is(err, steadyfile.ErrChanged) {
		return section{}, true, err
	}
	if err != nil {
		return section{}, true, badf("record %s: %w", clip(f.Name), err)
	}
	n := f.UncompressedSize64
	if at < 0 || at > z.size || n > uint64(z.size-at) {
		return section{}, true, badf("record %s is beyond the end of the file", clip(f.Name))
	}
	return section{ReaderAt: io.NewSectionReader(z.ra, at, int64(n)), size: int64(n), sum: f.CRC32, hasSum: !z.skip, big: z.big}, true, nil
}

// small reads a record whole, nil if there is none.
func (z *zipFile) small(name string, limit int64) ([]byte, error) {
	s, ok, err := z.find(name)
	if err != nil || !ok {
		return nil, err
	}
	if s.size > limit {
		return nil, badf("record %s has %d bytes, the limit is %d", clip(z.prefix+name), s.size, limit)
	}
	var b bytes.Buffer
	b.Grow(int(s.size))
	if err := s.copyTo(&b); err != nil {
		return nil, fmt.Errorf("pytorch: record %s: %w", clip(z.prefix+name), err)
	}
	return b.Bytes(), nil
}

// checkWhole compares the checksum of a record of which a tensor needs a part only.
// It reads each record once.
func (z *zipFile) checkWhole(key string, b section) error {
	if !b.hasSum || b.sum == 0 {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	err, known := z.whole[key]
	if !known {
		err = b.copyTo(io.Discard)
		z.whole[key] = err
	}
	return err
}

func (z *zipFile) bytes(s *storage) (section, error) {
	b, ok, err := z.find("data/" + s.key)
	if err != nil {
		return b, err
	}
	if !ok {
		return b, badf("there is no record for storage %s", clip(s.key))
	}
	if want := s.bytes(); b.size != want {
		return b, badf("storage %s has %d bytes, the pickle says %d", clip(s.key), b.size, want)
	}
	b.checkWhole = func() error { return z.checkWhole(s.key, b) }
	return b, nil
}
