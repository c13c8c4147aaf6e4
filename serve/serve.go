// Package serve answers requests over HTTP and gRPC with models of package resnet:
//
//	s, err := serve.New(ctx, serve.Options{Models: []serve.Source{serve.Of("photos", model)}})
//	…
//	http.ListenAndServe(":8080", s.Handler())
//
// A picture is classified by POST /v1/classify with the file as the body. Beside that,
// the server speaks the Open Inference Protocol (version 2) of KServe and Triton at
// /v2, over HTTP and, where the http.Server has HTTP/2, over gRPC on the same port.
//
// Requests wait in a bounded queue for each model. A model computes what waits
// together, up to Options.MaxBatch inputs.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resnet-go/resnet/serve/internal/otlp"
)

// ErrOptions is wrapped by the error of [New] for options that make no sense, whatever
// the models are.
var ErrOptions = errors.New("serve: wrong options")

// Options are the choices of [New]. Only Models must be set.
type Options struct {
	// Models are what the server answers with. The first is the one of requests at /v1
	// that name none.
	Models []Source
	// OpenLater leaves opening the models to [Server.ListenAndServe], so that clients and
	// probes get an answer meanwhile: the server is live, and not ready.
	OpenLater bool

	// MaxBatch is the largest number of inputs that are computed together; 0 means 8.
	MaxBatch int
	// MaxDelay is how long a batch that is not full waits for more; 0, the usual
	// choice on a CPU, computes what waits without a delay.
	MaxDelay time.Duration
	// MaxQueue is the largest number of pictures of a model in progress, from the
	// beginning of their request to their answer; 0 means 256. More are rejected with
	// status 429.
	MaxQueue int
	// SameBits makes the answer to an input the same bits whatever is computed together
	// with it. A model that was opened with Compute.BatchInvariant has this property, and
	// is computed in batches as without SameBits; others are computed input by input.
	// Otherwise answers may differ in the last places, because batches of different sizes
	// may use different algorithms.
	SameBits bool

	// Decoders is the number of pictures that are decoded at once; 0 means half of
	// GOMAXPROCS, at least one, so that large pictures leave processors to the models.
	Decoders int
	// MaxPixels is the largest picture, width times height; 0 means 50 million. It also
	// limits the memory for decoding: [imaging.MaxMemory] for all pictures together.
	MaxPixels int
	// MaxBody is the largest body of a request, in bytes, before and after it is
	// decompressed; 0 means 64 MiB.
	MaxBody int64
	// MaxBodies is the memory of all bodies in progress, in bytes; 0 means 16 times
	// MaxBody. Requests beyond it are rejected with status 429.
	MaxBodies int64
	// MaxPictures is the largest number of pictures in a request; 0 means 32.
	MaxPictures int
	// BodyTimeout is how long a body may take to arrive; 0 means 30 seconds.
	BodyTimeout time.Duration
	// Timeout is the deadline of a request that has none of its own; 0 means a minute.
	Timeout time.Duration

	// Control lets clients load and unload models by the repository calls of the
	// protocol.
	Control bool
	// Profiling adds the pages of net/http/pprof at /debug/pprof/.
	Profiling bool
	// Keys, if there are any, are the keys of which clients must show one; see [ParseKeys].
	Keys *Keys
	// Origins are web sites whose pages may call the server (CORS), such as
	// https://example.org; "*" stands for all.
	Origins []string
	// Page answers what is not part of the API, such as / with the web page of package
	// serve/page; nil answers / with a list of what there is.
	Page http.Handler

	// Traces is where the spans of requests go; nil exports none. The header traceparent
	// is continued, returned and logged in any case.
	Traces *TraceExport

	// Log gets what happens; nil means slog.Default.
	Log *slog.Logger
	// LogRequests logs every request, not only those that fail.
	LogRequests bool
	// Drift compares what classifiers give with the reference in their files, see
	// [weights.Meta], as the metrics resnet_drift_*.
	Drift bool
	// Build is the version of the program, for the metadata of the protocol.
	Build string
}

// The bounds of options, so that memory and products of them can be computed.
const (
	mostBatch = 1 << 16
	mostCount = math.MaxInt32
	mostBody  = 1 << 40
)

// fill puts the defaults in.
func (o *Options) fill() error {
	for _, v := range []struct {
		name  string
		value int64
		most  int64
	}{
		{"MaxBatch", int64(o.MaxBatch), mostBatch}, {"MaxDelay", int64(o.MaxDelay), math.MaxInt64}, {"MaxQueue", int64(o.MaxQueue), mostCount},
		{"Decoders", int64(o.Decoders), mostCount}, {"MaxPixels", int64(o.MaxPixels), mostCount}, {"MaxBody", o.MaxBody, mostBody},
		{"MaxBodies", o.MaxBodies, 1 << 20 * mostBody}, {"MaxPictures", int64(o.MaxPictures), mostCount},
		{"BodyTimeout", int64(o.BodyTimeout), math.MaxInt64}, {"Timeout", int64(o.Timeout), math.MaxInt64},
	} {
		if v.value < 0 {
			return fmt.Errorf("%w: %s is %d, must not be negative", ErrOptions, v.name, v.value)
		}
		if v.value > v.most {
			return fmt.Errorf("%w: %s is %d, must be %d or less", ErrOptions, v.name, v.value, v.most)
		}
	}
	if len(o.Models) == 0 {
		return fmt.Errorf("%w: Options.Models is empty, must have a model", ErrOptions)
	}
	for _, origin := range o.Origins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("%w: Origins: %w", ErrOptions, err)
		}
	}
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&o.MaxBatch, 8)
	set(&o.MaxQueue, 256)
	set(&o.Decoders, max(runtime.GOMAXPROCS(0)/2, 1))
	set(&o.MaxPixels, 50_000_000)
	set(&o.MaxPictures, 32)
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	if o.MaxBodies == 0 {
		o.MaxBodies = 16 * o.MaxBody
	}
	if o.MaxBodies < o.MaxBody {
		return fmt.Errorf("%w: MaxBodies is %d, must not be less than MaxBody, which is %d", ErrOptions, o.MaxBodies, o.MaxBody)
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 30 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return nil
}

// maxBatchSize is the largest batch of a request of the Open Inference Protocol, as the
// configuration of batched models has it.
func (o *Options) maxBatchSize() int { return min(o.MaxBatch, o.MaxPictures) }

// Server answers requests with models. It is safe for concurrent use.
type Server struct {
	opt      Options
	log      *slog.Logger
	metrics  *serverMetrics
	handler  http.Handler
	started  time.Time
	draining atomic.Bool

	mu     sync.RWMutex
	models map[string][]*version // high versions first
	names  []string              // in the order in which they were given

	traces   *otlp.Exporter // nil unless spans are exported
	decoders *decoders
	bodies   budget
}

// New opens the models, unless Options.OpenLater is set, and returns a server with them. A
// model that cannot be opened is an error. ctx ends the opening; the server lives until
// [Server.Close].
func New(ctx context.Context, opt Options) (*Server, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt, log: opt.Log, started: time.Now(), models: map[string][]*version{},
		decoders: newDecoders(opt.Decoders, opt.MaxPixels), bodies: budget{limit: opt.MaxBodies}}
	s.metrics = newServerMetrics(s)
	if opt.Traces != nil {
		s.traces = otlp.New(opt.Traces.config, s.log)
	}
	for _, src := range opt.Models {
		if err := s.addSource(src); err != nil {
			s.Close()
			return nil, err
		}
	}
	h, err := s.routes()
	if err != nil {
		s.Close()
		return nil, err
	}
	s.handler = h
	if !opt.OpenLater {
		if err := s.openModels(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// openModels opens the models that are to be ready from the start.
func (s *Server) openModels(ctx context.Context) error {
	for _, name := range s.names {
		for _, v := range s.models[name] {
			if v.Idle {
				continue
			}
			if err := s.load(ctx, v); err != nil {
				return fmt.Errorf("serve: model %s, version %s: %w", v.Name, v.Version, err)
			}
		}
	}
	return nil
}

// Handler returns what answers requests, to be the handler of an http.Server or a part
// of one. gRPC needs HTTP/2: an http.Server with TLS has it, one without needs
// Protocols with SetUnencryptedHTTP2.
func (s *Server) Handler() http.Handler { return s.handler }

// Registry returns the metrics of the server, for programs that add their own.
func (s *Server) Registry() *prometheus.Registry { return s.metrics.registry }

// Drain makes the server not ready, so that load balancers send no more requests. It
// still answers those that come.
func (s *Server) Drain() { s.draining.Store(true) }

// Ready reports whether the server answers requests: every model that was to be opened
// has a version that is ready, and Drain was not called.
func (s *Server) Ready() bool {
	if s.draining.Load() {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, vs := range s.models {
		ready, wanted := false, false
		for _, v := range vs {
			ready = ready || v.instance != nil
			wanted = wanted || v.instance == nil && v.reason != "unloaded" && !v.Idle
		}
		if wanted && !ready {
			return false
		}
	}
	return true
}

// Close waits for the requests in progress and unloads the models. Requests that come
// later get status 503.
func (s *Server) Close() {
	s.Drain()
	s.mu.RLock()
	var all []*version
	for _, vs := range s.models {
		all = append(all, vs...)
	}
	s.mu.RUnlock()
	for _, v := range all {
		s.unload(v)
	}
	if s.traces != nil {
		s.traces.Close()
	}
}
