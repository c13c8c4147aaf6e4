package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// budget is an amount of memory that requests share.
type budget struct {
	mu    sync.Mutex
	used  int64
	limit int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// maxRatio is how many times larger a body may become when it is decompressed, from
// freeSize on. Text of numbers shrinks to a fifth; a bomb to a thousandth, and so does a
// tensor of zeros, which is small, though.
const (
	maxRatio = 100
	freeSize = 4 << 20
)

// body reads the body of a request, decompressed. The caller calls free when it does not
// need the bytes any more.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, free func(), err error) {
	var reserved int64
	free = func() {
		s.bodies.give(reserved)
		s.metrics.bodies.Sub(float64(reserved))
	}
	defer func() {
		if err != nil {
			free()
			free = nil
		}
	}()
	reserve := func(n int64) error {
		if !s.bodies.take(n) {
			return &apiError{http.StatusTooManyRequests, "the bodies of the requests in progress fill the memory for them: try again later", time.Second}
		}
		reserved += n
		s.metrics.bodies.Add(float64(n))
		return nil
	}
	if r.ContentLength > s.opt.MaxBody {
		return nil, free, errorf(http.StatusRequestEntityTooLarge, "the body has %d bytes, more than the limit of %d", r.ContentLength, s.opt.MaxBody)
	}
	// The error is that of a connection without deadlines, such as a test's.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.opt.BodyTimeout))
	body, err = readAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBody), max(r.ContentLength, 0), s.opt.MaxBody, reserve)
	if err != nil {
		// The deadline stays, because net/http now reads the rest of the body.
		return nil, free, bodyError(err)
	}
	_ = control.SetReadDeadline(time.Time{})
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	var unpack io.ReadCloser
	switch encoding {
	case "", "identity":
		return body, free, nil
	case "gzip", "x-gzip":
		unpack, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		unpack, err = zlib.NewReader(bytes.NewReader(body))
	default:
		return nil, free, errorf(http.StatusUnsupportedMediaType, "Content-Encoding is %.100q, must be gzip or deflate", encoding)
	}
	if err != nil {
		return nil, free, errorf(http.StatusBadRequest, "the body is not compressed by %s: %v", encoding, err)
	}
	defer unpack.Close()
	limit := min(s.opt.MaxBody, max(maxRatio*int64(len(body)), freeSize))
	body, err = readAll(unpack, 0, limit, reserve)
	var large *tooLarge
	switch {
	case errors.As(err, &large):
		return nil, free, errorf(http.StatusRequestEntityTooLarge, "the body becomes larger than %d bytes when it is decompressed: more than the limit, or than %d times its size", limit, maxRatio)
	case errors.As(err, new(*apiError)):
		return nil, free, err
	case err != nil:
		return nil, free, errorf(http.StatusBadRequest, "the body cannot be decompressed: %v", err)
	}
	return body, free, nil
}

// tooLarge is the error of readAll for more than limit bytes.
type tooLarge struct{ limit int64 }

// Error names the limit.
func (e *tooLarge) Error() string {
	return fmt.Sprintf("the body is larger than the limit of %d bytes", e.limit)
}

// readAll reads to the end, and reserves the memory before it takes it. expected is the
// size that was announced, 0 if none was.
func readAll(r io.Reader, expected, limit int64, reserve func(n int64) error) ([]byte, error) {
	// An announcement alone takes no more than this.
	const step = 1 << 20
	var buf []byte
	grow := func(n int64) error {
		if err := reserve(n); err != nil {
			return err
		}
		larger := make([]byte, len(buf), int64(cap(buf))+n)
		copy(larger, buf)
		buf = larger
		return nil
	}
	if err := grow(min(expected, step) + 1); err != nil {
		return nil, err
	}
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		case int64(len(buf)) > limit:
			return nil, &tooLarge{limit}
		}
		if len(buf) == cap(buf) {
			more := min(max(int64(len(buf)), 4<<10), limit+1-int64(len(buf)))
			if rest := expected + 1 - int64(len(buf)); rest > 0 {
				more = min(more, rest)
			}
			if err := grow(max(more, 1)); err != nil {
				return nil, err
			}
		}
	}
}

// bodyError gives an error of reading a body its status.
func bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, new(*apiError)), errors.As(err, &large), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errorf(http.StatusRequestTimeout, "the body did not arrive in time")
	default:
		return errorf(http.StatusBadRequest, "the body ends early, or is damaged: %v", err)
	}
}

// mediaType returns the type of a body without its parameters, in lower case.
func mediaType(r *http.Request) (kind string, params map[string]string, err error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return "", nil, nil
	}
	kind, params, err = mime.ParseMediaType(header)
	if err != nil {
		return "", nil, errorf(http.StatusUnsupportedMediaType, "Content-Type is %.100q, which is no type: %v", header, err)
	}
	return kind, params, nil
}
