package modelfile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
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

func loadONNX(h *weights.Handle, opt Options) (*onnx.Model, error) {
	m, err := onnx.Read(h, h.Size(), onnx.ReadOptions{Path: h.Path(), Deferred: opt.Deferred && steadyfile.Replaceable, SkipChecksums: opt.SkipChecksums})
	if err == nil && m.Deferred() {
		h.KeepOpen()
	}
	return m, err
}

// openONNX makes our own network of a file that we wrote with batch norms kept,
// else the network of the file's graph.
func openONNX(h *weights.Handle, opt Options) (*Result, error) {
	path := h.Path()
	m, err := loadONNX(h, opt)
	if err != nil {
		return nil, err
	}
	file, source, err := readONNX(path, m)
	if err != nil {
		return nil, err
	}
	if len(file.Architecture) > 0 {
		if m.FindsObjects() {
			file.Tensors = ownTensors(file.Architecture, m)
		}
		if r, err := FromFile(path, file); err == nil {
			r.Source = source
			return r, nil
		} // else batch norms were folded, so only the graph can be run
		file.Architecture = nil
	}
	if opt.Output != "" {
		if err := m.SetAnswer(opt.Output); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if m.FindsObjects() {
		r := &Result{File: file, Source: source}
		if err := r.rebuildONNX(m, opt); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return r, nil
	}
	r := &Result{Module: m, File: file, Source: source}
	if err := r.fitONNX(m, opt); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ownTensors returns the tensors of a graph that are those of the network that arch
// describes, without the numbers of what is around it.
func ownTensors(arch json.RawMessage, m *onnx.Model) map[string]*tensor.Tensor {
	tensors := map[string]*tensor.Tensor{}
	cfg, err := models.ParseConfig(arch)
	if err != nil {
		return tensors
	}
	net, err := cfg.Build()
	if err != nil {
		return tensors
	}
	for _, w := range nn.Wants(net) {
		if t := m.Initializer(w.Name); t != nil {
			tensors[w.Name] = t
		}
	}
	return tensors
}

// rebuildONNX makes the network of a detector's graph anew.
func (r *Result) rebuildONNX(m *onnx.Model, opt Options) error {
	if opt.Output != "" {
		return fmt.Errorf("the output %q of the graph is a detector's, all of whose outputs are used: leave out its name", opt.Output)
	}
	net, notes, err := m.Detector()
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the file has a graph%s of %s, which is built anew with the file's weights", by(m.Producer()), net.Config.Name))
	r.Notes = append(r.Notes, notes...)
	return r.describe(net, net.Config, "")
}

// fitONNX finds out how pictures go into a graph, and what it answers.
func (r *Result) fitONNX(m *onnx.Model, opt Options) error {
	file := r.File
	want := opt.Picture
	if len(file.Preprocess) > 0 {
		if err := json.Unmarshal(file.Preprocess, &want); err != nil {
			return fmt.Errorf("its metadata %q: %w", metaPreprocess, err)
		}
	}
	pictures, err := m.FitPictures(onnx.PictureOptions{Channels: want.Channels, Height: want.Height, Width: want.Width, Chosen: opt.Output != ""})
	if err != nil {
		return err
	}
	r.Input, r.Classes, r.FixedSize, r.Whole = pictures.Input, pictures.Classes, !pictures.Free, pictures.Whole
	r.Outputs = m.Answers()
	traced, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(append([]int{1}, r.Input...)...)})
	if err != nil {
		return err
	}
	r.Task = models.Classification
	if pictures.Maps {
		r.Task = models.Segmentation
		if r.FixedSize {
			r.Notes = append(r.Notes, fmt.Sprintf("the graph takes pictures of %d x %d only, to which all are resized; masks have the pictures' own sizes", r.Input[2], r.Input[1]))
		}
	}
	if _, end := graph.Logits(traced.Output); end == "sigmoid" {
		file.MultiLabel = true
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the graph of the file is run unchanged: opset %d%s", m.Opset(), by(m.Producer())))
	r.Notes = append(r.Notes, pictures.Notes...)
	r.noteOutputs(opt)
	if pictures.Batch > 0 {
		r.Batch = pictures.Batch
		r.Notes = append(r.Notes, fmt.Sprintf("its graph is written for %d at a time, so pictures are computed so: to be faster, export it with a batch of any size", pictures.Batch))
	}
	if names := m.ClassNames(); len(file.Classes) == 0 && len(names) == r.Classes {
		file.Classes = names
	}
	if len(file.Classes) != 0 && len(file.Classes) != r.Classes {
		return fmt.Errorf("it names %d classes, but its output %q has %d", len(file.Classes), m.Answer(), r.Classes)
	}
	if len(file.Preprocess) > 0 {
		return nil
	}
	preset, why := "", ""
	switch {
	case r.Whole:
		preset, why = "keras-raw", "values from 0 to 255, as its input of whole numbers takes them"
	case r.Classes == 1000 && r.Input[0] == 3:
		preset, why = "imagenet", "usual for ImageNet"
	default:
		return nil
	}
	p, err := data.Preset(preset)
	if err != nil {
		return err
	}
	p = p.For(r.Input[0], r.Input[1], r.Input[2])
	r.Preprocess, r.Why = &p, why
	return nil
}

// noteOutputs notes which output is the answer where there are several.
func (r *Result) noteOutputs(opt Options) {
	if len(r.Outputs) > 1 && opt.Output == "" {
		r.Notes = append(r.Notes, fmt.Sprintf("of its outputs, %q is taken as the answer; the others are %s (--output-name chooses)", r.Outputs[0], quoted(r.Outputs[1:])))
	}
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n)
	}
	return strings.Join(out, ", ")
}

func by(producer string) string {
	if producer == "" {
		return ""
	}
	return " by " + producer
}
