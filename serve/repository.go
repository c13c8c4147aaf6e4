package serve

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/resnet-go/resnet/internal/suggest"
)

// The states of a model in the repository's index.
const (
	stateReady       = "READY"
	stateUnavailable = "UNAVAILABLE"
)

type indexed struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists all versions of all models.
func (s *Server) index(readyOnly bool) []indexed {
	list := []indexed{}
	for _, v := range s.versions() {
		state := stateReady
		if v.instance == nil {
			state = stateUnavailable
		}
		if v.instance != nil || !readyOnly {
			list = append(list, indexed{v.name, v.version, state, v.reason})
		}
	}
	return list
}

func (s *Server) handleIndex(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Ready bool `json:"ready"`
	}
	if err := s.decodeSmall(w, r, &req); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.index(req.Ready))
	return nil
}

// loadModel opens all versions of a model anew. parameters is whether the client wants
// another model than the server was started with.
func (s *Server) loadModel(ctx context.Context, name string, parameters bool) error {
	if err := s.controlled(name); err != nil {
		return err
	}
	if parameters {
		return errorf(http.StatusNotImplemented, "the model %s can be loaded as the server was started with it only: leave out the parameters", name)
	}
	// The client may go away; a reload that has begun goes on, as others need it.
	if err := s.reload(context.WithoutCancel(ctx), name); err != nil {
		return badRequest(err)
	}
	return nil
}

// unloadModel unloads all versions of a model.
func (s *Server) unloadModel(name string) error {
	if err := s.controlled(name); err != nil {
		return err
	}
	s.mu.RLock()
	all := s.models[name]
	s.mu.RUnlock()
	for _, v := range all {
		s.unload(v)
	}
	return nil
}

func (s *Server) controlled(name string) error {
	if !s.opt.Control {
		return errorf(http.StatusForbidden, "loading and unloading models is not allowed: start the server with --control")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.models[name]) == 0 {
		return errorf(http.StatusNotFound, "there is no model %.200q%s", name, suggest.Phrase(name, s.names))
	}
	return nil
}

func (s *Server) handleLoad(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Parameters map[string]json.RawMessage `json:"parameters"`
	}
	if err := s.decodeSmall(w, r, &req); err != nil {
		return err
	}
	if err := s.loadModel(r.Context(), r.PathValue("model"), len(req.Parameters) > 0); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

func (s *Server) handleUnload(w http.ResponseWriter, r *http.Request) error {
	var req struct { // of which unload_dependents is meaningless here
		Parameters map[string]json.RawMessage `json:"parameters"`
	}
	if err := s.decodeSmall(w, r, &req); err != nil {
		return err
	}
	if err := s.unloadModel(r.PathValue("model")); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// The statistics of Triton's extension.

type inferStats struct {
	Success tally `json:"success"`
	Fail    tally `json:"fail"`
	Queue   tally `json:"queue"`
	Input   tally `json:"compute_input"`
	Compute tally `json:"compute_infer"`
	Output  tally `json:"compute_output"`
}

type batchStats struct {
	Size    int   `json:"batch_size"`
	Input   tally `json:"compute_input"`
	Compute tally `json:"compute_infer"`
	Output  tally `json:"compute_output"`
}

type modelStats struct {
	Name       string       `json:"name"`
	Version    string       `json:"version"`
	Last       int64        `json:"last_inference"` // milliseconds since 1970; 0 for none
	Inferences uint64       `json:"inference_count"`
	Executions uint64       `json:"execution_count"`
	Stats      inferStats   `json:"inference_stats"`
	Batches    []batchStats `json:"batch_stats"`
}

type statistics struct {
	Models []modelStats `json:"model_stats"`
}

// statisticsOf returns the statistics of a model, or of all; "" stands for all names and
// versions.
func (s *Server) statisticsOf(name, version string) (*statistics, error) {
	if name != "" {
		if _, _, err := s.find(name, version); err != nil {
			return nil, err
		}
	}
	out := &statistics{[]modelStats{}}
	for _, v := range s.versions() {
		if v.instance == nil || name != "" && v.name != name || version != "" && v.version != version {
			continue
		}
		st := v.instance.stats.snapshot()
		m := modelStats{Name: v.name, Version: v.version, Inferences: st.inferences, Executions: st.executions, Batches: []batchStats{},
			Stats: inferStats{st.success, st.failure, st.stage[stageQueue], st.stage[stageInput], st.stage[stageCompute], st.stage[stageOutput]}}
		if !st.last.IsZero() {
			m.Last = st.last.UnixMilli()
		}
		for _, b := range st.batches {
			m.Batches = append(m.Batches, batchStats{Size: b.Rows, Compute: b.tally})
		}
		out.Models = append(out.Models, m)
	}
	return out, nil
}

func (s *Server) handleStatistics(w http.ResponseWriter, r *http.Request) error {
	out, err := s.statisticsOf(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
