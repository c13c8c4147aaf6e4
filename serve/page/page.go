// Package page is a web page for trying the models of a server of package serve in a
// browser: it classifies, explains, detects and segments pictures, compares them, shows
// how the server does, and how a program calls it.
//
//	s, err := serve.New(ctx, serve.Options{Models: list, Page: page.Handler()})
//
// All of it is inside the program: no build step, no other site, no cookies. The page has
// no secrets, so it needs no API key; it asks its user for one when the server does.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed index.html style.css icon.svg js/*.js
var files embed.FS

// policy is the page's Content-Security-Policy: nothing comes from another site or from
// text inside the page, and no other site may frame it. Pictures that the user gives are
// blob: addresses, masks in answers data: addresses.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// types are the media types of the files. They do not depend on the machine's tables.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// asset is a file of the page.
type asset struct {
	content []byte
	kind    string // media type
	tag     string // ETag
}

// Handler returns the handler of the page: / and the files that it needs. Any other path
// is answered by status 404 and an error in JSON, as the API's are. Mounted elsewhere
// than at /, the page calls the API next to it:
//
//	mux.Handle("/try/", http.StripPrefix("/try", s.Handler()))
func Handler() http.Handler {
	assets := map[string]asset{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		assets["/"+name] = asset{content, types[path.Ext(name)], `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	if err != nil {
		panic(err) // of files inside the program, which can always be read
	}
	assets["/"] = assets["/index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		a, ok := assets[r.URL.Path]
		if !ok {
			fail(w, http.StatusNotFound, fmt.Sprintf("there is no %.200q; / is a page for browsers, /openapi.json describes the API", r.URL.Path))
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s does not take %.20s, but GET", r.URL.Path, r.Method))
			return
		}
		h.Set("Content-Type", a.kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache") // asks by the ETag, so that a new server's page is seen at once
		h.Set("Etag", a.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	})
}

// fail answers with an error in the form of the API's.
func fail(w http.ResponseWriter, status int, text string) {
	body, err := json.Marshal(map[string]string{"error": strings.ToValidUTF8(text, "?")})
	if err != nil {
		panic(err) // a map of strings has a form in JSON
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
