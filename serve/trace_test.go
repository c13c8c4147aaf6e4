package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// The spans of requests go to a collector: one for a request, below the caller's, and
// below it one for each stage.
func TestTraceExport(t *testing.T) {
	type span struct {
		TraceID, SpanID, ParentSpanID, Name string
		Kind                                int
		Start                               string `json:"startTimeUnixNano"`
		End                                 string `json:"endTimeUnixNano"`
		Attributes                          []struct {
			Key   string
			Value map[string]string
		}
		Status struct{ Code int }
	}
	var mu sync.Mutex
	var spans []span
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/traces" {
			t.Error(r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		spans = append(spans, body.ResourceSpans[0].ScopeSpans[0].Spans...)
	}))
	defer collector.Close()
	export, err := TraceExportFromEnv(func(name string) (string, bool) { return collector.URL, name == "OTEL_EXPORTER_OTLP_ENDPOINT" }, "1")
	if err != nil {
		t.Fatal(err)
	}
	s, web := start(t, Options{Traces: export})
	call := func(path, parent string, body []byte) {
		t.Helper()
		r, err := http.NewRequest("POST", web.URL+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Traceparent", parent)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
		if sampled := strings.HasSuffix(a.Header.Get("Traceparent"), "-01"); sampled != !strings.HasSuffix(parent, "-00") {
			t.Errorf("%s gives %s", parent, a.Header.Get("Traceparent"))
		}
	}
	const id = "0af7651916cd43dd8448eb211c80319c"
	call("/v1/classify?topk=1", "00-"+id+"-b7ad6b7169203331-01", picturePNG(t, 1, 40, 40))
	call("/v1/classify", "00-"+strings.Repeat("1", 32)+"-b7ad6b7169203331-00", picturePNG(t, 1, 40, 40)) // which its caller does not record
	call("/v1/nothing", "", nil)
	web.Close()
	s.Close() // which sends what waits
	mu.Lock()
	defer mu.Unlock()
	got := map[string]span{}
	for _, sp := range spans {
		got[sp.TraceID[:2]+" "+sp.Name] = sp
	}
	root := got["0a POST /v1/classify"]
	if root.TraceID != id || root.ParentSpanID != "b7ad6b7169203331" || root.Kind != 2 || !strings.Contains(fmt.Sprint(root.Attributes), "{http.response.status_code map[intValue:200]}") {
		t.Errorf("the request's span is %+v", root)
	}
	for _, stage := range stageNames {
		sp := got["0a "+stage]
		if sp.TraceID != id || sp.ParentSpanID != root.SpanID || sp.Kind != 1 || sp.Start < root.Start || sp.End > root.End || !strings.Contains(fmt.Sprint(sp.Attributes), "clothes") {
			t.Errorf("the span of %s is %+v, in %+v", stage, sp, root)
		}
	}
	others := 0
	for name, sp := range got {
		if strings.HasPrefix(name, "0a ") {
			continue
		}
		others++
		if sp.Name != "POST /" || sp.ParentSpanID != "" || sp.Status.Code != 0 {
			t.Errorf("there is a span %+v", sp)
		}
	}
	if others != 1 || len(spans) != 6 {
		t.Errorf("there are %d spans: %+v", len(spans), spans)
	}
}
