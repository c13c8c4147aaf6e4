package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/serve/internal/oip"
)

// jsonSizeHeader has the size of the JSON before binary data.
const jsonSizeHeader = "Inference-Header-Content-Length"

// extensions are what the server has beyond the protocol's core.
var extensions = []string{"binary_tensor_data", "classification", "model_configuration", "model_repository", "schedule_policy", "statistics"}

type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

func (s *Server) metadata() serverMetadata {
	return serverMetadata{"resnet", s.opt.Build, extensions}
}

func (s *Server) handleServerMetadata(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, s.metadata())
	return nil
}

func (s *Server) handleLive(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	return nil
}

func (s *Server) handleReady(w http.ResponseWriter, r *http.Request) error {
	status := http.StatusOK
	if !s.Ready() {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, map[string]bool{"ready": status == http.StatusOK})
	return nil
}

func (s *Server) handleModelReady(w http.ResponseWriter, r *http.Request) error {
	v, in, err := s.find(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if in == nil {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, map[string]any{"name": v.Name, "ready": in != nil})
	return nil
}

type tensorMetadata struct {
	Name     string       `json:"name"`
	DataType oip.DataType `json:"datatype"`
	Shape    []int64      `json:"shape"`
}

type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

// platform is what the protocol calls the program that runs a model.
const platform = "resnet_go"

func (s *Server) modelMetadata(name, version string) (*modelMetadata, error) {
	in, err := s.hold(name, version)
	if err != nil {
		return nil, err
	}
	defer in.drop()
	m := &modelMetadata{Name: in.name, Platform: platform}
	for _, v := range s.versions() {
		if v.name == in.name {
			m.Versions = append(m.Versions, v.version)
		}
	}
	inputs, outputs := in.ports()
	list := func(ports []port) (out []tensorMetadata) {
		for _, p := range ports {
			out = append(out, tensorMetadata{p.name, p.datatype, p.shape})
		}
		return out
	}
	m.Inputs, m.Outputs = list(inputs), list(outputs)
	return m, nil
}

func (s *Server) handleMetadata(w http.ResponseWriter, r *http.Request) error {
	m, err := s.modelMetadata(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, m)
	return nil
}

type configPort struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
	Optional bool    `json:"optional,omitempty"`
}

type dynamicBatching struct {
	Preferred []int `json:"preferred_batch_size"`
	Delay     int64 `json:"max_queue_delay_microseconds"`
	Levels    int   `json:"priority_levels"`
	Default   int   `json:"default_priority_level"`
}

// modelConfig is Triton's configuration of a model.
type modelConfig struct {
	Name     string           `json:"name"`
	Platform string           `json:"platform"`
	Backend  string           `json:"backend"`
	MaxBatch int              `json:"max_batch_size"` // 0: inputs have no extent for the batch
	Input    []configPort     `json:"input"`
	Output   []configPort     `json:"output"`
	Batching *dynamicBatching `json:"dynamic_batching,omitempty"`
}

func (s *Server) config(name, version string) (*modelConfig, error) {
	in, err := s.hold(name, version)
	if err != nil {
		return nil, err
	}
	defer in.drop()
	batched := in.batched()
	c := &modelConfig{Name: in.name, Platform: platform, Backend: "resnet"}
	if batched {
		c.MaxBatch, c.Batching = s.opt.maxBatchSize(), &dynamicBatching{[]int{s.opt.MaxBatch}, s.opt.MaxDelay.Microseconds(), priorityLevels, defaultPriority}
	}
	list := func(ports []port) (out []configPort) {
		for _, p := range ports {
			dims := p.shape
			if batched {
				dims = dims[1:]
			}
			kind := "TYPE_" + string(p.datatype)
			if p.datatype == oip.Bytes {
				kind = "TYPE_STRING"
			}
			out = append(out, configPort{p.name, kind, dims, p.optional})
		}
		return out
	}
	inputs, outputs := in.ports()
	c.Input, c.Output = list(inputs), list(outputs)
	return c, nil
}

func (s *Server) handleConfig(w http.ResponseWriter, r *http.Request) error {
	c, err := s.config(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, c)
	return nil
}

func (s *Server) handleInfer(w http.ResponseWriter, r *http.Request) error {
	kind, _, err := mediaType(r)
	if err != nil {
		return err
	}
	jsonSize, raw := -1, false
	if text := r.Header.Get(jsonSizeHeader); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || len(r.Header.Values(jsonSizeHeader)) > 1 {
			return errorf(http.StatusBadRequest, "%s is %.100q, must be the size of the JSON in bytes, once", jsonSizeHeader, text)
		}
		jsonSize, raw = int(n), n == 0
	}
	switch kind {
	case "", "application/json", "application/octet-stream", "application/x-www-form-urlencoded":
	default:
		if !raw || !strings.HasPrefix(kind, "image/") {
			return errorf(http.StatusUnsupportedMediaType, "Content-Type is %.100q, must be application/json, or application/octet-stream with %s", kind, jsonSizeHeader)
		}
	}
	// A model that does not exist costs no body.
	if _, _, err := s.find(r.PathValue("model"), r.PathValue("version")); err != nil {
		return err
	}
	body, free, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer free()
	req := &oip.Request{Inputs: []oip.Tensor{{Name: imageInput, Type: oip.Bytes, Shape: []int64{1}, Elements: [][]byte{body}}}} // raw: the body is the picture
	if !raw {
		if req, err = oip.ParseRequest(body, jsonSize); err != nil {
			return badRequest(err)
		}
	}
	out, err := s.infer(r.Context(), r.PathValue("model"), r.PathValue("version"), req)
	if err != nil {
		return err
	}
	answer, size := out.Append(nil)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if out.AnyBinary() {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(jsonSizeHeader, strconv.Itoa(size))
	}
	return writeCompressed(w, r, answer)
}

// minCompressed is the size from which answers are compressed when the client takes
// that.
const minCompressed = 1 << 10

// writeCompressed answers with a body, compressed as the client prefers.
func writeCompressed(w http.ResponseWriter, r *http.Request, body []byte) error {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	encoding := ""
	if len(body) >= minCompressed {
		encoding = accepted(r.Header.Get("Accept-Encoding"))
	}
	if encoding != "" {
		var b bytes.Buffer
		var pack io.WriteCloser
		var err error
		if encoding == "gzip" {
			pack, err = gzip.NewWriterLevel(&b, gzip.BestSpeed)
		} else {
			pack, err = zlib.NewWriterLevel(&b, zlib.BestSpeed)
		}
		if err != nil {
			return err
		}
		if _, err := pack.Write(body); err != nil {
			return err
		}
		if err := pack.Close(); err != nil {
			return err
		}
		h.Set("Content-Encoding", encoding)
		body = b.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	w.Write(body)
	return nil
}

// accepted returns the encoding that a client takes, by its Accept-Encoding: gzip,
// deflate, or "" for neither.
func accepted(header string) string {
	best := ""
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.ToLower(strings.TrimSpace(item)), ";")
		if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			if v, err := strconv.ParseFloat(q, 64); err != nil || v == 0 {
				continue
			}
		}
		switch strings.TrimSpace(name) {
		case "gzip":
			return "gzip"
		case "deflate":
			best = "deflate"
		}
	}
	return best
}

// decodeSmall reads the JSON of a request that has only a few fields; an empty body is
// {}.
func (s *Server) decodeSmall(w http.ResponseWriter, r *http.Request, v any) error {
	body, free, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer free()
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errorf(http.StatusBadRequest, "the body is not the JSON of this request: %v", err)
	}
	return nil
}
