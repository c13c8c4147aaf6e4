// Package hub finds published models on the network and keeps them on disk, in the
// same folders as the programs that publish them, so that a file is downloaded
// once for all: the Hugging Face hub ([Name] ORG/NAME), torchvision's and Keras'
// weights, and plain https addresses. Nothing is downloaded unless a caller asks
// for a name.
package hub

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/limitread"
)

// ErrOffline is wrapped by the errors for files that are not on this machine and
// could not be fetched, because the network was switched off or cannot be reached.
var ErrOffline = errors.New("it is not on this machine and cannot be downloaded")

// ErrNotFound is wrapped by the errors for names that nobody has published.
var ErrNotFound = errors.New("nothing is published under this name")

// ErrChecksum is wrapped by the errors for downloads that are not what was
// published. Such a file is not kept.
var ErrChecksum = errors.New("the download is damaged")

// Client downloads and caches. The zero value keeps nothing anywhere; make one with
// [FromEnv]. Its methods are safe for concurrent use, also with other programs.
type Client struct {
	// Endpoint is the address of the Hugging Face hub, without a slash at the end.
	Endpoint string
	// Token is sent to Endpoint alone; "" for none.
	Token string
	// HubCache, TorchCache and KerasCache are the folders of huggingface_hub
	// (models--ORG--NAME), torch (files) and Keras (files).
	HubCache, TorchCache, KerasCache string
	// Offline downloads nothing: only what is on disk is found.
	Offline bool
	// HTTP is the client for all requests; nil is one that takes proxies from the
	// environment.
	HTTP *http.Client
	// Stall is how long a download may be silent before it is tried again; 0 means
	// 30 seconds.
	Stall time.Duration
	// Tries is how often in a row a request may fail without a new byte; 0 means 5.
	Tries int
	// Progress is called while a file is downloaded, from one goroutine at a time for
	// each file; may be nil.
	Progress func(Progress)
	// Note is called with what a user may want to know, such as that an old copy is
	// used because the network cannot be reached; may be nil.
	Note func(text string)

	// wait replaces the pause between two tries in tests.
	wait func(time.Duration)
}

// Progress is how far the download of a file is.
type Progress struct {
	File  string // its name
	Bytes int64  // that are there, of an earlier try too
	Total int64  // 0 if it is unknown
	Done  bool   // the file is complete and verified
}

// FromEnv returns a client as the environment describes it. It honors
//
//	HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE,
//	HF_HUB_ETAG_TIMEOUT                                             as huggingface_hub does
//	TORCH_HOME, KERAS_HOME, XDG_CACHE_HOME                          as torch and Keras do
//	HTTPS_PROXY, HTTP_PROXY, NO_PROXY                               as net/http does
func FromEnv() *Client {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache"))
	hf := expand(cmp.Or(os.Getenv("HF_HOME"), filepath.Join(cache, "huggingface")), home)
	c := &Client{
		Endpoint:   strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), defaultEndpoint), "/"),
		Token:      strings.TrimSpace(cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN"))),
		HubCache:   expand(cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE"), filepath.Join(hf, "hub")), home),
		TorchCache: filepath.Join(expand(cmp.Or(os.Getenv("TORCH_HOME"), filepath.Join(cache, "torch")), home), "hub", "checkpoints"),
		KerasCache: filepath.Join(expand(cmp.Or(os.Getenv("KERAS_HOME"), filepath.Join(home, ".keras")), home), "models"),
		Offline:    isTrue(os.Getenv("HF_HUB_OFFLINE")) || isTrue(os.Getenv("TRANSFORMERS_OFFLINE")),
	}
	if c.Token == "" {
		if b, err := limitread.File(cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(hf, "token")), maxAnswer); err == nil {
			c.Token = strings.TrimSpace(string(b))
		}
	}
	return c
}

const defaultEndpoint = "https://huggingface.co"

// expand replaces a leading ~ and variables, as the Python programs do.
func expand(path, home string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		path = home + rest
	}
	return path
}

// isTrue reads a switch of the environment as huggingface_hub does.
func isTrue(v string) bool {
	switch strings.ToUpper(v) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// checkEndpoint returns an error unless Endpoint is an address.
func (c *Client) checkEndpoint() error {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("the address of the hub, HF_ENDPOINT, is %q, must be one such as %s", c.Endpoint, defaultEndpoint)
	}
	return nil
}

func (c *Client) note(text string) {
	if c.Note != nil {
		c.Note(text)
	}
}

// client returns the client for requests. The token goes to the host that it is
// for, and to no other that it redirects to, not even on the same machine.
func (c *Client) client() *http.Client {
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("it redirects more than 10 times")
			}
			if req.URL.Host != via[0].URL.Host || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
				req.Header.Del("Authorization")
			}
			return nil
		}
	}
	return &client
}
