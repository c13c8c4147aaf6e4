package hub

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// download is one file to fetch.
type download struct {
	url     string
	header  http.Header
	name    string // for people
	path    string // where it ends
	partial string // where it grows; what is there already is continued
	lock    string // file that all programs lock which write partial
	size    int64  // -1 if it is unknown
	sum     *checksum
	limit   int64 // most bytes that are accepted; 0 for any
}

// checksum is what a file's bytes must give.
type checksum struct {
	hash   func(size int64) hash.Hash
	want   string // in hex, or its first digits
	origin string // where want is from
}

// sha256Sum checks the SHA-256.
func sha256Sum(want, origin string) *checksum {
	return &checksum{func(int64) hash.Hash { return sha256.New() }, strings.ToLower(want), origin}
}

// fetch downloads d, unless its file is there already.
func (c *Client) fetch(ctx context.Context, d download) error {
	if exists(d.path) {
		return nil
	}
	if c.Offline {
		return offlineError(d, errors.New("HF_HUB_OFFLINE is set"))
	}
	for _, p := range []string{d.path, d.partial, d.lock} {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
	}
	l := flock.New(d.lock, flock.SetPermissions(0o664))
	if ok, err := l.TryLockContext(ctx, 200*time.Millisecond); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	} else if ok {
		defer l.Unlock()
	} // else a file system without locks: the rename at the end is atomic anyway
	if exists(d.path) { // another program was faster
		return nil
	}
	resumed := exists(d.partial)
	err := c.complete(ctx, &d)
	if errors.Is(err, ErrChecksum) && resumed {
		// The earlier part may be of another file.
		os.Remove(d.partial)
		err = c.complete(ctx, &d)
	}
	if errors.Is(err, ErrChecksum) {
		os.Remove(d.partial)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(d.partial, d.path); err != nil {
		return err
	}
	if c.Progress != nil {
		info, err := os.Stat(d.path)
		if err != nil {
			return err
		}
		c.Progress(Progress{File: d.name, Bytes: info.Size(), Total: info.Size(), Done: true})
	}
	return nil
}

// complete fills d.partial and verifies it.
func (c *Client) complete(ctx context.Context, d *download) error {
	f, err := os.OpenFile(d.partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.fill(ctx, d, f); err != nil {
		return err
	}
	if err := d.verify(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// fill downloads the part of d that f lacks, and tries again where that may help.
func (c *Client) fill(ctx context.Context, d *download, f *os.File) error {
	failed, err := c.persist(ctx, retries{
		tries:   cmp.Or(c.Tries, 5),
		pause:   func(failed int) time.Duration { return time.Duration(1<<min(failed, 5)) * 250 * time.Millisecond },
		offline: func(err error) error { return offlineError(*d, err) },
	}, func() (further bool, err error) {
		before, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return false, err
		}
		if d.size >= 0 && before > d.size {
			if err := f.Truncate(0); err != nil {
				return false, err
			}
			before = 0
		}
		if d.size >= 0 && before == d.size && before > 0 {
			return false, nil
		}
		err = c.request(ctx, d, f, before)
		if err != nil && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		after, _ := f.Seek(0, io.SeekEnd)
		return after > before, err
	})
	if again := (*retryError)(nil); errors.As(err, &again) {
		return fmt.Errorf("%s: %w (tried %d times; the same command goes on where it stopped)", d.url, again.err, failed)
	}
	return err
}

// retries is how a request is made again.
type retries struct {
	tries int // in a row without getting further
	// pause returns the least time to wait after that number of failures.
	pause func(failed int) time.Duration
	// offline returns the error where no server can be reached.
	offline func(error) error
}

// persist makes a request again as long as that may help. It returns the number of
// failures in a row, and a *retryError if they were too many.
func (c *Client) persist(ctx context.Context, r retries, request func() (further bool, err error)) (failed int, err error) {
	for {
		further, err := request()
		var hopeless hopelessError
		var again *retryError
		switch {
		case errors.As(err, &hopeless):
			return failed, r.offline(hopeless.error)
		case !errors.As(err, &again): // or nil
			return failed, err
		}
		if further {
			failed = 0
		}
		if failed++; failed >= r.tries {
			if again.network {
				return failed, r.offline(again.err)
			}
			return failed, again
		}
		if err := c.pause(ctx, max(again.after, r.pause(failed))); err != nil {
			return failed, err
		}
	}
}

// retryError is an error after which the same request may succeed.
type retryError struct {
	err     error
	after   time.Duration // the server's wish
	network bool          // no server answered
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// maxRetryAfter bounds the pause that a server may ask for.
const maxRetryAfter = 2 * time.Minute

// request asks for d from byte at on, and appends the answer to f.
func (c *Client) request(ctx context.Context, d *download, f *os.File, at int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := cmp.Or(c.Stall, 30*time.Second)
	watch := time.AfterFunc(stall, func() { cancel(&retryError{err: fmt.Errorf("the server has been silent for %v", stall)}) })
	defer watch.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	for k, v := range d.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are published
	if at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return networkError(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && at > 0:
		if start, total, ok := contentRange(resp.Header.Get("Content-Range")); !ok || start != at || d.size >= 0 && total >= 0 && total != d.size {
			return restart(f, fmt.Errorf("the server sent the range %q instead of that from byte %d", resp.Header.Get("Content-Range"), at))
		}
	case resp.StatusCode == http.StatusOK:
		if err := f.Truncate(0); err != nil {
			return err
		}
		at = 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && at > 0:
		if _, total, ok := contentRange(resp.Header.Get("Content-Range")); ok && total == at {
			return nil // it was complete
		}
		return restart(f, errors.New("the file on the server has another size than before"))
	default:
		return statusError(resp, d.url)
	}
	total := d.size
	if total < 0 && resp.ContentLength >= 0 {
		total = at + resp.ContentLength
	}
	if d.limit > 0 && total > d.limit {
		return fmt.Errorf("%s has %d bytes, the limit is %d", d.url, total, d.limit)
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	if err := c.copy(f, resp.Body, d, at, total, func() { watch.Reset(stall) }); err != nil {
		return networkErrorUnlessLocal(ctx, err)
	}
	return nil
}

// restart empties f, so that the next try begins anew.
func restart(f *os.File, err error) error {
	if e := f.Truncate(0); e != nil {
		return e
	}
	return &retryError{err: err}
}

// localError is an error of this machine, not of the network.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// copy appends the body to f.
func (c *Client) copy(f *os.File, body io.Reader, d *download, at, total int64, alive func()) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			alive()
			at += int64(n)
			if total >= 0 && at > total || d.limit > 0 && at > d.limit {
				return localError{fmt.Errorf("%s: the server sends more than %d bytes, the size or the limit", d.url, cmp.Or(max(total, 0), d.limit))}
			}
			if _, err := f.Write(buf[:n]); err != nil {
				return localError{err}
			}
			if c.Progress != nil {
				c.Progress(Progress{File: d.name, Bytes: at, Total: max(total, 0)})
			}
		}
		if err == io.EOF {
			if total >= 0 && at < total {
				return fmt.Errorf("the server closed the connection after %d of %d bytes", at, total)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// networkErrorUnlessLocal is networkError, except for errors of this machine.
func networkErrorUnlessLocal(ctx context.Context, err error) error {
	var local localError
	if errors.As(err, &local) {
		return local.error
	}
	again := networkError(ctx, err)
	var r *retryError
	if errors.As(again, &r) {
		r.network = false // a server has answered
	}
	return again
}

// networkError is a failed request: one to try again, unless no try can help.
func networkError(ctx context.Context, err error) error {
	var stalled *retryError
	if errors.As(context.Cause(ctx), &stalled) {
		return stalled
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return hopelessError{err}
	}
	return &retryError{err: err, network: true}
}

// hopelessError is an error of the network that no second try mends: there is no
// such host, as far as this machine can tell.
type hopelessError struct{ error }

// Unwrap returns the cause.
func (e hopelessError) Unwrap() error { return e.error }

// statusError is the error of an answer that is not the file.
func statusError(resp *http.Response, address string) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	said := ""
	if s := strings.Join(strings.Fields(string(text)), " "); s != "" && !strings.HasPrefix(s, "<") {
		said = ": " + s
	}
	err := fmt.Errorf("%s: the server answers %s%s", address, resp.Status, said)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%w; if the model is private or gated, accept its terms on its page and set HF_TOKEN", err)
	case code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return &retryError{err: err, after: retryAfter(resp.Header.Get("Retry-After"))}
	}
	return err
}

// retryAfter reads the header of this name: seconds, or a date.
func retryAfter(v string) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(t), 0), maxRetryAfter)
	}
	return 0
}

// contentRange reads "bytes 5-9/10" and "bytes */10". total is -1 if it is unknown.
func contentRange(v string) (start, total int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes ")
	span, size, found := strings.Cut(v, "/")
	if !ok || !found {
		return 0, 0, false
	}
	total = -1
	var err error
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
			return 0, 0, false
		}
	}
	if span == "*" {
		return -1, total, true
	}
	first, _, found := strings.Cut(span, "-")
	start, err = strconv.ParseInt(first, 10, 64)
	return start, total, found && err == nil && start >= 0
}

// verify compares the file with what is known of it.
func (d *download) verify(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if d.size >= 0 && size != d.size {
		return fmt.Errorf("%s: %w: it has %d bytes, must have %d", d.url, ErrChecksum, size, d.size)
	}
	if d.sum == nil {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := d.sum.hash(size)
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.HasPrefix(got, d.sum.want) {
		return fmt.Errorf("%s: %w: its checksum is %s, must be %s (%s)", d.url, ErrChecksum, got[:min(len(got), max(len(d.sum.want), 8))], d.sum.want, d.sum.origin)
	}
	return nil
}

func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if c.wait != nil {
		c.wait(d)
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// offlineError describes what to do by hand.
func offlineError(d download, err error) error { return &unreachedError{d, err} }

// unreachedError is the error of a download that no server could be asked for.
type unreachedError struct {
	of    download
	cause error
}

func (e *unreachedError) Error() string {
	return fmt.Sprintf("%s: %v (%v): download %s with another machine or program, and copy it to %s", e.of.name, ErrOffline, e.cause, e.of.url, e.of.path)
}

func (e *unreachedError) Unwrap() []error { return []error{ErrOffline, e.cause} }

const userAgent = "resnet-go"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
