// Package modelfile opens models: files that describe their network (our own,
// ONNX, Keras), and weights of other programs for a network of package models
// that the caller names. It finds the file's naming of tensors, the number of
// classes and how pictures were prepared. [Parse] reads the text by which users
// name a model, and [Open] opens it.
package modelfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// ErrNoNetwork is wrapped by the error of [Open] for a file that holds weights
// and does not say for which network.
var ErrNoNetwork = errors.New("does not say which network its weights are for")

// Options are the choices of [Open]. The zero value is the usual one. Keys,
// Partial, Classes and NormEps need a network that is named: NAME@FILE.
type Options struct {
	// Keys renames the file's tensors before all else; nil renames none.
	Keys *weights.KeyMap
	// Dict chooses one of several state dicts, see [weights.LoadOptions].
	Dict string
	// Partial takes the tensors that fit and leaves the rest of the network at
	// fresh values drawn by Seed.
	Partial bool
	Seed    uint64
	// Classes is the number of classes; 0 means as many as the file's last
	// layer has. Another number than the file's needs Partial.
	Classes int
	// Backbone is for training on other classes: it takes the tensors of the network
	// and leaves out others, such as those of a projector or of a second encoder in
	// files of self-supervised training; only the last layer may be missing, which
	// then has fresh values drawn by Seed (see [Result].NewHead). It has no effect on
	// files that describe their own network.
	Backbone bool
	// Features is for the features of a network of package models. A file without its
	// last layer is a backbone anyway (see [Result].Task); with Features it may also have
	// tensors that are not the network's, which are left out as by Backbone.
	Features bool
	// Deferred leaves large tensors in the file until they are needed, see
	// [weights.LoadOptions]. Keras files are read whole.
	Deferred bool
	// Picture is what is known of the caller's pictures: where an ONNX file leaves its
	// input's channels, height and width open, they are as here. The zero value is
	// nothing.
	Picture data.Preprocess
	// Output names the output that is the network's answer, of an ONNX or Keras file
	// with several; "" takes the one that most likely has the scores of the classes.
	Output string
	// NormEps is the epsilon of the batch norms in a detector's backbone, for weights of
	// PyTorch, which do not have it; nil takes that of torchvision's weights of the same
	// form.
	NormEps *float32
	// AllowNonFinite accepts weights that are NaN or infinite, which otherwise are a
	// *[NonFiniteError].
	AllowNonFinite bool
	// SkipChecksums does not compare checksums, see [weights.LoadOptions].
	SkipChecksums bool
	// Hub downloads published models; nil is [hub.FromEnv].
	Hub *hub.Client
	// Bare accepts a file of weights that does not say for which network they are:
	// the result then has no Module. Otherwise such a file is an error that wraps
	// [ErrNoNetwork].
	Bare bool
}

// Result is a network with its weights.
type Result struct {
	// Module is the network. Model is the same if it is a network of package
	// models, and nil for an ONNX graph or a Keras model.
	Module nn.Module
	Model  *models.Model
	// Task is what the network is for.
	Task models.Task
	// Input is the shape of one picture, [C H W]; the output is [N Classes] of
	// pictures, or [N Classes H W] of their pixels in segmentation, where H and W are
	// those for which the network is meant. Classes is 0 if the task is models.Features.
	Input   tensor.Shape
	Classes int
	// FixedSize is set if the network takes pictures of the size of Input only.
	FixedSize bool
	// Whole is set if the network takes whole numbers: pictures with values from 0 to
	// 255, without normalization.
	Whole bool
	// Batch is the number of pictures that the network computes at once, if it allows
	// no other; else 0. Its Forward takes any number, but repeats its graph for more.
	Batch int
	// Outputs are the names of the outputs of an ONNX or Keras file, the one first that
	// is the answer; see [Options].Output.
	Outputs []string
	// File is the network as the content of one of our own files: its architecture
	// (empty for an ONNX graph of others), all its tensors, and other metadata.
	File *weights.File
	// Preprocess is how pictures were prepared for the weights, if this is not in
	// the file but its origin leaves no doubt; Why names the origin.
	Preprocess *data.Preprocess
	Why        string
	// NewHead is set if the file had no last layer for the network, see
	// [Options].Backbone. Task is models.Features if the network has none, as the file
	// describes it or, of a classifier that is named, because the file has none.
	NewHead bool
	// Source describes where the tensors came from, Size is the bytes of the file.
	Source *weights.Source
	Size   int64
	Report weights.Report
	// Notes are for people: what was found out that is not in the file.
	Notes []string
}

// Resumable reports whether the file also holds the state of a training that can
// go on from it.
func (r *Result) Resumable() bool {
	return len(r.File.Architecture) > 0 && slices.ContainsFunc(r.Source.Names, weights.IsState)
}

// Open is [Parse] and [Ref.Open].
func Open(model string, opt Options) (*Result, error) {
	ref, err := Parse(model)
	if err != nil {
		return nil, err
	}
	return ref.Open(opt)
}

// Load opens the file at path for the network of that name in package models,
// as [Ref.Open] does.
func Load(name, path string, opt Options) (*Result, error) {
	return Ref{Name: name, File: path}.Open(opt)
}

// Open opens a model with its values: the one inside the program, the network
// that a file itself describes (one of our own model files, an ONNX graph, a
// Keras model), or the network of a name with the weights in a file. Unless
// Partial is set, such a file must have exactly the network's tensors; else the
// error is a *weights.FitError. The file is opened once, and everything is read
// from that open file.
//
// A published model is downloaded first, unless it is on disk, see [Ref.Fetch].
func (r Ref) Open(opt Options) (*Result, error) {
	r, err := r.Fetch(context.Background(), opt.Hub)
	if err != nil {
		return nil, err
	}
	open := r.openLocal
	if r.Remote != (hub.Name{}) {
		open = r.openFetched
	}
	res, err := open(opt)
	if err == nil && opt.Output != "" && !slices.Contains(res.Outputs, opt.Output) {
		return nil, fmt.Errorf("%s is a network with one answer, so none is chosen by the name %q: leave out the output's name", r.name(), opt.Output)
	}
	return res, err
}

// openLocal is Open of what is on disk.
func (r Ref) openLocal(opt Options) (*Result, error) {
	if r.Name == "" && opt.NormEps != nil {
		return nil, fmt.Errorf("%s describes its own network, with the epsilon of its batch norms; to set it for weights of PyTorch, name a detector: NAME@FILE", r.name())
	}
	if r.Name == "" && (opt.Keys.Len() > 0 || opt.Partial || opt.Classes != 0) {
		return nil, fmt.Errorf("%s describes its own network; to rename its tensors, to load a part of them or to set the number of classes, name a network: NAME@FILE", r.name())
	}
	var named *models.Config
	if r.Name != "" {
		cfg, err := Lookup(r.Name)
		if err != nil {
			return nil, err
		}
		named = &cfg
	}
	if r.File == "" {
		if r.Name != "" {
			return nil, fmt.Errorf("%s is %w: give %s@FILE or the file of a trained model", r.Name, ErrNoWeights, r.Name)
		}
		return openEmbedded()
	}
	if info, err := os.Stat(r.File); err == nil && info.IsDir() {
		return openFolder(r, opt)
	}
	return r.open(named, opt)
}

// open opens the file for a network, or, for nil, as the network that it describes
// itself.
func (r Ref) open(network *models.Config, opt Options) (*Result, error) {
	h, err := weights.Open(r.File)
	if err != nil {
		return nil, explainOpen(r.File, err)
	}
	defer h.Close()
	var res *Result
	switch {
	case network != nil:
		res, err = openNamed(h, *network, opt)
	case h.Format() == weights.ONNX && opt.Dict == "":
		res, err = openONNX(h, opt)
	default:
		res, err = openDescribed(h, opt)
	}
	if err == nil && !opt.AllowNonFinite {
		err = checkFinite(r.File, res.File.Tensors)
	}
	if err != nil {
		return nil, err
	}
	res.Size = h.Size()
	return res, nil
}

// Suit makes a preprocessing that the caller has chosen suit the network: its number
// of channels, its size if no other will do, and no normalization where the network
// takes whole numbers, which is an error if p has one. nil is left alone.
func (r *Result) Suit(p *data.Preprocess) error {
	if p == nil {
		return nil
	}
	in := r.Input
	if p.Channels == in[0] && (p.Height == in[1] && p.Width == in[2] || !r.FixedSize) && !r.Whole {
		return nil
	}
	if r.Whole && !p.Raw() {
		return fmt.Errorf("its input is of whole numbers from 0 to 255, so pictures must not be normalized: leave out the preprocessing, or take keras-raw")
	}
	if p.Channels == 1 && in[0] == 3 {
		return fmt.Errorf("the preprocessing gives 1 channels, gray, but the network takes 3: take one for colors")
	}
	h, w := p.Height, p.Width
	if r.FixedSize {
		h, w = in[1], in[2]
	}
	if q := p.For(in[0], h, w); q.String() != p.String() {
		*p = q
		r.Notes = append(r.Notes, fmt.Sprintf("the preprocessing is changed to suit the network: %s", q))
	}
	return nil
}

// EmbeddedName is the name of the model inside the program.
const EmbeddedName = "embedded:" + embedded.ModelName

// name returns what r is called in messages.
func (r Ref) name() string {
	if r == (Ref{}) {
		return EmbeddedName
	}
	return r.String()
}

func openEmbedded() (*Result, error) {
	b, err := embedded.Model()
	if err != nil {
		return nil, err
	}
	s, err := safetensors.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EmbeddedName, err)
	}
	file, err := weights.Read(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EmbeddedName, err)
	}
	r, err := FromFile(EmbeddedName, file)
	if err != nil {
		return nil, err
	}
	r.Size = int64(len(b))
	r.Source = &weights.Source{Format: weights.Safetensors, Names: slices.Sorted(maps.Keys(file.Tensors))}
	return r, nil
}

// explainOpen adds to the error of opening a model file what to do about it.
func explainOpen(path string, err error) error {
	var special *limitread.NotRegularError
	switch {
	case errors.As(err, &special):
		return fmt.Errorf("%w; a model is not read from start to end: copy it to a file first", err)
	case errors.Is(err, fs.ErrNotExist):
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		hint := similar(path)
		if n, ok, failed := hub.Parse(path); ok && failed == nil && !hasFormat(path) {
			hint = "; for the published model, give " + n.String()
		}
		return fmt.Errorf("cannot open the model file %s: %w%s", path, err, hint)
	}
	return err
}

// hasFormat reports whether a name has the ending of a model file.
func hasFormat(path string) bool {
	_, err := weights.FormatOf(path)
	return err == nil
}

// similar suggests a file in the folder of one that is missing.
func similar(path string) string {
	const most = 1000 // files that are looked at
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "; there is no folder " + filepath.Dir(path)
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(most) // without names, there is nothing to suggest
	slices.Sort(names)
	if near := suggest.Name(filepath.Base(path), names); near != "" {
		return fmt.Sprintf("; did you mean %s?", filepath.Join(filepath.Dir(path), near))
	}
	return ""
}

// openDescribed opens a file that describes the network its weights are for, or,
// with [Options].Bare, one that does not.
func openDescribed(h *weights.Handle, opt Options) (*Result, error) {
	file, source, err := read(h, opt)
	if err != nil {
		return nil, err
	}
	if opt.Bare && len(file.Architecture) == 0 {
		return &Result{File: file, Source: source}, nil
	}
	r, err := FromFile(h.Path(), file)
	if err != nil {
		return nil, err
	}
	r.Source = source
	r.noteOutputs(opt)
	return r, nil
}

// FromFile makes the network that one of our own model files describes. Errors
// begin with name.
func FromFile(name string, file *weights.File) (*Result, error) {
	r := &Result{File: file.ModelOnly(), Task: models.Classification}
	var err error
	switch arch := r.File.Architecture; {
	case len(arch) == 0:
		if why := r.File.Extra[NoGraph]; why != "" {
			return nil, fmt.Errorf("%s %w, because its graph could not be written (%s): build the network in Go and give it the weights by nn.Load", name, ErrNoNetwork, why)
		}
		return nil, fmt.Errorf("%s %w: give NAME@%s, with a NAME that resnet models lists", name, ErrNoNetwork, name)
	case onnx.IsArchitecture(arch):
		err = r.openGraph(arch)
	case keras.IsArchitecture(arch):
		var m *keras.Model
		if m, err = keras.FromArchitecture(arch); err == nil {
			r.Module, r.Input, r.Classes = m, m.Input(), m.Classes()
			r.FixedSize, r.Outputs = m.FixedSize(), m.Outputs()
		}
	default:
		var cfg models.Config
		if cfg, err = models.ParseConfig(arch); err == nil {
			r.Model, err = cfg.Build()
		}
		if err == nil {
			r.Module, r.Task, r.Input, r.Classes = r.Model, cfg.Task(), r.Model.Input(), cfg.Classes
		}
	}
	if err == nil {
		_, err = nn.Load(r.Module, r.File.Tensors, nn.LoadOptions{Share: true})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r.Classes < 1 && r.Task != models.Features {
		return nil, fmt.Errorf("%s: the network does not end in a vector of classes", name)
	}
	r.File.Tensors = nn.Values(r.Module) // with the counters that other formats lack
	return r, nil
}

// read reads the tensors of a file of any format, with its metadata. The tensors
// of an ONNX file have its initializers' names. Architecture is empty unless the
// file describes a network that [FromFile] makes.
func read(h *weights.Handle, opt Options) (*weights.File, *weights.Source, error) {
	if opt.Dict == "" {
		switch h.Format() {
		case weights.ONNX:
			m, err := loadONNX(h, opt)
			if err != nil {
				return nil, nil, err
			}
			return readONNX(h.Path(), m)
		case weights.Keras, weights.HDF5:
			return readKeras(h, opt)
		}
	}
	return h.Load(weights.LoadOptions{Dict: opt.Dict, Deferred: opt.Deferred, SkipChecksums: opt.SkipChecksums})
}

func readKeras(h *weights.Handle, opt Options) (*weights.File, *weights.Source, error) {
	m, err := keras.Read(h, h.Size(), keras.ReadOptions{SkipChecksums: opt.SkipChecksums})
	if errors.Is(err, keras.ErrArchitecture) {
		return nil, nil, fmt.Errorf("%s %w: files of weights alone are known from %s only", h.Path(), ErrNoNetwork, strings.Join(keras.Applications(), ", "))
	}
	if err == nil && opt.Output != "" {
		err = m.SetOutput(opt.Output)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", h.Path(), err)
	}
	file, err := m.File()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", h.Path(), err)
	}
	return file, sourceOf(h.Format(), file), nil
}

func sourceOf(format weights.Format, file *weights.File) *weights.Source {
	return &weights.Source{Format: format, Names: slices.Sorted(maps.Keys(file.Tensors))}
}
