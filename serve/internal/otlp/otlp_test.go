package otlp

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestFromEnv(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string // the address; "" for no export
	}{
		{nil, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, "http://localhost:4318/v1/traces"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/"}, "https://c.example/otlp/v1/traces"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2/x"}, "http://b:2/x"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_SDK_DISABLED": "TRUE"}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_TRACES_EXPORTER": "none"}, ""},
	} {
		got, err := FromEnv(lookup(c.env), "1.2")
		if err != nil || (got == nil) != (c.want == "") || got != nil && got.URL != c.want {
			t.Errorf("%v gives %+v, %v, must be %q", c.env, got, err, c.want)
		}
	}
	for name, bad := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd",
		"OTEL_EXPORTER_OTLP_TIMEOUT": "10s", "OTEL_BSP_SCHEDULE_DELAY": "0", "OTEL_EXPORTER_OTLP_HEADERS": "secret", "OTEL_RESOURCE_ATTRIBUTES": "a=%zz", "OTEL_TRACES_SAMPLER": "some", "OTEL_TRACES_EXPORTER": "zipkin",
	} {
		env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}
		env[name] = bad
		if _, err := FromEnv(lookup(env), ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s gives %v", name, bad, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has the header: %v", err)
		}
	}
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"}
	if _, err := FromEnv(lookup(env), ""); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
		t.Error(err)
	}
}

func TestSampler(t *testing.T) {
	low, high := strings.Repeat("0", 31)+"1", strings.Repeat("f", 32)
	for _, c := range []struct {
		name, arg, id      string
		hasParent, sampled bool
		want               bool
	}{
		{"", "", high, false, false, true},
		{"", "", high, true, false, false},
		{"", "", high, true, true, true},
		{"always_on", "", high, true, false, true},
		{"always_off", "", low, true, true, false},
		{"parentbased_always_off", "", low, true, true, true},
		{"parentbased_always_off", "", low, false, false, false},
		{"traceidratio", "0.5", low, true, false, true},
		{"traceidratio", "0.5", high, true, true, false},
		{"traceidratio", "", high, false, false, true},
		{"traceidratio", "0", low, false, false, false},
		{"parentbased_traceidratio", "0.5", high, true, true, true},
		{"always_on", "", "x", false, false, false},
	} {
		s, err := parseSampler("N", c.name, "A", c.arg)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Sampled(c.id, c.hasParent, c.sampled); got != c.want {
			t.Errorf("%+v is sampled: %v", c, got)
		}
	}
}

// collector is a server that takes spans. Its first answers are those of statuses.
type collector struct {
	statuses []int
	mu       sync.Mutex
	bodies   []string
	headers  []http.Header
	calls    atomic.Int64
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(c.calls.Add(1))
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	b, _ := io.ReadAll(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies, c.headers = append(c.bodies, string(b)), append(c.headers, r.Header)
	if n <= len(c.statuses) {
		w.WriteHeader(c.statuses[n-1])
	}
	fmt.Fprint(w, `{"partialSuccess":{}}`)
}

func export(t *testing.T, c *collector, change func(*Config), spans ...Span) *Exporter {
	t.Helper()
	web := httptest.NewServer(c)
	t.Cleanup(web.Close)
	config, err := FromEnv(lookup(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": web.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, x=y", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_RESOURCE_ATTRIBUTES": "service.name=old,zone=eu", "OTEL_SERVICE_NAME": "shop"}), "7")
	if err != nil {
		t.Fatal(err)
	}
	config.Delay = 10 * time.Millisecond
	if change != nil {
		change(config)
	}
	e := New(*config, slog.New(slog.DiscardHandler))
	e.Add(spans...)
	return e
}

// What a collector gets is the JSON of the specification's example.
func TestExport(t *testing.T) {
	c := &collector{}
	at := time.Unix(1544712660, 5)
	e := export(t, c, nil,
		Span{TraceID: "5b8efff798038103d269b633813fc60c", SpanID: "eee19b7ec3c1b174", ParentID: "eee19b7ec3c1b173", Name: "POST /x", Kind: KindServer, Start: at, End: at.Add(time.Second), Attributes: []Attribute{{"a", "b"}, {"n", 500}}, Failed: "broken"},
		Span{TraceID: "5b8efff798038103d269b633813fc60c", SpanID: "eee19b7ec3c1b175", Name: "queue", Kind: KindInternal, Start: at, End: at})
	e.Close()
	e.Close()
	if len(c.bodies) != 1 {
		t.Fatalf("there are %d calls", len(c.bodies))
	}
	if h := c.headers[0]; h.Get("Api-Key") != "a b" || h.Get("X") != "y" || h.Get("Content-Type") != "application/json" {
		t.Errorf("the headers are %v", h)
	}
	want := `{"resourceSpans":[{"resource":{"attributes":[{"key":"zone","value":{"stringValue":"eu"}},{"key":"service.name","value":{"stringValue":"shop"}},{"key":"telemetry.sdk.language","value":{"stringValue":"go"}},{"key":"telemetry.sdk.name","value":{"stringValue":"resnet"}},{"key":"service.version","value":{"stringValue":"7"}}]},
		"scopeSpans":[{"scope":{"name":"github.com/resnet-go/resnet/serve"},"spans":[
		{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173","name":"POST /x","kind":2,"startTimeUnixNano":"1544712660000000005","endTimeUnixNano":"1544712661000000005",
		 "attributes":[{"key":"a","value":{"stringValue":"b"}},{"key":"n","value":{"intValue":"500"}}],"status":{"code":2,"message":"broken"}},
		{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","name":"queue","kind":1,"startTimeUnixNano":"1544712660000000005","endTimeUnixNano":"1544712660000000005","attributes":[]}]}]}]}`
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.bodies[0]), &b); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("the collector got %s\nmust be %s", y, x)
	}
	if e.Sent() != 2 || e.Dropped() != 0 {
		t.Errorf("%d sent, %d dropped", e.Sent(), e.Dropped())
	}
}

// A busy collector is asked again, one that refuses is not, and what finds no room is
// dropped without waiting.
func TestTroubleWithTheCollector(t *testing.T) {
	busy := &collector{statuses: []int{503, 429}}
	e := export(t, busy, nil, Span{TraceID: "a", SpanID: "b"})
	for deadline := time.Now().Add(10 * time.Second); e.Sent() == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	e.Close()
	if busy.calls.Load() != 3 || e.Sent() != 1 {
		t.Errorf("%d calls, %d sent", busy.calls.Load(), e.Sent())
	}
	refusing := &collector{statuses: []int{400}}
	e = export(t, refusing, nil, Span{TraceID: "a", SpanID: "b"})
	e.Close()
	if refusing.calls.Load() != 1 || e.Dropped() != 1 {
		t.Errorf("%d calls, %d dropped", refusing.calls.Load(), e.Dropped())
	}
	absent := New(Config{URL: "http://127.0.0.1:1/", Timeout: 100 * time.Millisecond, Delay: time.Hour, Queue: 3, Batch: 100}, slog.New(slog.DiscardHandler))
	absent.Add(make([]Span, 1000)...)
	absent.Close()
	if absent.Sent() != 0 || absent.Dropped() != 1000 {
		t.Errorf("%d sent, %d dropped", absent.Sent(), absent.Dropped())
	}
}
