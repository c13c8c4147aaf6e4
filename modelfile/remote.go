package modelfile

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/hub"
)

// Fetch returns r with its file on this machine: a published model is downloaded,
// unless it is on disk already, and File is where it is; Remote then names the
// commit, so that it stays the same when the publisher has a newer one. Any other r is returned as
// it is. c nil is [hub.FromEnv].
func (r Ref) Fetch(ctx context.Context, c *hub.Client) (Ref, error) {
	if r.Remote == (hub.Name{}) || r.File != "" {
		return r, nil
	}
	if c == nil {
		c = hub.FromEnv()
	}
	var err error
	switch r.Remote.Kind {
	case hub.HuggingFace:
		var repo *hub.Repository
		if repo, err = c.Repository(ctx, r.Remote); err == nil {
			r.File = filepath.Join(repo.Dir, filepath.FromSlash(r.Remote.File))
			r.Remote.Revision = repo.Commit
		}
	default:
		r.File, err = c.File(ctx, r.Remote)
	}
	if err != nil {
		return r, err
	}
	if p, _ := r.published(); p != nil && r.Name == "" {
		r.Name = p.Network
		if p.From == "keras" && p.Weights == "notop" {
			return r, fmt.Errorf("%s has no last layer: name a network for its tensors, as NAME@%s, to fine-tune it", r.Remote, r.Remote)
		}
	}
	return r, nil
}

// published returns the table's entry for r, nil if it has none.
func (r Ref) published() (*hub.Published, error) {
	if r.Remote.Kind != hub.Torchvision && r.Remote.Kind != hub.Keras {
		return nil, nil
	}
	return hub.Lookup(r.Remote)
}

// openFetched opens a published model that is on disk, and adds what its publisher
// states elsewhere than in the file.
func (r Ref) openFetched(opt Options) (*Result, error) {
	res, err := Ref{Name: r.Name, File: r.File}.openLocal(opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Remote, err)
	}
	p, err := r.published()
	if err != nil {
		return nil, err
	}
	if len(res.File.Classes) == 0 && res.Classes == 1000 && (p != nil && p.Dataset == "ImageNet-1K" || strings.Contains(r.Remote.Repo, "in1k")) {
		res.File.Classes = data.ImageNetClasses()
	}
	if p != nil && len(res.File.Preprocess) == 0 {
		if q, ok := preparation(p); ok {
			res.Preprocess, res.Why = &q, fmt.Sprintf("%s says for %s", p.From, p.Weights)
		}
	}
	return res, nil
}

// preparation is how pictures were prepared for published weights.
func preparation(p *hub.Published) (data.Preprocess, bool) {
	q, err := data.Preset(cmp.Or(p.Preprocess.Preset, "imagenet"))
	if err != nil || p.Preprocess.Preset == "" && p.Preprocess.Resize == 0 {
		return q, false
	}
	if p.Preprocess.Preset == "" {
		q.Resize, q.Interpolation = p.Preprocess.Resize, imaging.Filter(p.Preprocess.Interpolation)
		size := cmp.Or(p.Preprocess.Crop, p.Preprocess.Resize)
		q.Width, q.Height = size, size
	}
	return q, q.Valid() == nil
}
