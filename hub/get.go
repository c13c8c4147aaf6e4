package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/resnet-go/resnet/internal/steadyfile"
)

// pictureError is an [unreachedError] of a file that is not kept.
type pictureError struct {
	address    string
	err, cause error
}

func (e *pictureError) Error() string {
	return fmt.Sprintf("%s cannot be downloaded (%v): download it with another program, for example with curl, and give the file", e.address, e.cause)
}

func (e *pictureError) Unwrap() error { return e.err }

// Get downloads a small file, such as a picture, of at most limit bytes into memory.
// Nothing is kept on disk.
func (c *Client) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	n, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	if c.Offline {
		return nil, fmt.Errorf("%s: %w (HF_HUB_OFFLINE is set)", address, ErrOffline)
	}
	f, err := os.CreateTemp("", "resnet-download-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if steadyfile.Replaceable {
		os.Remove(f.Name()) // at once, so that a killed process leaves nothing behind
	}
	d := download{url: n.Repo, name: n.Repo, path: f.Name(), partial: f.Name(), size: -1, limit: limit}
	if n.SHA256 != "" {
		d.sum = sha256Sum(n.SHA256, "the address")
	}
	if err := c.fill(ctx, &d, f); err != nil {
		if unreached := (*unreachedError)(nil); errors.As(err, &unreached) {
			err = &pictureError{address, err, unreached.cause}
		}
		return nil, err
	}
	if err := d.verify(f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
