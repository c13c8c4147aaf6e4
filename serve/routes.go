package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/suggest"
)

// handler answers a request, or returns the error that the client gets.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is a path and what answers it, by method.
type route struct {
	path    string
	methods map[string]handler
}

func (s *Server) table() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	post := func(h handler) map[string]handler { return map[string]handler{http.MethodPost: h} }
	plain := func(h http.Handler) handler {
		return func(w http.ResponseWriter, r *http.Request) error { h.ServeHTTP(w, r); return nil }
	}
	list := []route{
		{"/v1/classify", post(s.handleClassify)},
		{"/v1/embed", post(s.handleEmbed)},
		{"/v1/detect", post(s.handleDetect)},
		{"/v1/segment", post(s.handleSegment)},
		{"/v1/models", get(s.handleModels)},
		{"/v1/models/{model}", get(s.handleModel)},
		{"/v1/status", get(s.handleStatus)},
		{"/openapi.json", get(s.handleOpenAPI)},
		{"/metrics", get(plain(s.metrics.handler()))},

		{"/v2", get(s.handleServerMetadata)},
		{"/v2/health/live", get(s.handleLive)},
		{"/v2/health/ready", get(s.handleReady)},
		{"/v2/repository/index", post(s.handleIndex)},
		{"/v2/repository/models/{model}/load", post(s.handleLoad)},
		{"/v2/repository/models/{model}/unload", post(s.handleUnload)},
		{"/v2/models/stats", get(s.handleStatistics)},
	}
	for _, of := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		list = append(list,
			route{of, get(s.handleMetadata)},
			route{of + "/ready", get(s.handleModelReady)},
			route{of + "/config", get(s.handleConfig)},
			route{of + "/stats", get(s.handleStatistics)},
			route{of + "/infer", post(s.handleInfer)},
		)
	}
	if s.opt.Profiling {
		list = append(list,
			route{"/debug/pprof/", get(plain(http.HandlerFunc(pprof.Index)))},
			route{"/debug/pprof/cmdline", get(plain(http.HandlerFunc(pprof.Cmdline)))},
			route{"/debug/pprof/profile", get(plain(http.HandlerFunc(pprof.Profile)))},
			route{"/debug/pprof/symbol", get(plain(http.HandlerFunc(pprof.Symbol)))},
			route{"/debug/pprof/trace", get(plain(http.HandlerFunc(pprof.Trace)))},
		)
	}
	return list
}

// routes returns the handler of all requests.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, rt := range s.table() {
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) {
			method := r.Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			h := rt.methods[method]
			if h == nil {
				allowed := []string{}
				for m := range rt.methods {
					allowed = append(allowed, m)
				}
				slices.Sort(allowed)
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				s.fail(w, r, errorf(http.StatusMethodNotAllowed, "%s does not take %.20s, but %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
				return
			}
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	if err := s.mountGRPC(mux); err != nil {
		return nil, err
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/") || strings.HasPrefix(r.URL.Path, "/v2/"):
		case s.opt.Page != nil:
			s.opt.Page.ServeHTTP(w, r)
			return
		case r.URL.Path == "/":
			s.handleRoot(w)
			return
		}
		s.fail(w, r, s.noPath(r.URL.Path))
	})
	return s.surround(mux), nil
}

// noPath is the error for a path that the server does not have.
func (s *Server) noPath(p string) error {
	var paths []string
	for _, rt := range s.table() {
		paths = append(paths, rt.path)
	}
	hint := "; /openapi.json describes what there is"
	if near, ok := suggest.Nearest(p, paths); ok {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return errorf(http.StatusNotFound, "there is no %.200q%s", p, hint)
}

// surround does what is the same for all requests: their id, the trace, limits of time,
// CORS, keys, the log, metrics.
func (s *Server) surround(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx := r.Context()
		if r.URL.Path != grpcService+grpcStreamCall { // whose requests have a deadline each
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.opt.Timeout)
			defer cancel()
			// A client that does not read its answer must not hold it for ever. The error is
			// that of a connection without deadlines, such as a test's.
			_ = http.NewResponseController(w).SetWriteDeadline(began.Add(s.opt.Timeout + s.opt.BodyTimeout))
		}
		id := r.Header.Get("X-Request-Id")
		if !goodID(id) {
			id = newID(8)
		}
		tr, spans := s.trace(r.Header.Get("Traceparent"))
		r = r.WithContext(context.WithValue(ctx, contextKey{}, &about{id, spans}))
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("Traceparent", tr.header())
		h.Set("X-Content-Type-Options", "nosniff")
		seen := &watched{ResponseWriter: w}
		route := "other"
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error("a handler panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())), slog.String("request_id", id))
				if seen.status == 0 {
					s.fail(seen, r, errorf(http.StatusInternalServerError, "the request failed for a reason that the server's log has under its id"))
				}
			}
			s.finish(r, route, seen, time.Since(began), tr, id)
			if spans != nil {
				s.traces.Add(spans.done(r, route, seen, began)...)
			}
		}()
		if s.cors(seen, r) {
			return
		}
		if p := r.URL.Path; p == "" || p[0] != '/' || p != path.Clean(p) && p != path.Clean(p)+"/" {
			s.fail(seen, r, s.noPath(p))
			return
		}
		_, pattern := mux.Handler(r)
		route = pattern
		if err := s.authorize(r); err != nil {
			seen.Header().Set("WWW-Authenticate", `Bearer realm="resnet"`)
			s.fail(seen, r, err)
			return
		}
		mux.ServeHTTP(seen, r)
	})
}

// finish counts and logs a request.
func (s *Server) finish(r *http.Request, route string, w *watched, took time.Duration, tr trace, id string) {
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	s.metrics.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	s.metrics.seconds.WithLabelValues(route).Observe(took.Seconds())
	if !s.opt.LogRequests && status < 500 {
		return
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("request_id", id), slog.String("trace_id", tr.id), slog.String("span_id", tr.span),
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status), slog.Int64("bytes", w.bytes),
		slog.Duration("took", took), slog.String("remote", r.RemoteAddr), slog.String("key", keyName(r.Context())))
}

// contextKey is the key of a request's about.
type contextKey struct{}

// about is what a request's context holds.
type about struct {
	id    string
	spans *recorder // nil unless the request's trace is exported
}

// requestID returns the id of the request that a context is of; "" if it is of none.
func requestID(ctx context.Context) string {
	if a, ok := ctx.Value(contextKey{}).(*about); ok {
		return a.id
	}
	return ""
}

// goodID reports whether a client's id can go to logs and headers.
func goodID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	return strings.IndexFunc(id, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._:/+=-", c))
	}) < 0
}

// newID returns a random id of n bytes in hexadecimal digits.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// watched remembers what was answered.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *watched) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher, which gRPC's streams need.
func (w *watched) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
