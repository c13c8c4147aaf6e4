package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet-go/resnet/internal/limitread"
)

// Keys are the API keys that a server accepts. It holds their hashes only: a key has 256
// random bits, so that SHA-256 of it tells nothing about it.
type Keys struct {
	list atomic.Pointer[keyList]

	path    string // "" if they are of no file
	mu      sync.Mutex
	stamp   string    // of the file that list was made of, or that could not be read
	checked time.Time // when the file was looked at
}

// keyList is the keys at one moment.
type keyList struct {
	names  []string
	hashes [][sha256.Size]byte
}

// maxKeyFile is the limit of a file of keys.
const maxKeyFile = 1 << 20

// OpenKeys reads a file of keys, see [ParseKeys]. When the file changes, the server reads
// it again within a second, so that keys are added and withdrawn without a restart. A file
// that cannot be read then leaves the keys as they are, which the server logs.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{path: path, stamp: stampOf(path), checked: time.Now()}
	if err := k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Keys) read() error {
	b, err := limitread.File(k.path, maxKeyFile)
	if err != nil {
		return err
	}
	list, err := parseKeys(b)
	if err != nil {
		return fmt.Errorf("%s: %w", k.path, err)
	}
	k.list.Store(list)
	return nil
}

// current returns the keys, of the file as it is.
func (k *Keys) current(log *slog.Logger) *keyList {
	if k.path == "" {
		return k.list.Load()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.checked) > checkEvery {
		k.checked = time.Now()
		if now := stampOf(k.path); now != k.stamp {
			k.stamp = now
			if err := k.read(); err != nil {
				log.Error("the file of API keys cannot be read again; the old keys stay in use", slog.String("file", k.path), slog.String("error", err.Error()))
			} else {
				log.Info("the file of API keys was read again", slog.String("file", k.path), slog.Int("keys", len(k.list.Load().names)))
			}
		}
	}
	return k.list.Load()
}

// ParseKeys reads a list of keys: a line "NAME HASH" for each, as [NewKey] returns it.
// Empty lines and those that begin with # are left out.
func ParseKeys(text []byte) (*Keys, error) {
	list, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	k := new(Keys)
	k.list.Store(list)
	return k, nil
}

func parseKeys(text []byte) (*keyList, error) {
	k := &keyList{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, " ")
		h, err := hex.DecodeString(strings.TrimSpace(hash))
		if err != nil || len(h) != sha256.Size {
			return nil, fmt.Errorf("line %d is not NAME and a SHA-256 hash of 64 hexadecimal digits: make one by resnet serve key NAME", n)
		}
		k.names, k.hashes = append(k.names, name), append(k.hashes, [sha256.Size]byte(h))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(k.names) == 0 {
		return nil, errors.New("there is no key: each line must be NAME HASH")
	}
	return k, nil
}

// NewKey makes a key: the text that a client shows, and the line of it for [ParseKeys].
func NewKey(name string) (key, line string) {
	key = "rk_" + newID(32)
	hash := sha256.Sum256([]byte(key))
	return key, name + " " + hex.EncodeToString(hash[:])
}

// find returns the name of a key. The time that it takes depends neither on the key nor
// on which one it is.
func (k *keyList) find(key string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(key))
	found := -1
	for i := range k.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k.hashes[i][:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return k.names[found], true
}

// keyContext is the key of the name of a request's API key.
type keyContext struct{}

func keyName(ctx context.Context) string {
	name, _ := ctx.Value(keyContext{}).(*string)
	if name == nil {
		return ""
	}
	return *name
}

// authorize checks the key of a request. Health is open, because probes have no keys;
// so is a page, which has no secrets and asks its user for a key.
func (s *Server) authorize(r *http.Request) error {
	p := r.URL.Path
	switch {
	case s.opt.Keys == nil, p == "/v2/health/live", p == "/v2/health/ready",
		strings.HasPrefix(p, "/grpc.health.v1.Health/"), strings.HasSuffix(p, "/ServerLive"), strings.HasSuffix(p, "/ServerReady"),
		s.isPage(p):
		return nil
	}
	key := r.Header.Get("X-Api-Key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(token)
	}
	if key == "" {
		return errorf(http.StatusUnauthorized, "an API key is needed: send it as the header Authorization: Bearer KEY, or X-Api-Key: KEY")
	}
	name, ok := s.opt.Keys.current(s.log).find(key)
	if !ok {
		return errorf(http.StatusUnauthorized, "the API key is not known")
	}
	*r = *r.WithContext(context.WithValue(r.Context(), keyContext{}, &name))
	return nil
}

// isPage reports whether a path is answered by Options.Page.
func (s *Server) isPage(p string) bool {
	for _, api := range []string{"/v1/", "/v2", "/metrics", "/debug/", "/openapi.json", "/inference.", "/grpc."} {
		if strings.HasPrefix(p, api) {
			return false
		}
	}
	return true
}

// checkOrigin returns an error unless text is an origin as browsers send it, or "*".
func checkOrigin(text string) error {
	if text == "*" {
		return nil
	}
	bad := func(why string) error {
		return fmt.Errorf("the origin %q %s: it must be what browsers send, such as https://example.org or http://localhost:3000, or * for all", text, why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("begins with neither https:// nor http://")
	case u.Host == "":
		return bad("has no host")
	case strings.Contains(u.Host, "*"):
		return bad("has a wildcard in it, but origins are compared whole")
	case text != u.Scheme+"://"+u.Host:
		return bad("has more than a scheme, a host and a port (no slash at the end)")
	case text != strings.ToLower(text):
		return bad("has capital letters, which browsers do not send")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80", strings.HasSuffix(u.Host, ":"):
		return bad("has the usual port of its scheme, which browsers leave out")
	}
	return nil
}

// cors answers what browsers ask before a page of another site may call the server, and
// adds the headers that allow it. It reports whether that was all of the request.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || len(s.opt.Origins) == 0 {
		return false
	}
	allowed := ""
	for _, o := range s.opt.Origins {
		if o == "*" || o == origin {
			allowed = o
			break
		}
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if allowed == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", allowed)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Traceparent, Retry-After, Inference-Header-Content-Length")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, X-Api-Key, Content-Type, Content-Encoding, X-Request-Id, Traceparent, Inference-Header-Content-Length")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
