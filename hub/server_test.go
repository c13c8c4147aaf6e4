package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeHub behaves as the Hugging Face hub does, as far as models are concerned: it
// redirects large files to another host, names files by ETags, knows ranges, and
// has the faults that a test switches on.
type fakeHub struct {
	*httptest.Server
	storage *httptest.Server // of large files
	files   map[string][]byte
	large   map[string]bool
	token   string // that a request must have; "" for none

	mu sync.Mutex
	// fault is called before a request for bytes is answered; true if it has answered.
	fault    func(w http.ResponseWriter, r *http.Request) bool
	requests []string
	leaked   bool // the token was sent to the storage
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func newFakeHub(t *testing.T, files map[string][]byte, large ...string) *fakeHub {
	h := &fakeHub{files: files, large: map[string]bool{}}
	for _, l := range large {
		h.large[l] = true
	}
	h.Server = httptest.NewServer(http.HandlerFunc(h.hub))
	h.storage = httptest.NewServer(http.HandlerFunc(h.bytes))
	t.Cleanup(func() { h.Server.Close(); h.storage.Close() })
	return h
}

// client returns a client of the hub with caches of its own.
func (h *fakeHub) client(t *testing.T) *Client {
	dir := t.TempDir()
	return &Client{Endpoint: h.URL, HubCache: dir + "/hub", TorchCache: dir + "/torch", KerasCache: dir + "/keras",
		wait: func(time.Duration) {}, Stall: 400 * time.Millisecond, Note: func(s string) { t.Log("note: " + s) }}
}

func (h *fakeHub) etag(name string) string {
	b := h.files[name]
	if h.large[name] {
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return fmt.Sprintf("%x", sha1.Sum(append([]byte(fmt.Sprintf("blob %d\x00", len(b))), b...)))
}

func (h *fakeHub) hub(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	token := h.token
	h.mu.Unlock()
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, `{"error":"Access to model org/name is restricted"}`, http.StatusUnauthorized)
		return
	}
	if rev, ok := strings.CutPrefix(r.URL.Path, "/api/models/org/name/revision/"); ok {
		if rev != "main" && rev != commit && rev != "v1" {
			http.Error(w, `{"error":"Invalid rev id"}`, http.StatusNotFound)
			return
		}
		type sibling struct {
			Name string `json:"rfilename"`
		}
		var list []sibling
		for _, name := range slices.Sorted(maps.Keys(h.files)) {
			list = append(list, sibling{name})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": commit, "siblings": list})
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/org/name/resolve/")
	_, name, _ := strings.Cut(rest, "/")
	body, have := h.files[name]
	if !ok || !have {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		http.Error(w, "Entry not found", http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if h.large[name] {
		w.Header().Set("X-Linked-Etag", `"`+h.etag(name)+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(body)))
		http.Redirect(w, r, h.storage.URL+"/"+name, http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+h.etag(name)+`"`)
	h.bytes(w, r)
}

func (h *fakeHub) bytes(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		h.mu.Lock()
		fault := h.fault
		h.leaked = h.leaked || r.Header.Get("Authorization") != "" && !strings.Contains(r.URL.Path, "/resolve/")
		h.requests = append(h.requests, "bytes "+r.Header.Get("Range"))
		h.mu.Unlock()
		if fault != nil && fault(w, r) {
			return
		}
	}
	name := r.URL.Path[1:]
	if _, rest, ok := strings.Cut(name, "/resolve/"); ok {
		_, name, _ = strings.Cut(rest, "/")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.files[name]))
}

func (h *fakeHub) setFault(f func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// asked returns the requests since the last call.
func (h *fakeHub) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.requests
	h.requests = nil
	return r
}
