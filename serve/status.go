package serve

import (
	"net/http"
	"runtime"
	"time"

	"github.com/resnet-go/resnet/models"
)

// modelInfo is a version of a model in /v1/models.
type modelInfo struct {
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	Ready      bool        `json:"ready"`
	Reason     string      `json:"reason,omitempty"` // why it is not ready
	Task       models.Task `json:"task,omitempty"`
	Source     string      `json:"source,omitempty"` // what it was opened as
	Input      []int       `json:"input,omitempty"`  // channels, height, width
	Classes    int         `json:"classes,omitempty"`
	MultiLabel bool        `json:"multi_label,omitempty"`
	Embedding  int         `json:"embedding,omitempty"`    // numbers of an embedding
	Bytes      int64       `json:"weight_bytes,omitempty"` // of the weights as float32

	// Of /v1/models/MODEL alone.
	ClassNames []string `json:"class_names,omitempty"`
	Layers     []string `json:"layers,omitempty"` // that can be explained
}

func infoOf(v versionNow, all bool) modelInfo {
	out := modelInfo{Name: v.name, Version: v.version, Reason: v.reason}
	in := v.instance
	if in == nil {
		return out
	}
	m := in.model
	out.Ready, out.Reason, out.Task, out.Source = true, "", m.Task(), m.Name()
	out.Input, out.Classes, out.MultiLabel = m.Input(), len(m.Classes()), m.MultiLabel()
	out.Embedding, out.Bytes = in.features, in.weightBytes
	if all {
		out.ClassNames, out.Layers = m.Classes(), in.layers()
	}
	return out
}

type modelList struct {
	Models []modelInfo `json:"models"`
}

func (s *Server) handleModels(w http.ResponseWriter, r *http.Request) error {
	list := modelList{[]modelInfo{}}
	for _, v := range s.versions() {
		list.Models = append(list.Models, infoOf(v, false))
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) handleModel(w http.ResponseWriter, r *http.Request) error {
	params := values{}
	if err := params.add(r.URL.RawQuery, []string{"version"}); err != nil {
		return err
	}
	in, err := s.hold(r.PathValue("model"), params["version"])
	if err != nil {
		return err
	}
	defer in.drop()
	writeJSON(w, http.StatusOK, infoOf(versionNow{in.name, in.version, in, ""}, true))
	return nil
}

// modelStatus is how a version of a model does at the moment.
type modelStatus struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Ready      bool   `json:"ready"`
	Queue      int    `json:"queue"`       // requests that wait for the model
	InProgress int64  `json:"in_progress"` // pictures
	Answered   uint64 `json:"answered"`    // requests, since the model was loaded
	Failed     uint64 `json:"failed"`
	Rejected   uint64 `json:"rejected"`
	live
}

// status is how the server does at the moment.
type status struct {
	Ready      bool          `json:"ready"`
	Uptime     float64       `json:"uptime_s"`
	Decoding   int           `json:"decoding"` // pictures
	Goroutines int           `json:"goroutines"`
	HeapBytes  uint64        `json:"heap_bytes"`
	Models     []modelStatus `json:"models"`
}

func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) error {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	out := status{s.Ready(), time.Since(s.started).Seconds(), len(s.decoders.slots), runtime.NumGoroutine(), mem.HeapAlloc, []modelStatus{}}
	for _, v := range s.versions() {
		m := modelStatus{Name: v.name, Version: v.version}
		if in := v.instance; in != nil {
			st := in.stats.snapshot()
			m.Ready, m.Queue, m.InProgress, m.live = true, in.queue.length(), in.admitted.Load(), in.stats.live()
			m.Answered, m.Failed, m.Rejected = st.success.Count, st.failure.Count, st.rejected
		}
		out.Models = append(out.Models, m)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// handleRoot answers / with what there is.
func (s *Server) handleRoot(w http.ResponseWriter) {
	writeJSON(w, http.StatusOK, map[string]any{
		"name": "resnet", "version": s.opt.Build, "openapi": "/openapi.json", "models": "/v1/models", "status": "/v1/status", "metrics": "/metrics",
		"classify": "POST a picture to /v1/classify", "open_inference_protocol": "/v2",
	})
}
