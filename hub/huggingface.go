package hub

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/weights"
)

// Repository is a repository of the Hugging Face hub as it is on disk.
type Repository struct {
	// Dir is the folder of the files of one commit. Files that were not asked for may
	// be missing.
	Dir    string
	Commit string
}

// weightFiles are the files of weights that are taken of a repository, the best
// first: safetensors before pickles.
var weightFiles = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
	"model.onnx", "onnx/model.onnx", "model.keras", "model.h5"}

// sideFiles are what describes the weights.
var sideFiles = []string{"config.json", "preprocessor_config.json"}

var commitHex = regexp.MustCompile(`^[0-9a-f]{40}$`)

// repo is a repository and its folder in the cache.
type repo struct {
	c        *Client
	name     string // ORG/NAME
	revision string
	folder   string // of the cache, see huggingface_hub's "Understand caching"
}

// Repository downloads the files of a repository that a model needs: its weights,
// config.json and preprocessor_config.json. n.File asks for one file instead.
//
// A branch or tag may move, so that the hub is asked each time for the commit that it
// names, as huggingface_hub does; if the hub cannot be asked, the copy on disk is used
// after one try, which ends after HF_HUB_ETAG_TIMEOUT seconds (10). Nothing is asked
// for a commit that is on disk (ORG/NAME@COMMIT), or if HF_HUB_OFFLINE is set.
func (c *Client) Repository(ctx context.Context, n Name) (*Repository, error) {
	r := &repo{c: c, name: n.Repo, revision: n.Revision, folder: filepath.Join(c.HubCache, "models--"+strings.ReplaceAll(n.Repo, "/", "--"))}
	if r.revision == "" {
		r.revision = "main"
	}
	commit, files, err := r.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if files == nil { // no network: what is in the cache must do
		return r.cached(commit, n.File)
	}
	wanted, err := r.choose(ctx, commit, files, n.File)
	if err != nil {
		return nil, err
	}
	for _, name := range wanted {
		if _, err := r.get(ctx, commit, name); err != nil {
			return nil, err
		}
	}
	return &Repository{Dir: filepath.Join(r.folder, "snapshots", commit), Commit: commit}, nil
}

// resolve returns the commit of the revision and the names of its files, which are
// nil if the network cannot be asked and the cache knows the commit.
func (r *repo) resolve(ctx context.Context) (commit string, files []string, err error) {
	known := r.revision
	if !commitHex.MatchString(known) {
		b, _ := limitread.File(filepath.Join(r.folder, "refs", filepath.FromSlash(r.revision)), maxAnswer) // none: not cached
		known = strings.TrimSpace(string(b))
	}
	dir := filepath.Join(r.folder, "snapshots", known)
	cached := commitHex.MatchString(known) && exists(dir)
	if cached && known == r.revision && r.complete(dir) { // a commit never changes
		return known, nil, nil
	}
	if r.c.Offline {
		if cached {
			return known, nil, nil
		}
		return "", nil, fmt.Errorf("%s: %w (HF_HUB_OFFLINE is set): fetch it once with the network, or copy the cache %s of another machine", r.name, ErrOffline, r.folder)
	}
	if err := r.c.checkEndpoint(); err != nil {
		return "", nil, err
	}
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	address := r.c.Endpoint + "/api/models/" + r.name + "/revision/" + url.PathEscape(r.revision)
	tries := cmp.Or(r.c.Tries, 3)
	if cached {
		tries = 1 // the copy on disk will do
	}
	if err := r.json(ctx, address, tries, &info); err != nil {
		if cached && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
			r.c.note(fmt.Sprintf("%s: the hub cannot be asked (%v); the copy on disk, commit %s, is used", r.name, err, known[:7]))
			return known, nil, nil
		}
		if errors.Is(err, ErrOffline) {
			err = fmt.Errorf("%w; or clone the repository elsewhere and give its folder as MODEL", err)
		}
		return "", nil, err
	}
	if !commitHex.MatchString(info.SHA) {
		return "", nil, fmt.Errorf("%s: the hub names the commit %q, which is none", address, info.SHA)
	}
	for _, s := range info.Siblings {
		if safe(s.Name) {
			files = append(files, s.Name)
		}
	}
	if info.SHA != r.revision {
		ref := filepath.Join(r.folder, "refs", filepath.FromSlash(r.revision))
		if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
			return "", nil, err
		}
		if err := atomicfile.Write(ref, func(w io.Writer) error { _, err := io.WriteString(w, info.SHA); return err }); err != nil {
			return "", nil, err
		}
	}
	return info.SHA, slices.Clip(append([]string{}, files...)), nil
}

// complete reports whether a snapshot has the files of weights that its first one
// of weightFiles needs.
func (r *repo) complete(dir string) bool {
	for _, name := range weightFiles {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if !exists(at) {
			continue
		}
		if !strings.HasSuffix(name, ".index.json") {
			return true
		}
		shards, err := readIndex(at)
		return err == nil && !slices.ContainsFunc(shards, func(s string) bool { return !exists(filepath.Join(dir, filepath.FromSlash(s))) })
	}
	return false
}

// cached returns a commit that is on disk.
func (r *repo) cached(commit, file string) (*Repository, error) {
	dir := filepath.Join(r.folder, "snapshots", commit)
	names := weightFiles
	if file != "" {
		names = []string{file}
	}
	for _, name := range names {
		if exists(filepath.Join(dir, filepath.FromSlash(name))) {
			return &Repository{Dir: dir, Commit: commit}, nil
		}
	}
	return nil, fmt.Errorf("%s: %w: the copy in %s has none of %s", r.name, ErrOffline, dir, strings.Join(names, ", "))
}

// choose returns the files that are needed.
func (r *repo) choose(ctx context.Context, commit string, files []string, file string) ([]string, error) {
	if file != "" {
		if !slices.Contains(files, file) {
			return nil, fmt.Errorf("%s: %w: it has no file %s, only %s", r.name, ErrNotFound, file, some(files))
		}
		return []string{file}, nil
	}
	var wanted []string
	for _, name := range sideFiles {
		if slices.Contains(files, name) {
			wanted = append(wanted, name)
		}
	}
	i := slices.IndexFunc(weightFiles, func(name string) bool { return slices.Contains(files, name) })
	if i < 0 {
		var other []string
		for _, f := range files {
			if e := path.Ext(f); e == ".safetensors" || e == ".pth" || e == ".pt" || e == ".onnx" || e == ".keras" || e == ".h5" || e == ".bin" {
				other = append(other, f)
			}
		}
		if len(other) == 1 {
			return append(wanted, other...), nil
		}
		return nil, fmt.Errorf("%s has none of the files %s; name one of its files, as hf://%s/FILE: %s", r.name, strings.Join(weightFiles, ", "), r.name, some(files))
	}
	wanted = append(wanted, weightFiles[i])
	if !strings.HasSuffix(weightFiles[i], ".index.json") {
		return wanted, nil
	}
	at, err := r.get(ctx, commit, weightFiles[i])
	if err != nil {
		return nil, err
	}
	shards, err := readIndex(at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", weightFiles[i], err)
	}
	return append(wanted, shards...), nil
}

// maxAnswer bounds an answer of the hub.
const maxAnswer = 64 << 20

// readIndex returns the shards that an index names, each once.
func readIndex(file string) ([]string, error) {
	b, err := limitread.File(file, weights.MaxIndex)
	if err != nil {
		return nil, err
	}
	index, err := weights.ParseIndex(b)
	if err != nil {
		return nil, err
	}
	shards := slices.Compact(slices.Sorted(maps.Values(index)))
	for _, s := range shards {
		if !safe(s) {
			return nil, fmt.Errorf("it names the file %q, which is not a path inside the repository", s)
		}
	}
	return shards, nil
}

func some(names []string) string {
	if len(names) > 12 {
		return strings.Join(names[:12], ", ") + fmt.Sprintf(" and %d more", len(names)-12)
	}
	return strings.Join(names, ", ")
}

// get returns the path of a file of a commit, which it downloads if need be.
func (r *repo) get(ctx context.Context, commit, name string) (string, error) {
	pointer := filepath.Join(r.folder, "snapshots", commit, filepath.FromSlash(name))
	if exists(pointer) {
		return pointer, nil
	}
	address := r.c.Endpoint + "/" + r.name + "/resolve/" + commit + "/" + escape(name)
	m, err := r.head(ctx, address)
	if err != nil {
		return "", err
	}
	blob := filepath.Join(r.folder, "blobs", m.etag)
	err = r.c.fetch(ctx, download{
		url: address, header: r.header(), name: r.name + "/" + name, path: blob, partial: blob + ".incomplete",
		lock: filepath.Join(r.c.HubCache, ".locks", filepath.Base(r.folder), m.etag+".lock"),
		size: m.size, sum: m.sum(),
	})
	if err != nil {
		return "", err
	}
	return pointer, link(blob, pointer)
}

// link makes pointer a relative symbolic link to blob, or a copy where links are
// not possible.
func link(blob, pointer string) error {
	if err := os.MkdirAll(filepath.Dir(pointer), 0o755); err != nil {
		return err
	}
	to, err := filepath.Rel(filepath.Dir(pointer), blob)
	if err != nil {
		return err
	}
	err = os.Symlink(to, pointer)
	if err == nil || exists(pointer) {
		return nil
	}
	if err := os.Rename(blob, pointer); err != nil {
		return fmt.Errorf("%s: %w", pointer, err)
	}
	return nil
}

// metadata is the hub's description of a file, without its content.
type metadata struct {
	etag string
	size int64
}

// sum returns the checksum that the ETag is: SHA-256 of large files, git's SHA-1 of
// others.
func (m metadata) sum() *checksum {
	switch {
	case sha256Hex.MatchString(m.etag):
		return sha256Sum(m.etag, "the hub's ETag")
	case commitHex.MatchString(m.etag):
		return &checksum{func(size int64) hash.Hash {
			h := sha1.New()
			fmt.Fprintf(h, "blob %d\x00", size)
			return h
		}, m.etag, "the hub's ETag"}
	}
	return nil
}

// head asks for the metadata of a file. The hub answers for a large file with a
// redirect, which is not followed: its headers have what is wanted.
func (r *repo) head(ctx context.Context, address string) (metadata, error) {
	client := r.c.client()
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) < 10 && req.URL.Host == via[0].URL.Host && via[len(via)-1].Response == nil && req.Response != nil && req.Response.Header.Get("X-Linked-Etag") == "" {
			return nil // a renamed repository
		}
		return http.ErrUseLastResponse
	}
	var m metadata
	err := r.try(ctx, cmp.Or(r.c.Tries, 3), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
		if err != nil {
			return err
		}
		req.Header = r.header()
		req.Header.Set("Accept-Encoding", "identity")
		resp, err := client.Do(req)
		if err != nil {
			return networkError(ctx, err)
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 400 {
			return statusError(resp, address)
		}
		m.etag = strings.Trim(strings.TrimPrefix(firstOf(resp.Header, "X-Linked-Etag", "Etag"), "W/"), `"`)
		if m.etag == "" || !safe(m.etag) || strings.Contains(m.etag, "/") {
			return fmt.Errorf("%s: the hub sends the ETag %q, by which the cache cannot name a file", address, m.etag)
		}
		m.size = -1
		size := resp.Header.Get("X-Linked-Size")
		if size == "" && resp.StatusCode < 300 {
			size = resp.Header.Get("Content-Length")
		}
		if n, err := strconv.ParseInt(size, 10, 64); err == nil && n >= 0 {
			m.size = n
		}
		return nil
	})
	return m, err
}

func firstOf(h http.Header, names ...string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

// headTimeout is how long a small request may take: metadata, and the list of files.
// It is that of huggingface_hub, whose variable changes it here, too.
func headTimeout() time.Duration {
	if s, err := strconv.ParseFloat(os.Getenv("HF_HUB_ETAG_TIMEOUT"), 64); err == nil && s > 0 && s < 3600 {
		return time.Duration(s * float64(time.Second))
	}
	return 10 * time.Second
}

// try runs a small request, up to a number of times where that may help.
func (r *repo) try(ctx context.Context, tries int, request func(context.Context) error) error {
	timeout := headTimeout()
	_, err := r.c.persist(ctx, retries{
		tries:   tries,
		pause:   func(failed int) time.Duration { return time.Duration(failed) * 500 * time.Millisecond },
		offline: func(err error) error { return fmt.Errorf("%s: %w: %w", r.name, ErrOffline, err) },
	}, func() (bool, error) {
		small, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := request(small)
		if small.Err() != nil && ctx.Err() == nil {
			err = &retryError{err: fmt.Errorf("no answer within %v", timeout), network: true}
		}
		return false, err
	})
	if again := (*retryError)(nil); errors.As(err, &again) {
		return again.err
	}
	return err
}

// json reads a small JSON answer.
func (r *repo) json(ctx context.Context, address string, tries int, to any) error {
	return r.try(ctx, tries, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		req.Header = r.header()
		resp, err := r.c.client().Do(req)
		if err != nil {
			return networkError(ctx, err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return statusError(resp, address)
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return networkError(ctx, err)
		}
		if err := json.Unmarshal(b, to); err != nil {
			return fmt.Errorf("%s: the answer is not the hub's: %w", address, err)
		}
		return nil
	})
}

// header has the token, which http.Client does not send on to other hosts.
func (r *repo) header() http.Header {
	h := http.Header{"User-Agent": {userAgent}}
	if r.c.Token != "" {
		h.Set("Authorization", "Bearer "+r.c.Token)
	}
	return h
}

func escape(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
