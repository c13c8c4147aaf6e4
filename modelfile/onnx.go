package modelfile

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// The texts of ours in the metadata of an ONNX file.
const (
	metaArchitecture = "architecture"
	metaClasses      = "classes"
	metaMultiLabel   = "multilabel"
	metaPreprocess   = "preprocess"
)

// readONNX returns the tensors of a graph and its metadata.
func readONNX(path string, m *onnx.Model) (*weights.File, *weights.Source, error) {
	file := &weights.File{Tensors: m.Tensors()}
	texts := m.Metadata()
	for key, v := range map[string]*json.RawMessage{metaArchitecture: &file.Architecture, metaPreprocess: &file.Preprocess} {
		if text := texts[key]; text != "" && json.Valid([]byte(text)) {
			*v = json.RawMessage(text)
		}
	}
	if text := texts[metaClasses]; text != "" {
		if err := json.Unmarshal([]byte(text), &file.Classes); err != nil {
			return nil, nil, fmt.Errorf("%s: its metadata %q: %w", path, metaClasses, err)
		}
	}
	file.MultiLabel = texts[metaMultiLabel] == "true"
	return file, sourceOf(weights.ONNX, file), nil
}

// Metadata returns the texts by which [Open] recognizes an ONNX file that was
// written from a model file.
func Metadata(f *weights.File) (map[string]string, error) {
	texts := map[string]string{}
	if len(f.Classes) > 0 {
		names, err := json.Marshal(f.Classes)
		if err != nil {
			return nil, err
		}
		texts[metaClasses] = string(names)
	}
	if f.MultiLabel {
		texts[metaMultiLabel] = "true"
	}
	if len(f.Preprocess) > 0 {
		texts[metaPreprocess] = string(f.Preprocess)
	}
	if len(f.Architecture) > 0 {
		arch, err := withoutAux(f.Architecture)
		if err != nil {
			return nil, err
		}
		texts[metaArchitecture] = string(arch)
	}
	return texts, nil
}

// withoutAux returns the description of a network without its auxiliary classifier,
// which a graph for inference does not have.
func withoutAux(arch json.RawMessage) (json.RawMessage, error) {
	if keras.IsArchitecture(arch) {
		return arch, nil
	}
	cfg, err := models.ParseConfig(arch)
	if err != nil || cfg.Segmentation == nil || !cfg.Segmentation.Aux {
		return arch, nil // a description of another version is kept as it is
	}
	models.AuxHead(false)(&cfg)
	return json.Marshal(cfg)
}

func loadONNX(h *weights.Handle, deferred bool) (*onnx.Model, error) {
	m, err := onnx.Read(h, h.Size(), onnx.ReadOptions{Path: h.Path(), Deferred: deferred && steadyfile.Replaceable})
	if err == nil && m.Deferred() {
		h.KeepOpen()
	}
	return m, err
}

// openONNX makes our own network of a file that we wrote with batch norms kept,
// else the network of the file's graph.
func openONNX(h *weights.Handle, opt Options) (*Result, error) {
	path := h.Path()
	m, err := loadONNX(h, opt.Deferred)
	if err != nil {
		return nil, err
	}
	file, source, err := readONNX(path, m)
	if err != nil {
		return nil, err
	}
	if len(file.Architecture) > 0 {
		if r, err := FromFile(path, file); err == nil {
			r.Source = source
			return r, nil
		} // else batch norms were folded, so only the graph can be run
		file.Architecture = nil
	}
	r := &Result{Module: m, File: file, Source: source}
	size := 224
	if p := file.Preprocess; len(p) > 0 {
		var prep data.Preprocess
		if err := json.Unmarshal(p, &prep); err != nil {
			return nil, fmt.Errorf("%s: its metadata %q: %w", path, metaPreprocess, err)
		}
		size = prep.Height
	}
	in, err := m.Input(1, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s := in.Shape; len(s) != 4 || s[1] != 1 && s[1] != 3 {
		return nil, fmt.Errorf("%s: its input is %v, must be pictures as [N C H W] with 1 or 3 channels", path, s)
	}
	t, err := nn.Trace(m, nn.TraceOptions{Input: in})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := t.Output.Shape
	r.Task = models.Classification
	switch {
	case len(out) == 4 && out[2]*out[3] > 1:
		r.Task = models.Segmentation
		other, err := m.Input(1, size+32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if r.FixedSize = other.Shape.Equal(in.Shape); r.FixedSize {
			r.Notes = append(r.Notes, fmt.Sprintf("the graph takes pictures of %d x %d only, to which all are resized; masks have the pictures' own sizes", in.Shape[3], in.Shape[2]))
		}
	case len(out) < 2 || out.Numel() != out[1]:
		return nil, fmt.Errorf("%s: its output is %v, must be [N classes] of pictures or [N classes H W] of pixels", path, out)
	}
	r.Input, r.Classes = in.Shape[1:], out[1]
	if _, end := graph.Logits(t.Output); end == "sigmoid" {
		file.MultiLabel = true
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the graph of the file is run unchanged: opset %d%s", m.Opset(), by(m.Producer())))
	if len(file.Classes) != 0 && len(file.Classes) != r.Classes {
		return nil, fmt.Errorf("%s: it names %d classes, but its output has %d", path, len(file.Classes), r.Classes)
	}
	if len(file.Preprocess) == 0 && r.Classes == 1000 && r.Input[0] == 3 {
		p, err := data.Preset("imagenet")
		if err != nil {
			return nil, err
		}
		p.Resize, p.Height, p.Width = r.Input[1]*p.Resize/p.Height, r.Input[1], r.Input[2]
		r.Preprocess, r.Why = &p, "usual for ImageNet"
	}
	return r, nil
}

func by(producer string) string {
	if producer == "" {
		return ""
	}
	return " by " + producer
}
