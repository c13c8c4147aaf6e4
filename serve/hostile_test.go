package serve

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data/imaging"
)

// attack is a hostile request.
type attack struct {
	kind    string
	method  string // "" means POST
	path    string
	header  []string // names and values
	body    []byte
	raw     string // the bytes to send instead of all of these
	allowed bool   // it is harmless after all, and may be answered with 200
}

// attacks returns hostile requests, the same for the same seed.
func attacks(t *testing.T, seed uint64) []attack {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []attack
	add := func(a attack) { all = append(all, a) }
	pictures := [][]byte{picturePNG(t, 1, 40, 30)}
	formats := filepath.Join("..", "data", "testdata", "formats")
	entries, err := os.ReadDir(formats)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if b, err := os.ReadFile(filepath.Join(formats, e.Name())); err == nil && len(b) < 20_000 && e.Name() != "" {
			if _, err := imaging.Decode(b, imaging.DecodeOptions{}); err == nil {
				pictures = append(pictures, b)
			}
		}
	}
	opt := imaging.DecodeOptions{MaxPixels: 1_000_000}
	for range 700 { // damaged pictures
		b := slices.Clone(pictures[r.IntN(len(pictures))])
		switch r.IntN(4) {
		case 0:
			b = b[:r.IntN(len(b))]
		case 1:
			for range 1 + r.IntN(20) {
				b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
			}
		case 2:
			at := r.IntN(len(b))
			b = slices.Concat(b[:at], b[min(at+1+r.IntN(50), len(b)):])
		case 3:
			for i := range min(len(b)-8, 200) {
				b[8+i] = byte(r.Uint32())
			}
		}
		_, err := imaging.Decode(b, opt)
		add(attack{kind: "damaged picture", path: "/v1/classify", body: b, allowed: err == nil})
	}
	for i := range 60 { // headers of huge pictures
		var b []byte
		w, h := uint32(1000+r.IntN(1<<30)), uint32(1001+r.IntN(1<<30))
		switch i % 3 {
		case 0:
			b = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
			b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, w), h)
			b = append(b, 8, 2, 0, 0, 0)
			b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
		case 1:
			b = fmt.Appendf(nil, "P6\n%d %d\n255\n", w, h)
		case 2:
			b = append([]byte("GIF89a"), byte(w), byte(w>>8)|0x80, byte(h), byte(h>>8)|0x80, 0, 0, 0)
		}
		add(attack{kind: "huge picture", path: "/v1/classify", body: b})
	}
	const infer = "/v2/models/clothes/infer"
	tensors := []string{
		`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":%s}]}`,
		`{"inputs":[{"name":"input","datatype":"%s","shape":[1,3,32,32],"data":[1]}]}`,
		`{"inputs":[{"name":"input","datatype":"FP32","shape":%s,"data":[1]}]}`,
		`{"inputs":[{"name":%s,"datatype":"FP32","shape":[1],"data":[1]}]}`,
		`{"inputs":%s}`, `{"outputs":%s,"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}]}`,
		`{"parameters":{"timeout":%s},"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}]}`, `%s`,
	}
	odd := []string{`null`, `[]`, `{}`, `""`, `"x"`, `0`, `-1`, `1e309`, `99999999999999999999`, `[[[[`, `[1,`, `true`, `[null]`, `[-9223372036854775808]`, `[9223372036854775807,9223372036854775807]`, "\"\xff\"", `"\ud800"`, `[{}]`,
		`[0]`, `{"a":`, "\x00", `NaN`, `Infinity`, `[1e400]`, strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000), `"` + strings.Repeat("a", 5000) + `"`, `[` + strings.Repeat("0,", 4000) + `0]`, `FP32`, `fp32`}
	for _, form := range tensors {
		for _, o := range odd {
			body := form
			if strings.Contains(form, "%s") {
				body = strings.Replace(form, "%s", o, 1)
			}
			add(attack{kind: "malformed tensor", path: infer, header: []string{"Content-Type", "application/json"}, body: []byte(body)})
		}
	}
	valid := `{"id":"1","parameters":{"binary_data_output":true},"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,32,32],"parameters":{"binary_data_size":12288}}],"outputs":[{"name":"logits"}]}`
	for range 500 { // damaged JSON
		b := []byte(valid)
		for range 1 + r.IntN(6) {
			at := r.IntN(len(b))
			switch r.IntN(3) {
			case 0:
				b[at] = byte(r.Uint32())
			case 1:
				b = slices.Delete(b, at, at+1)
			case 2:
				b = slices.Insert(b, at, `{}[]",:0-e\`[r.IntN(11)])
			}
		}
		add(attack{kind: "damaged JSON", path: infer, header: []string{"Content-Type", "application/json"}, body: b}) // the binary data are missing
	}
	for range 120 { // wrong Inference-Header-Content-Length
		n := []string{"-1", "x", "1e3", " ", "99999999999999999999", "4294967296", "2147483648", strconv.Itoa(len(valid) - 1 - r.IntN(100)), strconv.Itoa(len(valid) + 1 + r.IntN(1000)), strconv.Itoa(len(valid) + 12289 + r.IntN(1e6)), "0", "+5", "0x10"}[r.IntN(13)]
		add(attack{kind: "wrong size of JSON", path: infer, header: []string{"Content-Type", "application/octet-stream", jsonSizeHeader, n}, body: append([]byte(valid), make([]byte, 12288)...)})
	}
	file := pictures[0]
	for _, name := range []string{"../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/x", "clothes%00", "clothes/../../x", "%ff%fe", "..", ".", "~root", "a%0d%0aX-Evil:1", strings.Repeat("a", 5000), "%c0%ae%c0%ae", "clothes;rm", "${jndi}", "'%20or%201=1", "CON", "c:%5cwindows", "//evil.example/x", "clothes%20", "CLOTHES"} {
		for _, form := range []string{"/v2/models/%s", "/v2/models/%s/infer", "/v2/models/clothes/versions/%s/infer", "/v2/models/%s/versions/1/config", "/v1/models/%s", "/v2/repository/models/%s/load", "/v1/classify?model=%s", "/v1/classify?version=%s", "/v1/%s", "/v1/classify/%s"} {
			method := "GET"
			if strings.Contains(form, "infer") || strings.Contains(form, "load") || strings.Contains(form, "classify") {
				method = "POST"
			}
			add(attack{kind: "path trick", method: method, path: fmt.Sprintf(form, name), body: file})
		}
	}
	for range 100 { // wrong types and encodings
		kind := []string{"text/html", "application/xml", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"", ";", "a/b/c", "image", strings.Repeat("x", 3000), "multipart/form-data; boundary=" + strings.Repeat("b", 80), "text/plain; charset=utf-8", "multipart/mixed; boundary=x"}[r.IntN(12)]
		add(attack{kind: "wrong type", path: []string{"/v1/classify", "/v1/embed", infer}[r.IntN(3)], header: []string{"Content-Type", kind}, body: file})
	}
	for range 60 { // forms
		b, kind := form(t, map[string][]byte{"a.png": file, "b.png": file}, "topk=2")
		switch r.IntN(4) {
		case 0:
			b = b[:r.IntN(len(b)-80)]
		case 1:
			b, kind = form(t, nil, "topk=2")
		case 2:
			b, kind = form(t, map[string][]byte{"a": file}, "evil="+strings.Repeat("x", r.IntN(1e5)))
		case 3:
			kind = "multipart/form-data; boundary=other"
		}
		add(attack{kind: "damaged form", path: "/v1/classify", header: []string{"Content-Type", kind}, body: b})
	}
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	z.Write(make([]byte, 50<<20))
	z.Close()
	for i := range 60 { // compressed bodies
		a := attack{kind: "compressed body", path: []string{"/v1/classify", infer}[i%2], header: []string{"Content-Encoding", "gzip"}}
		switch i % 6 {
		case 0:
			a.body = bomb.Bytes()
		case 1:
			a.body = packed(t, "gzip", bomb.Bytes())
		case 2:
			a.body = packed(t, "gzip", file)[:20+r.IntN(20)]
		case 3:
			a.body = file
		case 4:
			a.header[1], a.body = "deflate", packed(t, "gzip", file)
		case 5:
			a.header[1], a.body = []string{"br", "zstd", "gzip, gzip", "compress", "\xff"}[r.IntN(5)], file
		}
		add(a)
	}
	for i := range 40 { // parameters
		add(attack{kind: "parameters", path: "/v1/classify?" + []string{"topk=-1", "topk=1e9", "topk=%00", "x=1", "explain=2", "topk=1&topk=2", "a;b", "%", "topk=999999999999999999999", "layer=..%2f", "explain=true&layer=fc", "explain=true&method=exec", "explain=true&class=zzz", "%ff=1"}[i%14], body: file})
	}
	for _, m := range []string{"GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "HEAD"} {
		for _, p := range []string{"/v1/classify", infer, "/v2/repository/index"} {
			add(attack{kind: "wrong method", method: m, path: p})
		}
		if m != "GET" && m != "HEAD" {
			add(attack{kind: "wrong method", method: m, path: "/v1/models"})
		}
	}
	for range 30 {
		add(attack{kind: "large body", path: "/v1/classify", body: make([]byte, 1<<20+1+r.IntN(1e5))})
	}
	add(attack{kind: "empty body", path: "/v1/classify"})
	for _, raw := range []string{ // what net/http refuses, or what two servers in a row may read differently
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\nabc",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabc",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
		"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"POST /v1/classify HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "GET\r\n\r\n", "\x00\x01\x02\r\n\r\n", "GET /v1/\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://evil.example/v1/none HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/none HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 70_000) + "\r\n\r\n",
		"GET /v1/none HTTP/1.1\r\nHost: x\r\n folded: a\r\n\r\n", "GET /v1/none HTTP/1.1\nHost: x\nX: a\rb\n\n", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "GET //v1//models HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT evil.example:80 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/none HTTP/1.1\r\nHost: a b\r\n\r\n", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/classify HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\nContent-Length: 0\r\n\r\n",
	} {
		add(attack{kind: "raw bytes", raw: raw})
	}
	for i := range 40 { // bodies that stop
		n := r.IntN(len(file))
		add(attack{kind: "body that stops", raw: fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", []string{"/v1/classify", infer}[i%2], len(file), file[:n])})
	}
	return all
}

// Thousands of hostile requests each get a status of 4xx with the error as JSON, and the
// server answers correctly afterwards, with no memory or picture left behind.
func TestHostileRequests(t *testing.T) {
	s, err := New(t.Context(), Options{Models: []Source{Of("clothes", embedded())}, Log: quiet(), MaxBody: 1 << 20, MaxPixels: 1_000_000, BodyTimeout: 300 * time.Millisecond, MaxQueue: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	base, stop := listen(t, s, ListenOptions{Address: "127.0.0.1:0", HeaderTimeout: time.Second})
	host := strings.TrimPrefix(base, "http://")
	seeds := []uint64{1}
	if nightly() {
		for i := range 20 {
			seeds = append(seeds, uint64(time.Now().UnixNano())+uint64(i))
		}
	}
	for _, seed := range seeds {
		all := attacks(t, seed)
		counts, codes := map[string]int{}, map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		next := make(chan attack)
		for range 8 {
			wg.Go(func() {
				for a := range next {
					status, err := a.run(host)
					mu.Lock()
					counts[a.kind]++
					codes[status]++
					mu.Unlock()
					if err != nil {
						t.Errorf("seed %d, %s: %v\n\t%s %.200q %.200q %.300q %.300q", seed, a.kind, err, a.method, a.path, a.header, a.body, a.raw)
					}
				}
			})
		}
		for _, a := range all {
			next <- a
		}
		close(next)
		wg.Wait()
		t.Logf("seed %d: %d requests: %v; by status: %v", seed, len(all), counts, codes)
		if len(all) < 2000 {
			t.Errorf("only %d requests", len(all))
		}
	}
	file := picturePNG(t, 9, 20, 20)
	var got answer
	ask(t, "POST", base+"/v1/classify", "", file, 200, &got)
	in := s.versions()[0].instance
	if n := in.admitted.Load(); n != 0 || s.bodies.used != 0 || len(s.decoders.slots) != 0 || !s.decoders.memory.TryAcquire(s.decoders.most) {
		t.Errorf("%d pictures, %d bytes, %d decoders are left behind", n, s.bodies.used, len(s.decoders.slots))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// run sends an attack and checks the answer.
func (a *attack) run(host string) (status int, err error) {
	c, err := net.Dial("tcp", host)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	raw := a.raw
	method := a.method
	if method == "" {
		method = "POST"
	}
	if raw == "" {
		path := a.path
		if u, err := url.Parse(path); err != nil || strings.ContainsAny(path, " \r\n") {
			path = (&url.URL{Path: path}).EscapedPath()
		} else if u.Path == "" {
			path = "/" + path
		}
		raw = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n", method, path, len(a.body))
		for i := 0; i < len(a.header); i += 2 {
			raw += a.header[i] + ": " + a.header[i+1] + "\r\n"
		}
		raw += "\r\n" + string(a.body)
	}
	go io.WriteString(c, raw) // the server may answer before it has read all
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}
	defer r.Body.Close()
	if a.allowed && r.StatusCode == 200 {
		return 200, nil
	}
	if a.raw != "" && (r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusHTTPVersionNotSupported) {
		return r.StatusCode, nil // net/http's own answer to encodings and versions that do not exist
	}
	if r.StatusCode < 400 || r.StatusCode > 499 {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 500))
		return r.StatusCode, fmt.Errorf("status %d: %s", r.StatusCode, b)
	}
	if method == "HEAD" {
		return r.StatusCode, nil
	}
	b, err := io.ReadAll(r.Body)
	var e errorBody
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if a.raw != "" && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return r.StatusCode, nil // net/http's own answer to what is no HTTP
	}
	if err != nil || e.Error == "" || e.RequestID == "" {
		return r.StatusCode, fmt.Errorf("status %d without an error as JSON: %v: %.200q", r.StatusCode, err, b)
	}
	return r.StatusCode, nil
}
