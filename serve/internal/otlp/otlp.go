// Package otlp exports the spans of traces to a collector of OpenTelemetry, by OTLP over
// HTTP with JSON. The official exporter would add 8 MB to the program, most of it gRPC.
//
// The specification: https://opentelemetry.io/docs/specs/otlp/
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of spans and the code of failed ones, as OTLP numbers them.
const (
	KindInternal = 1
	KindServer   = 2
	StatusError  = 2
)

// Span is a part of a trace. Ids are hexadecimal, as OTLP's JSON has them.
type Span struct {
	TraceID    string
	SpanID     string
	ParentID   string // "" for the first of a trace
	Name       string
	Kind       int
	Start, End time.Time
	Attributes []Attribute
	Failed     string // what went wrong; "" if nothing did
}

// Attribute is a text (string) or whole number (int) by name.
type Attribute struct {
	Key   string
	Value any
}

// Config is where spans go.
type Config struct {
	URL      string // of the calls, with the path
	Headers  http.Header
	Timeout  time.Duration // of a call
	Gzip     bool
	Delay    time.Duration // after which spans are sent, at the latest
	Queue    int           // spans that wait; more are dropped
	Batch    int           // spans of a call
	Resource []Attribute   // what the spans are of
	Sampler  Sampler
}

// Exporter sends spans. It is safe for concurrent use.
type Exporter struct {
	config  Config
	log     *slog.Logger
	client  *http.Client
	spans   chan Span
	end     chan struct{}
	ended   chan struct{}
	once    sync.Once
	dropped atomic.Uint64
	sent    atomic.Uint64
	failed  time.Time // when a failure was logged last; of the goroutine
}

// New returns an exporter. [Exporter.Close] ends it.
func New(c Config, log *slog.Logger) *Exporter {
	e := &Exporter{config: c, log: log, client: &http.Client{Timeout: c.Timeout}, spans: make(chan Span, c.Queue), end: make(chan struct{}), ended: make(chan struct{})}
	go e.loop()
	return e
}

// Add takes spans, without waiting: what finds no room is dropped.
func (e *Exporter) Add(spans ...Span) {
	for _, s := range spans {
		select {
		case e.spans <- s:
		default:
			e.dropped.Add(1)
		}
	}
}

// Sampled reports whether the trace of an id is exported, by the sampler of the
// configuration; see [Sampler.Sampled].
func (e *Exporter) Sampled(traceID string, hasParent, parentSampled bool) bool {
	return e.config.Sampler.Sampled(traceID, hasParent, parentSampled)
}

// Sent and Dropped return how many spans the collector took, and how many it did not get.
func (e *Exporter) Sent() uint64    { return e.sent.Load() }
func (e *Exporter) Dropped() uint64 { return e.dropped.Load() }

// Close sends what waits, for at most the time of a call, and ends the exporter.
func (e *Exporter) Close() {
	e.once.Do(func() { close(e.end) })
	<-e.ended
}

func (e *Exporter) loop() {
	defer close(e.ended)
	defer e.client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting []Span
	tick := time.NewTicker(e.config.Delay)
	defer tick.Stop()
	for {
		full := false
		select {
		case s := <-e.spans:
			waiting = append(waiting, s)
			full = len(waiting) >= e.config.Batch
		case <-tick.C:
			full = len(waiting) > 0
		case <-e.end:
			last, stop := context.WithTimeout(ctx, e.config.Timeout)
			defer stop()
			for {
				select {
				case s := <-e.spans:
					waiting = append(waiting, s)
				default:
					for len(waiting) > 0 {
						n := min(len(waiting), e.config.Batch)
						e.send(last, waiting[:n])
						waiting = waiting[n:]
					}
					return
				}
			}
		}
		if full {
			e.send(ctx, waiting)
			waiting = waiting[:0]
		}
	}
}

// tries is how often a call is made that the collector is too busy for.
const tries = 4

// send makes the call for spans. What cannot be sent is lost, and logged once a minute.
func (e *Exporter) send(ctx context.Context, spans []Span) {
	body, err := e.body(spans)
	for try := 0; err == nil; try++ {
		var again time.Duration
		if again, err = e.call(ctx, body); err == nil {
			e.sent.Add(uint64(len(spans)))
			return
		}
		if again == 0 || try+1 == tries {
			break
		}
		select {
		case <-time.After(max(again, time.Second<<try/2)):
			err = nil
		case <-ctx.Done():
		case <-e.end:
		}
	}
	e.dropped.Add(uint64(len(spans)))
	if time.Since(e.failed) > time.Minute {
		e.failed = time.Now()
		e.log.Error("spans could not be exported", slog.String("url", e.config.URL), slog.String("error", err.Error()), slog.Int("spans", len(spans)))
	}
}

// call makes a call once. again is when to try again; 0 means never.
func (e *Exporter) call(ctx context.Context, body []byte) (again time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.config.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = e.config.Headers.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Content-Type", "application/json")
	if e.config.Gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	a, err := e.client.Do(r)
	if err != nil {
		return time.Millisecond, err
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(a.Body, 16<<10)) // for the message alone
	switch a.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		var answer struct {
			Partial struct {
				Rejected json.Number `json:"rejectedSpans"`
				Why      string      `json:"errorMessage"`
			} `json:"partialSuccess"`
		}
		if json.Unmarshal(text, &answer) == nil && answer.Partial.Rejected != "" && answer.Partial.Rejected != "0" {
			return 0, fmt.Errorf("the collector rejects %s spans: %.300s", answer.Partial.Rejected, answer.Partial.Why)
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = time.Millisecond
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && n > 0 {
			again = min(time.Duration(n)*time.Second, time.Minute)
		}
	}
	return again, fmt.Errorf("the collector answers %s: %.300s", a.Status, text)
}

// body returns spans as an ExportTraceServiceRequest.
func (e *Exporter) body(spans []Span) ([]byte, error) {
	type object = map[string]any
	attributes := func(list []Attribute) []object {
		out := []object{}
		for _, a := range list {
			value := object{"stringValue": a.Value}
			if n, ok := a.Value.(int); ok {
				value = object{"intValue": strconv.Itoa(n)} // 64 bits are texts in the JSON of protocol buffers
			}
			out = append(out, object{"key": a.Key, "value": value})
		}
		return out
	}
	list := []object{}
	for _, s := range spans {
		o := object{"traceId": s.TraceID, "spanId": s.SpanID, "name": s.Name, "kind": s.Kind, "startTimeUnixNano": strconv.FormatInt(s.Start.UnixNano(), 10),
			"endTimeUnixNano": strconv.FormatInt(s.End.UnixNano(), 10), "attributes": attributes(s.Attributes)}
		if s.ParentID != "" {
			o["parentSpanId"] = s.ParentID
		}
		if s.Failed != "" {
			o["status"] = object{"code": StatusError, "message": s.Failed}
		}
		list = append(list, o)
	}
	b, err := json.Marshal(object{"resourceSpans": []object{{
		"resource":   object{"attributes": attributes(e.config.Resource)},
		"scopeSpans": []object{{"scope": object{"name": "github.com/resnet-go/resnet/serve"}, "spans": list}},
	}}})
	if err != nil || !e.config.Gzip {
		return b, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(b)
	err = errors.Join(err, w.Close())
	return packed.Bytes(), err
}
