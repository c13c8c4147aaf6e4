package serve

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serverMetrics are what Prometheus reads at /metrics.
type serverMetrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec // by route and status
	seconds  *prometheus.HistogramVec
	bodies   prometheus.Gauge

	total, stage, batchSize *prometheus.HistogramVec
	rejected, dropped       *prometheus.CounterVec
	loads                   *prometheus.CounterVec
}

// seconds are the limits of the histograms of times: a tiny network on a small
// picture takes a fraction of a millisecond, a detector seconds.
var seconds = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}

func newServerMetrics(s *Server) *serverMetrics {
	model := []string{"model", "version"}
	m := &serverMetrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "resnet_http_requests_total", Help: "Requests by route and status; those of gRPC have the status of their HTTP response."}, []string{"route", "status"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "resnet_http_request_seconds", Help: "Time from a request's headers to the end of its answer.", Buckets: seconds}, []string{"route"}),
		bodies:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "resnet_body_bytes", Help: "Memory of the bodies of requests in progress."}),

		total:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "resnet_inference_seconds", Help: "Time of answered requests for inference.", Buckets: seconds}, model),
		stage:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "resnet_stage_seconds", Help: "Time of the stages of answered requests: input (decoding), queue, compute, output.", Buckets: seconds}, []string{"model", "version", "stage"}),
		batchSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "resnet_batch_size", Help: "Inputs that were computed together.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)}, model),
		rejected:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "resnet_rejected_total", Help: "Requests rejected because the queue was full."}, model),
		dropped:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "resnet_dropped_total", Help: "Requests that ended before they were computed: cancelled, or past their deadline."}, model),
		loads:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "resnet_model_loads_total", Help: "Models loaded, by result."}, []string{"model", "version", "result"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.bodies, m.total, m.stage, m.batchSize, m.rejected, m.dropped, m.loads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &modelCollector{s})
	return m
}

func (m *serverMetrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// modelMetrics are the metrics of one version of a model.
type modelMetrics struct {
	total, batchSize  prometheus.Observer
	stage             [stages]prometheus.Observer
	rejected, dropped prometheus.Counter
}

func (m *serverMetrics) model(name, version string) modelMetrics {
	out := modelMetrics{
		total: m.total.WithLabelValues(name, version), batchSize: m.batchSize.WithLabelValues(name, version),
		rejected: m.rejected.WithLabelValues(name, version), dropped: m.dropped.WithLabelValues(name, version),
	}
	for i, stage := range stageNames {
		out.stage[i] = m.stage.WithLabelValues(name, version, stage)
	}
	return out
}

// modelCollector reports what models hold at the moment that Prometheus asks.
type modelCollector struct{ s *Server }

var (
	queueDesc    = prometheus.NewDesc("resnet_queue_length", "Requests that wait for the model.", []string{"model", "version"}, nil)
	admittedDesc = prometheus.NewDesc("resnet_pictures_in_progress", "Pictures that were admitted and are not answered yet.", []string{"model", "version"}, nil)
	weightsDesc  = prometheus.NewDesc("resnet_model_weight_bytes", "Size of the model's weights as float32.", []string{"model", "version"}, nil)
	decodingDesc = prometheus.NewDesc("resnet_decoding_pictures", "Pictures that are being decoded.", nil, nil)
	spansDesc    = prometheus.NewDesc("resnet_spans_total", "Spans of traces, by what became of them: sent to the collector, or dropped.", []string{"result"}, nil)
	watchedDesc  = prometheus.NewDesc("resnet_drift_pictures_total", "Answers that were compared with the reference in the model's file.", []string{"model", "version"}, nil)
	psiDesc      = prometheus.NewDesc("resnet_drift_prediction_psi", "Population stability index of the predicted classes against the reference: 0 is none, above 0.25 they have changed.", []string{"model", "version"}, nil)
	distanceDesc = prometheus.NewDesc("resnet_drift_embedding_distance", "Distance of the mean embedding from the reference's, root mean square, in its standard deviations.", []string{"model", "version"}, nil)
	readyDesc    = prometheus.NewDesc("resnet_model_ready", "1 for a version that is ready, 0 for one that is not.", []string{"model", "version"}, nil)
)

// Describe implements prometheus.Collector.
func (c *modelCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueDesc, admittedDesc, weightsDesc, readyDesc, decodingDesc, spansDesc, watchedDesc, psiDesc, distanceDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *modelCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(decodingDesc, float64(len(c.s.decoders.slots)))
	if t := c.s.traces; t != nil {
		ch <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(t.Sent()), "sent")
		ch <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(t.Dropped()), "dropped")
	}
	for _, v := range c.s.versions() {
		in := v.instance
		if in == nil {
			gauge(readyDesc, 0, v.name, v.version)
			continue
		}
		gauge(readyDesc, 1, v.name, v.version)
		gauge(queueDesc, float64(in.queue.length()), v.name, v.version)
		gauge(admittedDesc, float64(in.admitted.Load()), v.name, v.version)
		gauge(weightsDesc, float64(in.weightBytes), v.name, v.version)
		if in.drift != nil {
			pictures, psi, distance := in.drift.State()
			ch <- prometheus.MustNewConstMetric(watchedDesc, prometheus.CounterValue, float64(pictures), v.name, v.version)
			if pictures > 0 {
				gauge(psiDesc, psi, v.name, v.version)
				gauge(distanceDesc, distance, v.name, v.version)
			}
		}
	}
}
