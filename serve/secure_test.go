package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// With keys, every call but health needs one; a page of the program's own does not.
func TestKeys(t *testing.T) {
	key, line := NewKey("phone")
	_, other := NewKey("watch")
	keys, err := ParseKeys([]byte("# clients\n\n" + other + "\n" + line + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(line, key) || len(key) < 40 {
		t.Errorf("the line %q has the key %q", line, key)
	}
	s, web := start(t, Options{Keys: keys, Profiling: true, Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") })})
	status := func(path string, header ...string) int {
		r, err := http.NewRequest("GET", web.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	for _, rt := range s.table() {
		path := strings.NewReplacer("{model}", "clothes", "{version}", "1").Replace(rt.path)
		want := 401
		if strings.HasPrefix(path, "/v2/health/") {
			want = 200
		}
		if got := status(path); got != want {
			t.Errorf("%s without a key: %d, must be %d", path, got, want)
		}
		if got := status(path, "Authorization", "Bearer "+key[:len(key)-1]); got != want {
			t.Errorf("%s with a part of a key: %d, must be %d", path, got, want)
		}
	}
	for _, ok := range [][]string{{"Authorization", "Bearer " + key}, {"Authorization", "bearer " + key}, {"X-Api-Key", key}} {
		if got := status("/v1/models", ok...); got != 200 {
			t.Errorf("%v: %d", ok, got)
		}
	}
	if status("/") != 200 || status("/v1/unknown") != 401 {
		t.Error("a page needs a key, or an unknown call needs none")
	}
	if _, err := grpcCall[pb.ModelReadyRequest, pb.ModelReadyResponse](t.Context(), web.URL, grpcService+"ModelReady", &pb.ModelReadyRequest{Name: "clothes"}); err == nil || !strings.Contains(err.Error(), "unauthenticated") {
		t.Errorf("gRPC without a key: %v", err)
	}
	if r, err := grpcCall[pb.ServerLiveRequest, pb.ServerLiveResponse](t.Context(), web.URL, grpcService+"ServerLive", &pb.ServerLiveRequest{}); err != nil || !r.Live {
		t.Errorf("gRPC's health: %v", err)
	}
	for _, bad := range []string{"", "phone", "phone 12", "phone " + strings.Repeat("g", 64), line + "00"} {
		if _, err := ParseKeys([]byte(bad)); err == nil {
			t.Errorf("%q is taken for keys", bad)
		}
	}
}

// A new file of keys is used without a restart; one that cannot be read leaves the keys.
func TestKeysAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	age := 0
	write := func(text string) { // as a rename, with another time
		age++
		at := time.Now().Add(time.Duration(age) * time.Minute)
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Chtimes(path+".new", at, at), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	first, firstLine := NewKey("a")
	second, secondLine := NewKey("b")
	if _, err := OpenKeys(path); err == nil {
		t.Error("a file that does not exist gives keys")
	}
	write("nonsense")
	if _, err := OpenKeys(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	write(firstLine)
	keys, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	known := func(key string) bool {
		keys.mu.Lock()
		keys.checked = time.Time{} // as if a second had passed
		keys.mu.Unlock()
		_, ok := keys.current(quiet()).find(key)
		return ok
	}
	if !known(first) || known(second) {
		t.Error("the keys are not those of the file")
	}
	write(secondLine)
	if known(first) || !known(second) {
		t.Error("the keys are those of the old file")
	}
	write("nonsense")
	if !known(second) {
		t.Error("a damaged file takes the keys away")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !known(second) {
		t.Error("a file that is gone takes the keys away")
	}
	write(firstLine + "\n" + secondLine)
	if !known(first) || !known(second) {
		t.Error("the keys are not those of the file")
	}
}

func TestCORS(t *testing.T) {
	_, web := start(t, Options{Origins: []string{"https://good.example"}})
	call := func(method, origin string) (int, http.Header) {
		r, err := http.NewRequest(method, web.URL+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode, a.Header
	}
	if code, h := call("OPTIONS", "https://good.example"); code != 204 || h.Get("Access-Control-Allow-Origin") != "https://good.example" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%d %v", code, h)
	}
	if code, h := call("GET", "https://good.example"); code != 200 || h.Get("Access-Control-Allow-Origin") == "" || h.Get("Vary") != "Origin" {
		t.Errorf("%d %v", code, h)
	}
	if code, h := call("OPTIONS", "https://evil.example"); code != 405 || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", code, h)
	}
}

// Ids and traces of clients go on; those that could not go to a log do not.
func TestRequestIDsAndTraces(t *testing.T) {
	_, web := start(t, Options{})
	call := func(id, parent string) http.Header {
		r, err := http.NewRequest("GET", web.URL+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Request-Id", id)
		r.Header.Set("Traceparent", parent)
		return askWith(t, r, 200, nil)
	}
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	h := call("order-7", "00-"+traceID+"-b7ad6b7169203331-01")
	if got := h.Get("Traceparent"); h.Get("X-Request-Id") != "order-7" || !strings.HasPrefix(got, "00-"+traceID+"-") || !strings.HasSuffix(got, "-01") || strings.Contains(got, "b7ad6b7169203331") {
		t.Errorf("%v", h)
	}
	for _, bad := range []string{"", "x", "00-" + traceID, "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", "ff-" + traceID + "-b7ad6b7169203331-01", "00-" + strings.ToUpper(traceID) + "-b7ad6b7169203331-01", "00-" + traceID + "-b7ad6b7169203331-01-x"} {
		if h := call("a b", bad); h.Get("X-Request-Id") == "a b" || strings.Contains(h.Get("Traceparent"), traceID) || len(h.Get("Traceparent")) != 55 {
			t.Errorf("%q: %v", bad, h)
		}
	}
}

// authority signs certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCertificate(t *testing.T, name string, by *authority) (cert, key []byte, own *authority) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	own = &authority{key: k, cert: template}
	if by == nil {
		by = own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &k.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	if own.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	own.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return own.pem, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), own
}

// Clients need a certificate of the authority, a new certificate of the server is used
// without a restart, and a damaged one is not.
func TestMutualTLSAndReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, _, signer := newCertificate(t, "authority", nil)
	cert, key, _ := newCertificate(t, "first", signer)
	opt := ListenOptions{Address: "127.0.0.1:0", Certificate: write("cert.pem", cert), Key: write("key.pem", key), ClientCA: write("ca.pem", ca)}
	s, err := New(t.Context(), Options{Models: []Source{Of("clothes", embedded())}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	url, stop := listen(t, s, opt)
	url = "https" + strings.TrimPrefix(url, "http")

	clientCert, clientKey, _ := newCertificate(t, "client", signer)
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	get := func(certs ...tls.Certificate) (name, protocol string, err error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		a, err := (&http.Client{Transport: transport}).Get(url + "/v2/health/ready")
		if err != nil {
			return "", "", err
		}
		defer a.Body.Close()
		return a.TLS.PeerCertificates[0].Subject.CommonName, a.Proto, nil
	}
	if name, protocol, err := get(pair); err != nil || name != "first" || protocol != "HTTP/2.0" {
		t.Errorf("%s, %s, %v", name, protocol, err)
	}
	if _, _, err := get(); err == nil {
		t.Error("a client without a certificate is let in")
	}
	stranger, strangerKey, _ := newCertificate(t, "stranger", nil)
	strange, err := tls.X509KeyPair(stranger, strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(strange); err == nil {
		t.Error("a client with a certificate of its own is let in")
	}
	write("cert.pem", []byte("damaged"))
	time.Sleep(checkEvery + 50*time.Millisecond)
	if name, _, err := get(pair); err != nil || name != "first" {
		t.Errorf("with a damaged file: %s, %v", name, err)
	}
	cert, key, _ = newCertificate(t, "second", signer)
	write("key.pem", key)
	write("cert.pem", cert)
	time.Sleep(checkEvery + 50*time.Millisecond)
	if name, _, err := get(pair); err != nil || name != "second" {
		t.Errorf("after the reload: %s, %v", name, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, bad := range []ListenOptions{{Certificate: opt.Certificate}, {ClientCA: opt.ClientCA}, {Certificate: filepath.Join(dir, "none"), Key: opt.Key}, {Certificate: opt.Certificate, Key: opt.Key, ClientCA: opt.Key}, {Address: "nowhere:x"}} {
		s, err := New(t.Context(), Options{Models: []Source{Of("clothes", embedded())}, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.ListenAndServe(t.Context(), bad); err == nil {
			t.Errorf("%+v is no error", bad)
		}
	}
}

// listen runs a server, and returns its address and what ends it.
func listen(t testing.TB, s *Server, opt ListenOptions) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	at, ended := make(chan net.Addr, 1), make(chan error, 1)
	opt.Listening = func(a net.Addr) { at <- a }
	go func() { ended <- s.ListenAndServe(ctx, opt) }()
	select {
	case a := <-at:
		url = "http://" + a.String()
	case err := <-ended:
		t.Fatal(err)
	}
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("the server did not end")
		}
	}
	t.Cleanup(func() { cancel() })
	return url, stop
}

// A server that opens its models later answers that it is not ready meanwhile.
func TestOpenLater(t *testing.T) {
	open := make(chan error)
	src := Source{Name: "clothes", Open: func(ctx context.Context) (*resnet.Model, error) {
		select {
		case err := <-open:
			return embedded(), err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	server := func() *Server {
		s, err := New(t.Context(), Options{Models: []Source{src}, OpenLater: true, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	opened := make(chan bool)
	url, stop := listen(t, server(), ListenOptions{Address: "127.0.0.1:0", Opened: func() { close(opened) }})
	status := func(path string) int {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const live, ready, model = "/v2/health/live", "/v2/health/ready", "/v1/models/clothes"
	if l, r, m := status(live), status(ready), status(model); l != 200 || r != 503 || m != 503 {
		t.Errorf("before the model is open: live %d, ready %d, the model %d", l, r, m)
	}
	open <- nil
	<-opened
	if r, m := status(ready), status(model); r != 200 || m != 200 {
		t.Errorf("when the model is open: ready %d, the model %d", r, m)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}

	go func() { open <- errors.New("no such file") }()
	err := server().ListenAndServe(t.Context(), ListenOptions{Address: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "model clothes, version 1: no such file") {
		t.Errorf("a model that cannot be opened: %v", err)
	}
	_, stop = listen(t, server(), ListenOptions{Address: "127.0.0.1:0"})
	if err := stop(); err != nil {
		t.Errorf("stopped while the model is opened: %v", err)
	}
}

// After the signal to end, requests in progress are answered, new ones while the server
// drains, and none after that.
func TestDrain(t *testing.T) {
	s, err := New(t.Context(), Options{Models: []Source{Of("clothes", embedded())}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	url, stop := listen(t, s, ListenOptions{Address: "127.0.0.1:0", Drain: 300 * time.Millisecond})
	in, err := s.hold("clothes", "")
	if err != nil {
		t.Fatal(err)
	}
	gate, busy := make(chan struct{}), make(chan struct{})
	go in.queue.do(&job{ctx: context.Background(), n: 1, run: func(context.Context) error { close(busy); <-gate; return nil }})
	<-busy
	in.drop()
	file := picturePNG(t, 1, 8, 8)
	answered := make(chan error, 1)
	go func() {
		a, err := http.Post(url+"/v1/classify", "", strings.NewReader(string(file)))
		if err == nil {
			defer a.Body.Close()
			if b, _ := io.ReadAll(a.Body); a.StatusCode != 200 {
				err = errors.New(string(b))
			}
		}
		answered <- err
	}()
	until(t, func() bool { return in.queue.length() == 1 })
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	until(t, s.draining.Load)
	ask(t, "GET", url+"/v2/health/ready", "", nil, 503, nil)
	ask(t, "GET", url+"/v2/health/live", "", nil, 200, nil)
	time.Sleep(400 * time.Millisecond)
	if _, err := http.Get(url + "/v2/health/live"); err == nil {
		t.Error("connections are taken after the drain")
	}
	close(gate)
	if err := <-answered; err != nil {
		t.Errorf("the request in progress: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Connections beyond the limit wait, slow headers are cut off, and slow bodies get 408.
func TestSlowAndManyConnections(t *testing.T) {
	s, err := New(t.Context(), Options{Models: []Source{Of("clothes", embedded())}, Log: quiet(), BodyTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	url, stop := listen(t, s, ListenOptions{Address: "127.0.0.1:0", MaxConnections: 2, HeaderTimeout: 300 * time.Millisecond})
	defer stop()
	dial := func(send string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, send)
		return c
	}
	slow := dial("POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	lazy := dial("GET /v2/health/live HTTP/1.1\r\nHo")
	third := dial("GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") // waits for one of them
	if b, err := io.ReadAll(slow); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 408 ") || !strings.Contains(string(b), `"error"`) {
		t.Errorf("a slow body: %q, %v", b, err)
	}
	if b, err := io.ReadAll(lazy); err != nil || strings.Contains(string(b), "200 OK") {
		t.Errorf("slow headers: %q, %v", b, err)
	}
	if b, err := io.ReadAll(third); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("the third connection: %q, %v", b, err)
	}
}

// What computes without end is cut off at its deadline, and the client is told so.
func TestTimeout(t *testing.T) {
	s, web := start(t, Options{Timeout: 50 * time.Millisecond})
	in, err := s.hold("clothes", "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.drop()
	gate, busy := make(chan struct{}), make(chan struct{})
	defer close(gate)
	go in.queue.do(&job{ctx: context.Background(), n: 1, run: func(context.Context) error { close(busy); <-gate; return nil }})
	<-busy
	ask(t, "POST", web.URL+"/v1/classify", "", picturePNG(t, 1, 8, 8), 504, nil)
}
