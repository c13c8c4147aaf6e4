package hub

import (
	"context"
	"crypto/md5"
	_ "embed"
	"encoding/json"
	"fmt"
	"hash"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/internal/suggest"
)

// Published are weights that torchvision, Keras or timm publishes.
type Published struct {
	From    string `json:"from"` // torchvision, keras or timm
	Network string `json:"name"`
	Weights string `json:"weights"` // IMAGENET1K_V2; imagenet or notop for Keras
	Default bool   `json:"default"` // what the name without weights stands for
	URL     string `json:"url"`     // of the file; "" for a repository of the Hugging Face hub
	// SHA256 is the beginning of the checksum, as torchvision has it in the file's name;
	// MD5 is Keras'.
	SHA256  string             `json:"sha256,omitempty"`
	MD5     string             `json:"md5,omitempty"`
	Dataset string             `json:"dataset"`           // of training and of the metrics
	Metrics map[string]float64 `json:"metrics,omitempty"` // percent, as the publisher states them
	Classes int                `json:"classes"`
	Params  int                `json:"params,omitempty"`
	MB      float64            `json:"mb,omitempty"` // of the file, 2^20 bytes
	License string             `json:"license"`
	// Preprocess is how pictures are prepared.
	Preprocess struct {
		Resize        int    `json:"resize,omitempty"` // shorter side
		Crop          int    `json:"crop,omitempty"`   // 0 crops nothing
		Interpolation string `json:"interpolation,omitempty"`
		Preset        string `json:"preset,omitempty"` // of package data, instead of the others
	} `json:"preprocess"`
}

// Name returns the name by which [Parse] finds p.
func (p *Published) Name() Name {
	n := Name{Kind: Torchvision, Repo: p.Network, Revision: p.Weights}
	switch p.From {
	case "keras":
		n.Kind = Keras
	case "timm":
		return Name{Kind: HuggingFace, Repo: "timm/" + p.Network}
	}
	if p.Default {
		n.Revision = ""
	}
	return n
}

//go:embed published.json
var publishedJSON []byte

// AllPublished returns the weights of torchvision, Keras and timm, as the script in
// this folder found them in these packages: of timm, those whose networks package
// models has.
var AllPublished = sync.OnceValue(func() []*Published {
	var table struct {
		Models []*Published `json:"models"`
	}
	if err := json.Unmarshal(publishedJSON, &table); err != nil {
		panic(err) // the file is part of the program
	}
	return table.Models
})

// Lookup returns the weights that torchvision or Keras publishes under a name. The
// error for an unknown one wraps [ErrNotFound] and suggests the nearest.
func Lookup(n Name) (*Published, error) {
	from := map[Kind]string{Torchvision: "torchvision", Keras: "keras"}[n.Kind]
	var networks, weights []string
	for _, p := range AllPublished() {
		if p.From != from {
			continue
		}
		networks = append(networks, p.Network)
		if !strings.EqualFold(p.Network, n.Repo) {
			continue
		}
		weights = append(weights, p.Weights)
		if n.Revision == "" && p.Default || strings.EqualFold(p.Weights, n.Revision) || p.Default && strings.EqualFold(n.Revision, "default") {
			return p, nil
		}
	}
	if len(weights) > 0 {
		return nil, fmt.Errorf("%s/%s has no weights %q (%w)%s", from, n.Repo, n.Revision, ErrNotFound, suggest.Phrase(n.Revision, weights))
	}
	return nil, fmt.Errorf("%s publishes no residual network %q (%w)%s", from, n.Repo, ErrNotFound, suggest.Phrase(n.Repo, slices.Compact(networks)))
}

// File downloads published weights, or an address, and returns the path of the file.
func (c *Client) File(ctx context.Context, n Name) (string, error) {
	d := download{size: -1}
	switch n.Kind {
	case Address:
		d.url, d.name = n.Repo, path.Base(strings.SplitN(n.Repo, "?", 2)[0])
		folder := c.TorchCache
		if n.SHA256 != "" {
			d.sum = sha256Sum(n.SHA256, "the address")
			folder = filepath.Join(folder, n.SHA256[:16]) // two addresses may end alike
		} else {
			h := md5.Sum([]byte(n.Repo))
			folder = filepath.Join(folder, fmt.Sprintf("%x", h[:8]))
		}
		d.path = filepath.Join(folder, fileName(d.name))
	default:
		p, err := Lookup(n)
		if err != nil {
			return "", err
		}
		d.url, d.name = p.URL, path.Base(p.URL)
		d.path = filepath.Join(c.TorchCache, d.name)
		d.sum = sha256Sum(p.SHA256, "the file's name")
		if n.Kind == Keras {
			d.path = filepath.Join(c.KerasCache, d.name)
			d.sum = &checksum{func(int64) hash.Hash { return md5.New() }, p.MD5, "Keras' table"}
		}
	}
	d.partial = d.path + ".incomplete"
	d.lock = d.path + ".lock"
	if err := c.fetch(ctx, d); err != nil {
		return "", err
	}
	return d.path, nil
}

// fileName makes a name for a file of the last part of an address.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, s)
	if len(s) > 120 {
		s = s[len(s)-120:]
	}
	return s
}
