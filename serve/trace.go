package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/resnet-go/resnet/serve/internal/otlp"
)

// trace is a request's place in a distributed trace (W3C Trace Context).
type trace struct {
	id, parent, span string // hexadecimal
	flags            string
}

// traceOf continues the trace of a request, or begins one.
func traceOf(traceparent string) trace {
	isHex := func(s string, n int) bool {
		return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
	}
	p := strings.Split(traceparent, "-")
	if len(p) >= 4 && isHex(p[0], 2) && p[0] != "ff" && (p[0] != "00" || len(p) == 4) && isHex(p[1], 32) && isHex(p[2], 16) && isHex(p[3], 2) &&
		strings.Trim(p[1], "0") != "" && strings.Trim(p[2], "0") != "" {
		return trace{p[1], p[2], newID(8), p[3]}
	}
	return trace{newID(16), "", newID(8), "00"}
}

// header returns the trace with this server's part of it as the parent.
func (t trace) header() string { return fmt.Sprintf("00-%s-%s-%s", t.id, t.span, t.flags) }

// sampled reports whether the caller records the trace.
func (t trace) sampled() bool { return strings.ContainsAny(t.flags[1:], "13579bdf") }

// TraceExport is where the spans of requests go: to a collector of OpenTelemetry, by OTLP
// over HTTP. [TraceExportFromEnv] makes one.
type TraceExport struct{ config otlp.Config }

// TraceExportFromEnv returns what OpenTelemetry's environment variables describe, and nil
// if neither OTEL_EXPORTER_OTLP_ENDPOINT nor OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set.
// Of the others it takes those of OTLP for headers, compression, timeout and protocol,
// OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_BSP_SCHEDULE_DELAY, OTEL_TRACES_EXPORTER and OTEL_SDK_DISABLED. lookup is
// os.LookupEnv; version is that of the service.
func TraceExportFromEnv(lookup func(string) (string, bool), version string) (*TraceExport, error) {
	c, err := otlp.FromEnv(lookup, version)
	if c == nil || err != nil {
		return nil, err
	}
	return &TraceExport{*c}, nil
}

// trace returns the place of a request in its trace, and what records its spans: nil if
// the trace is not exported.
func (s *Server) trace(traceparent string) (trace, *recorder) {
	tr := traceOf(traceparent)
	if s.traces == nil {
		return tr, nil
	}
	if !s.traces.Sampled(tr.id, tr.parent != "", tr.sampled()) {
		tr.flags = "00"
		return tr, nil
	}
	tr.flags = "01"
	return tr, &recorder{trace: tr}
}

// recorder has the spans of a request.
type recorder struct {
	trace trace
	mu    sync.Mutex
	spans []otlp.Span
}

// recorderOf returns the recorder of the request that a context is of, which may be nil.
func recorderOf(ctx context.Context) *recorder {
	if a, ok := ctx.Value(contextKey{}).(*about); ok {
		return a.spans
	}
	return nil
}

// maxSpans is the largest number of spans of a request: streams have no end.
const maxSpans = 1000

// add adds a part of the request.
func (r *recorder) add(name string, began time.Time, d time.Duration, attributes ...otlp.Attribute) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans) < maxSpans {
		r.spans = append(r.spans, otlp.Span{TraceID: r.trace.id, SpanID: newID(8), ParentID: r.trace.span, Name: name, Kind: otlp.KindInternal, Start: began, End: began.Add(d), Attributes: attributes})
	}
}

// done returns the spans of a request that is answered, its own first. Names of attributes
// are those of OpenTelemetry's semantic conventions.
func (r *recorder) done(req *http.Request, route string, w *watched, began time.Time) []otlp.Span {
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	own := otlp.Span{TraceID: r.trace.id, SpanID: r.trace.span, ParentID: r.trace.parent, Name: req.Method + " " + route, Kind: otlp.KindServer, Start: began, End: time.Now(),
		Attributes: []otlp.Attribute{{Key: "http.request.method", Value: req.Method}, {Key: "http.route", Value: route}, {Key: "url.path", Value: strings.ToValidUTF8(req.URL.Path, "?")}, {Key: "http.response.status_code", Value: status}, {Key: "resnet.request_id", Value: requestID(req.Context())}}}
	if status >= 500 {
		own.Failed = http.StatusText(status)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]otlp.Span{own}, r.spans...)
}
