package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/peer"
)

var model = bytes.Repeat([]byte("0123456789abcdef"), 20000)

func files() map[string][]byte {
	return map[string][]byte{"config.json": []byte("{}"), "README.md": []byte("no"), "model.safetensors": model, "pytorch_model.bin": []byte("pickle")}
}

var name = Name{Kind: HuggingFace, Repo: "org/name"}

func TestParse(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	for _, c := range []struct {
		text string
		want Name
	}{
		{"timm/resnet50.a1_in1k", Name{Kind: HuggingFace, Repo: "timm/resnet50.a1_in1k"}},
		{"microsoft/resnet-50@main", Name{Kind: HuggingFace, Repo: "microsoft/resnet-50", Revision: "main"}},
		{"hf-hub:timm/resnet50.a1_in1k", Name{Kind: HuggingFace, Repo: "timm/resnet50.a1_in1k"}},
		{"hf://org/name@v1/onnx/model.onnx", Name{Kind: HuggingFace, Repo: "org/name", Revision: "v1", File: "onnx/model.onnx"}},
		{"torchvision/resnet50", Name{Kind: Torchvision, Repo: "resnet50"}},
		{"torchvision/resnet50:IMAGENET1K_V2", Name{Kind: Torchvision, Repo: "resnet50", Revision: "IMAGENET1K_V2"}},
		{"keras/resnet50v2:notop", Name{Kind: Keras, Repo: "resnet50v2", Revision: "notop"}},
		{"https://example.org/a.pth#sha256=" + sum, Name{Kind: Address, Repo: "https://example.org/a.pth", SHA256: sum}},
		{"http://127.0.0.1:80/a.pth", Name{Kind: Address, Repo: "http://127.0.0.1:80/a.pth"}},
	} {
		got, ok, err := Parse(c.text)
		if !ok || err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, %v", c.text, got, ok, err)
			continue
		}
		if again, _, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: String %q gives %+v, %v", c.text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "resnet50", "a/b/c", `C:\x\y`, "./a/b", "../a", "runs/me@home/best.safetensors/x", "embedded:x"} {
		if got, ok, err := Parse(text); ok {
			t.Errorf("%s is taken for %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"http://example.org/a.pth":            "not encrypted",
		"https://example.org/a.pth#sha256=12": "64 digits",
		"https://me:pw@example.org/a.pth":     "password",
		"https://example.org/":                "names no file",
		"ftp://example.org/a.pth":             "ftp",
		"hf://org":                            "ORG/NAME",
		"hf://org/name@/x":                    "revision",
		"hf://org/name/../../x":               "ORG/NAME",
		"torchvision/":                        "torchvision/NAME",
	} {
		_, ok, err := Parse(text)
		if !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", text, ok, err, want)
		}
	}
}

// TestRepository checks what is fetched, where it lies, and that it is fetched once.
func TestRepository(t *testing.T) {
	h := newFakeHub(t, files(), "model.safetensors")
	c := h.client(t)
	var seen []Progress
	c.Progress = func(p Progress) { seen = append(seen, p) }
	r, err := c.Repository(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(c.HubCache, "models--org--name", "snapshots", commit); r.Dir != want || r.Commit != commit {
		t.Errorf("%+v, want %s", r, want)
	}
	for file, want := range map[string]bool{"config.json": true, "model.safetensors": true, "README.md": false, "pytorch_model.bin": false} {
		b, err := os.ReadFile(filepath.Join(r.Dir, file))
		if (err == nil) != want || want && !bytes.Equal(b, h.files[file]) {
			t.Errorf("%s: %v, want it: %v", file, err, want)
		}
	}
	if to, err := os.Readlink(filepath.Join(r.Dir, "model.safetensors")); err != nil || to != "../../blobs/"+h.etag("model.safetensors") {
		t.Errorf("the snapshot's file is a link to %q, %v", to, err)
	}
	if b, err := os.ReadFile(filepath.Join(c.HubCache, "models--org--name", "refs", "main")); err != nil || string(b) != commit {
		t.Errorf("refs/main is %q, %v", b, err)
	}
	if last := seen[len(seen)-1]; !last.Done || last.Bytes != int64(len(model)) || last.Total != last.Bytes {
		t.Errorf("the last progress is %+v", last)
	}
	h.asked()
	if _, err := c.Repository(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if asked := h.asked(); len(asked) != 1 {
		t.Errorf("the second time it asked for %q", asked)
	}
}

func TestShards(t *testing.T) {
	h := newFakeHub(t, map[string][]byte{
		"model.safetensors.index.json": []byte(`{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}`),
		"m-1.safetensors":              []byte("one"), "m-2.safetensors": []byte("two"), "m-3.safetensors": []byte("three"),
	})
	r, err := h.client(t).Repository(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{"m-1.safetensors": true, "m-2.safetensors": true, "m-3.safetensors": false} {
		if exists(filepath.Join(r.Dir, file)) != want {
			t.Errorf("%s is there: %v, want %v", file, !want, want)
		}
	}
	h.files["model.safetensors.index.json"] = []byte(`{"weight_map": {"a": "../../../x"}}`)
	if _, err := h.client(t).Repository(t.Context(), name); err == nil || !strings.Contains(err.Error(), "not a path inside") {
		t.Errorf("a shard outside gives %v", err)
	}
}

// TestFaults checks that a download survives what networks do.
func TestFaults(t *testing.T) {
	cut := func(w http.ResponseWriter, after int) {
		w.Header().Set("Content-Length", fmt.Sprint(len(model)))
		_, _ = w.Write(model[:after])
		panic(http.ErrAbortHandler)
	}
	for what, fault := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"a cut connection": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				cut(w, 100000)
			}
			return false
		},
		"cut before the first byte": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 3 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"too many requests": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 2 {
				w.Header().Set("Retry-After", "7")
				http.Error(w, "slow down", http.StatusTooManyRequests)
			}
			return n < 2
		},
		"a server error": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 2 {
				http.Error(w, "oops", http.StatusBadGateway)
			}
			return n < 2
		},
		"a stall": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 0 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(model)))
			_, _ = w.Write(model[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
		"no ranges": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				cut(w, 5000)
			}
			_, _ = w.Write(model)
			return true
		},
		"a range of something else": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				cut(w, 5000)
			}
			if n == 1 {
				w.Header().Set("Content-Range", "bytes 7-9/10")
				w.WriteHeader(http.StatusPartialContent)
			}
			return n == 1
		},
	} {
		t.Run(what, func(t *testing.T) {
			h := newFakeHub(t, map[string][]byte{"model.safetensors": model}, "model.safetensors")
			n := 0
			h.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				defer func() { n++ }()
				return fault(n, w, r)
			})
			c := h.client(t)
			var pauses []time.Duration
			c.wait = func(d time.Duration) { pauses = append(pauses, d) }
			r, err := c.Repository(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(r.Dir, "model.safetensors")); err != nil || !bytes.Equal(b, model) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if what == "too many requests" && !slices.Contains(pauses, 7*time.Second) {
				t.Errorf("Retry-After was not honored: %v", pauses)
			}
			if what == "a cut connection" {
				if asked := h.asked(); !slices.Contains(asked, "bytes bytes=100000-") {
					t.Errorf("it did not go on: %q", asked)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	h := newFakeHub(t, files(), "model.safetensors")
	h.token = "secret"
	_, err := h.client(t).Repository(t.Context(), name)
	check(t, err, nil, "401", "HF_TOKEN", "restricted")
	c := h.client(t)
	c.Token = "secret"
	if _, err := c.Repository(t.Context(), name); err != nil {
		t.Error(err)
	}
	if h.leaked {
		t.Error("the token was sent to the storage")
	}
	h.token = ""
	_, err = h.client(t).Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/other"})
	check(t, err, ErrNotFound, "404")
	_, err = h.client(t).Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", Revision: "nope"})
	check(t, err, ErrNotFound, "Invalid rev")
	_, err = h.client(t).Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", File: "x.bin"})
	check(t, err, ErrNotFound, "x.bin", "README.md")

	// Content that does not match the ETag is not kept.
	h.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write(append([]byte("X"), model[1:]...))
		return true
	})
	c = h.client(t)
	_, err = c.Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", File: "model.safetensors"})
	check(t, err, ErrChecksum, "checksum")
	blobs, _ := os.ReadDir(filepath.Join(c.HubCache, "models--org--name", "blobs"))
	if len(blobs) > 0 {
		t.Errorf("a damaged download was kept: %v", blobs)
	}
	h.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write(append(slices.Clone(model), "more"...))
		return true
	})
	_, err = h.client(t).Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", File: "model.safetensors"})
	check(t, err, nil, "more than")
}

// TestStaleBeginning checks that the beginning of another file, left by a broken
// download, does not spoil the next.
func TestStaleBeginning(t *testing.T) {
	h := newFakeHub(t, map[string][]byte{"model.safetensors": model}, "model.safetensors")
	c := h.client(t)
	partial := filepath.Join(c.HubCache, "models--org--name", "blobs", h.etag("model.safetensors")+".incomplete")
	if err := os.MkdirAll(filepath.Dir(partial), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stale := range [][]byte{bytes.Repeat([]byte("?"), 1000), bytes.Repeat([]byte("?"), len(model)), bytes.Repeat([]byte("?"), len(model)+5)} {
		if err := os.WriteFile(partial, stale, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := c.Repository(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(r.Dir, "model.safetensors")); err != nil || !bytes.Equal(b, model) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		os.Remove(filepath.Join(r.Dir, "model.safetensors"))
		os.Remove(strings.TrimSuffix(partial, ".incomplete"))
	}
}

func TestOffline(t *testing.T) {
	h := newFakeHub(t, files(), "model.safetensors")
	c := h.client(t)
	c.Offline = true
	_, err := c.Repository(t.Context(), name)
	check(t, err, ErrOffline, "HF_HUB_OFFLINE", c.HubCache)
	_, err = c.File(t.Context(), Name{Kind: Torchvision, Repo: "resnet18"})
	check(t, err, ErrOffline, "resnet18-f37072fd.pth", "copy it to "+c.TorchCache)
	c.Offline = false
	if _, err := c.Repository(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	h.Close()
	c.Tries = 2
	noted := ""
	c.Note = func(s string) { noted += s }
	if _, err := c.Repository(t.Context(), name); err != nil || !strings.Contains(noted, "copy on disk") {
		t.Errorf("without a network: %v, note %q", err, noted)
	}
	c.Offline = true
	if _, err := c.Repository(t.Context(), name); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Offline = false
	if _, err := h.client(t).Repository(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestTogether checks that two at once fetch a file once.
func TestTogether(t *testing.T) {
	h := newFakeHub(t, map[string][]byte{"model.safetensors": model}, "model.safetensors")
	h.setFault(func(http.ResponseWriter, *http.Request) bool { time.Sleep(100 * time.Millisecond); return false })
	c := h.client(t)
	var wg sync.WaitGroup
	for range 4 {
		other := *c // as another program
		wg.Go(func() {
			if _, err := other.Repository(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	for _, a := range h.asked() {
		if strings.HasPrefix(a, "bytes") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the file was sent %d times", n)
	}
}

func TestFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(model) }))
	defer s.Close()
	dir := t.TempDir()
	c := &Client{TorchCache: dir, wait: func(time.Duration) {}}
	n, _, err := Parse(fmt.Sprintf("%s/a.pth#sha256=%x", s.URL, sha256.Sum256(model)))
	if err != nil {
		t.Fatal(err)
	}
	path, err := c.File(t.Context(), n)
	if err != nil || filepath.Base(path) != "a.pth" {
		t.Fatal(path, err)
	}
	n.SHA256 = strings.Repeat("0", 64)
	_, err = c.File(t.Context(), n)
	check(t, err, ErrChecksum, "a.pth", "the address")
	if b, err := c.Get(t.Context(), s.URL+"/x.jpg", 1<<20); err != nil || !bytes.Equal(b, model) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	_, err = c.Get(t.Context(), s.URL+"/x.jpg", 1000)
	check(t, err, nil, "limit")
	c.HTTP = &http.Client{Transport: failing{}}
	c.Tries = 2
	_, err = c.File(t.Context(), Name{Kind: Keras, Repo: "resnet50"})
	check(t, err, ErrOffline, "no network", "copy it to")
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

func TestLookup(t *testing.T) {
	p, err := Lookup(Name{Kind: Torchvision, Repo: "resnet50"})
	if err != nil || p.Weights != "IMAGENET1K_V2" || p.Preprocess.Resize != 232 || p.SHA256 != "11ad3fa6" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = Lookup(Name{Kind: Torchvision, Repo: "resnet50", Revision: "imagenet1k_v1"}); err != nil || p.SHA256 != "0676ba61" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = Lookup(Name{Kind: Torchvision, Repo: "resnet55"})
	check(t, err, ErrNotFound, "resnet50")
	_, err = Lookup(Name{Kind: Keras, Repo: "resnet50", Revision: "IMAGENET1K_V2"})
	check(t, err, ErrNotFound, "imagenet")
	for _, p := range AllPublished() {
		if p.From == "timm" {
			if n, ok, err := Parse("timm/" + p.Network); !ok || err != nil || n != p.Name() {
				t.Errorf("%+v: %+v, %v", p.Name(), n, err)
			}
			continue
		}
		if again, err := Lookup(p.Name()); err != nil || again != p {
			t.Errorf("%v gives %+v, %v", p.Name(), again, err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, v := range []string{"XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_ENDPOINT", "TORCH_HOME", "KERAS_HOME", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	if err := os.MkdirAll(home+"/.cache/huggingface", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home+"/.cache/huggingface/token", []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := FromEnv()
	if c.Endpoint != defaultEndpoint || c.HubCache != home+"/.cache/huggingface/hub" || c.TorchCache != home+"/.cache/torch/hub/checkpoints" ||
		c.KerasCache != home+"/.keras/models" || c.Token != "abc" || c.Offline {
		t.Errorf("%+v", c)
	}
	t.Setenv("HF_HOME", "~/hf")
	t.Setenv("HF_ENDPOINT", "http://localhost:1/")
	t.Setenv("HF_TOKEN", "x")
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("TORCH_HOME", home+"/t")
	if c = FromEnv(); c.Endpoint != "http://localhost:1" || c.HubCache != home+"/hf/hub" || c.TorchCache != home+"/t/hub/checkpoints" || c.Token != "x" || !c.Offline {
		t.Errorf("%+v", c)
	}
}

// TestPython checks against huggingface_hub that each program finds what the other
// has downloaded.
func TestPython(t *testing.T) {
	python := peer.Python(t, "huggingface_hub")
	run := func(h *fakeHub, c *Client, script string) string {
		cmd := exec.Command(python, "-c", script)
		cmd.Env = append(os.Environ(), "HF_ENDPOINT="+h.URL, "HF_HUB_CACHE="+c.HubCache, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	const script = `
import huggingface_hub, sys
print(huggingface_hub.hf_hub_download("org/name", "model.safetensors", %s))`

	h := newFakeHub(t, files(), "model.safetensors")
	c := h.client(t)
	r, err := c.Repository(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	h.asked()
	if got := run(h, c, fmt.Sprintf(script, "local_files_only=True")); got != filepath.Join(r.Dir, "model.safetensors") {
		t.Errorf("Python finds %s in our cache", got)
	}
	if got := run(h, c, fmt.Sprintf(script, `revision="main"`)); got != filepath.Join(r.Dir, "model.safetensors") {
		t.Errorf("Python finds %s in our cache", got)
	}

	c = h.client(t)
	run(h, c, fmt.Sprintf(script, `revision="v1"`))
	h.asked()
	if _, err := c.Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", Revision: "v1", File: "model.safetensors"}); err != nil {
		t.Fatal(err)
	}
	for _, a := range h.asked() {
		if strings.HasPrefix(a, "bytes") {
			t.Error("what Python had downloaded was downloaded again")
		}
	}
	c.Offline = true
	if _, err := c.Repository(t.Context(), Name{Kind: HuggingFace, Repo: "org/name", Revision: "v1"}); err != nil {
		t.Error(err)
	}
}

func check(t *testing.T, err, is error, parts ...string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) {
		t.Errorf("got %v, want %v", err, is)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%v: lacks %q", err, p)
		}
	}
}
