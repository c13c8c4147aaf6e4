package page

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// get asks the handler for a path.
func get(method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

// names returns the page's files.
func names(t *testing.T) (list []string) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, name)
		}
		return err
	})
	if err != nil || len(list) < 10 {
		t.Fatal(list, err)
	}
	return list
}

func source(t *testing.T, name string) string {
	t.Helper()
	b, err := files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each file comes with its type, the policy and an ETag, by which it is not sent again.
func TestFiles(t *testing.T) {
	for _, name := range append(names(t), "") {
		r := get("GET", "/"+name)
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("/%s: status %d, %v", name, r.StatusCode, err)
		}
		file := name
		if file == "" {
			file = "index.html"
		}
		if string(body) != source(t, file) || len(body) == 0 {
			t.Errorf("/%s is not the file", name)
		}
		want := types[path.Ext(file)]
		if got := r.Header.Get("Content-Type"); want == "" || got != want {
			t.Errorf("/%s has the type %q, must have %q", name, got, want)
		}
		for header, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-cache",
		} {
			if got := r.Header.Get(header); got != value {
				t.Errorf("/%s has %s: %q, must have %q", name, header, got, value)
			}
		}
		tag := r.Header.Get("Etag")
		if again := get("GET", "/"+name, "If-None-Match", tag); tag == "" || again.StatusCode != http.StatusNotModified {
			t.Errorf("/%s with its ETag %s has status %d, must have 304", name, tag, again.StatusCode)
		}
		head := get("HEAD", "/"+name)
		if rest, _ := io.ReadAll(head.Body); head.StatusCode != 200 || len(rest) != 0 || head.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("HEAD of /%s: status %d, %d bytes, length %s", name, head.StatusCode, len(rest), head.Header.Get("Content-Length"))
		}
	}
}

// Nothing in the policy opens the page to text, frames or sites beside the server.
func TestPolicy(t *testing.T) {
	for _, part := range strings.Split(policy, ";") {
		name, values, _ := strings.Cut(strings.TrimSpace(part), " ")
		for _, v := range strings.Fields(values) {
			switch {
			case v == "'none'", v == "'self'":
			case name == "img-src" && (v == "blob:" || v == "data:"):
			case name == "require-trusted-types-for" && v == "'script'":
			default:
				t.Errorf("the policy allows %s %s", name, v)
			}
		}
	}
	for _, needed := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, needed) {
			t.Errorf("the policy has no %s", needed)
		}
	}
}

// What is not there is an error in JSON, like the API's; so is another method.
func TestNotFound(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/nothing", 404}, {"GET", "/js", 404}, {"GET", "/js/", 404}, {"GET", "/page.go", 404}, {"GET", "/testdata/browser.py", 404},
		{"GET", "/index.html/", 404}, {"GET", "/%ff%22%3Cscript%3E", 404}, {"GET", "/js/..%2findex.html", 404}, {"POST", "/nothing", 404},
		{"POST", "/", 405}, {"DELETE", "/style.css", 405},
	} {
		r := get(c.method, c.target)
		var body struct{ Error string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.StatusCode != c.status || body.Error == "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: status %d, %q, %v", c.method, c.target, r.StatusCode, body.Error, err)
		}
		if allow := r.Header.Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s has Allow: %q", c.method, c.target, allow)
		}
	}
}

// No file names another site: SVG's name is not an address.
func TestNoOtherSite(t *testing.T) {
	address := regexp.MustCompile("(?i)\\b[a-z][a-z0-9+.-]*://[^\\s\"'`)]*|[\"'`(]//[a-z0-9][^\\s\"'`]*|@import")
	if len(address.FindAllString(`import x from "https://example.org/x.js"; url(//example.org)`, -1)) != 2 {
		t.Fatal("the test does not see addresses")
	}
	for _, name := range names(t) {
		for _, found := range address.FindAllString(source(t, name), -1) {
			if found != "http://www.w3.org/2000/svg" {
				t.Errorf("%s has the address %s", name, found)
			}
		}
	}
}

// The policy forbids code and style inside the page; scripts make no text into code.
func TestNothingInline(t *testing.T) {
	html := regexp.MustCompile(`(?i)\son\w+\s*=|\sstyle\s*=|<style|javascript:`)
	js := regexp.MustCompile(`\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b\s*[(=]|setAttribute\("(style|on)`)
	for _, name := range names(t) {
		re := js
		if path.Ext(name) == ".html" || path.Ext(name) == ".svg" {
			re = html
		}
		if found := re.FindString(source(t, name)); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

// element is an element of the page.
type element struct {
	name   string
	attr   map[string]string
	inside string // text, and that of the elements in it
	parent *element
	label  bool // whether it is inside a label
}

// elements reads the HTML, which is written as XML, too, so that it can be checked strictly.
func elements(t *testing.T) (all []*element) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(source(t, "index.html")))
	var open []*element
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("index.html: %v", err)
		}
		switch tok := token.(type) {
		case xml.StartElement:
			e := &element{name: tok.Name.Local, attr: map[string]string{}}
			for _, a := range tok.Attr {
				if _, twice := e.attr[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", e.name, a.Name.Local)
				}
				e.attr[a.Name.Local] = a.Value
			}
			for _, o := range open {
				e.label = e.label || o.name == "label"
			}
			if len(open) > 0 {
				e.parent = open[len(open)-1]
			}
			open, all = append(open, e), append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, e := range open {
				e.inside += string(tok)
			}
		}
	}
	if len(all) < 50 {
		t.Fatalf("%d elements", len(all))
	}
	return all
}

// void are the elements of HTML that have no end tag.
var void = []string{"meta", "link", "img", "input", "br"}

// The page is well formed, and people who do not see it find a name on everything that
// they can use.
func TestHTML(t *testing.T) {
	html := source(t, "index.html")
	if !strings.HasPrefix(html, "<!DOCTYPE html>\n<html lang=\"en\">\n") {
		t.Error("index.html does not begin with its type and language")
	}
	for _, m := range regexp.MustCompile(`<([a-z]+)[^>]*/>`).FindAllStringSubmatch(html, -1) {
		if !slices.Contains(void, m[1]) {
			t.Errorf("%s ends itself, which HTML does not know", m[0])
		}
	}
	all := elements(t)
	ids, count := map[string]*element{}, map[string]int{}
	for _, e := range all {
		if e.parent == nil || e.parent.name != "svg" { // whose title is its description
			count[e.name]++
		}
		if id, has := e.attr["id"]; has {
			if ids[id] != nil || id == "" || strings.Contains(id, " ") {
				t.Errorf("the id %q is empty, has a space, or is there twice", id)
			}
			ids[id] = e
		}
	}
	for _, one := range []string{"title", "h1", "main", "header", "footer"} {
		if count[one] != 1 {
			t.Errorf("the page has %d of <%s>, must have 1", count[one], one)
		}
	}
	named := map[string]bool{} // by a label
	for _, e := range all {
		for _, a := range []string{"for", "aria-controls", "aria-labelledby", "aria-describedby"} {
			for _, id := range strings.Fields(e.attr[a]) {
				if ids[id] == nil {
					t.Errorf("<%s> has %s=%q, which is not there", e.name, a, id)
				}
			}
		}
		if e.name == "label" {
			named[e.attr["for"]] = true
		}
	}
	for _, e := range all {
		at := fmt.Sprintf("<%s id=%q>", e.name, e.attr["id"])
		name := e.attr["aria-label"] != "" || e.attr["aria-labelledby"] != "" || e.label || named[e.attr["id"]] && e.attr["id"] != ""
		switch e.name {
		case "input", "select", "video", "section", "dialog", "svg":
			if !name {
				t.Errorf("%s has no name", at)
			}
		case "button", "a":
			if strings.TrimSpace(e.inside) == "" && !name {
				t.Errorf("%s has no text", at)
			}
			if e.name == "button" && e.attr["type"] == "" {
				t.Errorf("%s has no type, so it would send a form", at)
			}
		case "img":
			if _, has := e.attr["alt"]; !has {
				t.Errorf("%s has no alt", at)
			}
		}
		if e.attr["href"] != "" && e.name != "a" || e.attr["src"] != "" {
			address := e.attr["href"] + e.attr["src"]
			if r := get("GET", "/"+address); r.StatusCode != 200 {
				t.Errorf("%s has the address %s, which has status %d", at, address, r.StatusCode)
			}
		}
	}
	// What the scripts look for is there.
	use := regexp.MustCompile(`\bat\("([^"]+)"\)`)
	uses := 0
	for _, name := range names(t) {
		for _, m := range use.FindAllStringSubmatch(source(t, name), -1) {
			if uses++; ids[m[1]] == nil {
				t.Errorf("%s looks for the id %s, which is not there", name, m[1])
			}
		}
	}
	if uses < 50 {
		t.Errorf("only %d uses of ids were found", uses)
	}
}

// Every import names a file, and every call of the API is in its description.
func TestScripts(t *testing.T) {
	doc, err := os.ReadFile("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Paths map[string]json.RawMessage
	}
	if err := json.Unmarshal(doc, &api); err != nil {
		t.Fatal(err)
	}
	imports, calls := regexp.MustCompile(`\bfrom "([^"]+)"`), regexp.MustCompile("[\"`](v[12]/[a-z]+)(/\\$\\{[^`]*\\})?[\"`]")
	known := 0
	for _, name := range names(t) {
		if path.Ext(name) != ".js" {
			continue
		}
		text := source(t, name)
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			if _, err := files.ReadFile(path.Join(path.Dir(name), m[1])); err != nil || !strings.HasPrefix(m[1], "./") {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
		for _, m := range calls.FindAllStringSubmatch(text, -1) {
			p := "/" + m[1]
			if m[2] != "" {
				p += "/{model}"
			}
			if known++; api.Paths[p] == nil {
				t.Errorf("%s calls %s, which openapi.json does not have", name, p)
			}
		}
	}
	if known < 6 {
		t.Errorf("only %d calls were found", known)
	}
}

// luminance returns the relative luminance of a color #rrggbb (WCAG 2.2).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 24)
	if err != nil || len(color) != 7 {
		t.Fatalf("the color %q: %v", color, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(v>>(8*i)&255) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// Text has a contrast of 4.5 and edges of what can be used 3, in light and in dark.
func TestContrast(t *testing.T) {
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(source(t, "style.css"), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d palettes, must be 2", len(blocks))
	}
	for scheme, block := range map[string]string{"light": blocks[0][1], "dark": blocks[1][1]} {
		color := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
			color[m[1]] = m[2]
		}
		for _, c := range []struct {
			ink, paper string
			least      float64
		}{
			{"ink", "paper", 4.5}, {"ink", "card", 4.5}, {"ink", "bar", 4.5}, {"soft", "paper", 4.5}, {"soft", "card", 4.5}, {"soft", "bar", 4.5}, {"accent", "paper", 4.5}, {"accent", "card", 4.5},
			{"on-accent", "accent", 4.5}, {"error", "error-back", 4.5}, {"error", "card", 4.5}, {"edge", "card", 3}, {"edge", "paper", 3}, {"second", "card", 3},
		} {
			a, b := luminance(t, color[c.ink]), luminance(t, color[c.paper])
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < c.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, must have %.1f", scheme, c.ink, c.paper, got, c.least)
			}
		}
	}
}

// The page stays small: it is inside every program.
func TestSize(t *testing.T) {
	total := 0
	for _, name := range names(t) {
		text := source(t, name)
		total += len(text)
		if bytes.ContainsAny([]byte(text), "\r\t") && path.Ext(name) != ".js" {
			t.Errorf("%s has tabs or carriage returns", name)
		}
	}
	if total > 120_000 {
		t.Errorf("the page has %d bytes, must have at most 120000", total)
	}
}
