// Package resnet recognizes what is in pictures with residual networks, in pure
// Go. It is what a program imports that uses a trained model:
//
//	m, err := resnet.Open("", resnet.Options{}) // the model inside the program
//	…
//	labels, err := m.Classify(ctx, resnet.File("photo.jpg"))
//	fmt.Println(labels[0].Class, labels[0].Probability)
//
// Models are trained with the command resnet or package train, and built from
// blocks with packages models and nn.
package resnet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/segment"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Options are the choices of [Open], [New] and [FromModule]. The zero value is the
// usual one.
type Options struct {
	// Threads is the number of threads to compute and decode with; 0 means one for
	// each processor that Go uses. It does not change results, unless
	// Compute.Tuning is given. Models with the same number share their threads.
	Threads int
	// Batch is the largest number of pictures that are computed at once; 0 means 16.
	// More need more memory.
	Batch int
	// TopK is the number of predictions for a picture, the most probable first; 0
	// means 5, and all classes for a model of several labels per picture.
	TopK int
	// MaxPixels is the largest picture, width times height, that is decoded;
	// 0 means imaging.DefaultMaxPixels.
	MaxPixels int
	// IgnoreOrientation leaves pictures as their files store them. Otherwise they are
	// turned as their EXIF or XMP data tell, which torchvision's datasets do not do.
	IgnoreOrientation bool
	// Mirror makes Classify and the like average the logits of each picture and of its
	// mirror image (test-time augmentation), which takes twice the time. It does not
	// change embeddings.
	Mirror bool
	// Compute trades speed for precision.
	Compute Compute
	// Hub downloads models that are named by where they are published, such as
	// timm/resnet50.a1_in1k; nil is hub.FromEnv. Other names download nothing.
	Hub *hub.Client
	// Weights supplies what a file that holds only weights does not contain.
	Weights WeightsOnly
}

// Compute is how a network is computed. The zero value is fast, and the same bits
// on all machines of one kind.
type Compute struct {
	// Exact disables Winograd convolution. Winograd is faster; its rounding changes
	// logits by less than 1e-6 of their range, which changes an answer only where two
	// classes are level.
	Exact bool
	// BF16 rounds the operands of convolutions and linear layers to bfloat16, which
	// changes logits by up to 0.8 % of their range, and by up to 0.5 % if Exact is set.
	// Convolutions that Winograd's algorithm computes faster in float32 keep it unless
	// Exact is set. [Open] returns an error if the
	// processor lacks the instructions (AVX512-BF16), unless they are emulated. The
	// command resnet doctor measures their speed.
	BF16 engine.BF16
	// Tuning holds times measured on this machine, by which algorithms are chosen
	// unless Exact is set; Open of package engine/tuning reads what the command
	// resnet tune has measured. nil chooses by a model of the machine.
	Tuning engine.Tuning
	// BatchInvariant makes the answer for a picture the same bits whatever other
	// pictures share its batch, as a server needs that collects requests: algorithms
	// are chosen for one picture. Otherwise a probability may differ by about 1e-6.
	BatchInvariant bool
	// Device computes the network instead of the processor; nil for none. Exact and
	// Tuning then do not apply, and [Model.Explain] computes on the processor. The
	// nested module pjrt has devices.
	Device *engine.Device
}

// WeightsOnly supplies what a file does not contain that was not written by this
// project: NAME@FILE, ONNX and Keras files. Keys, Partial and Seed are for
// NAME@FILE alone.
type WeightsOnly struct {
	// Preprocess is how pictures become inputs. It must be nil for a file that
	// records it.
	Preprocess *data.Preprocess
	// Classes are the names of the classes, by index, for a file without names; nil
	// numbers them.
	Classes []string
	// Keys renames the tensors of FILE; nil renames none.
	Keys *weights.KeyMap
	// Partial loads the tensors of FILE that fit, and draws fresh values by Seed for
	// the rest, which [Model.Notes] lists.
	Partial bool
	Seed    uint64
	// Features opens the network for its features, see [modelfile.Options].
	Features bool
	// Output names the output that is the answer, of an ONNX or Keras file with several;
	// "" takes the one that most likely has the scores of the classes, and
	// [Model.Notes] lists the others.
	Output string
	// NormEps is the epsilon of the batch norms in a detector's backbone, see
	// [modelfile.Options].
	NormEps *float32
	// AllowNonFinite opens a file whose weights are NaN or infinite, which otherwise is
	// a *[modelfile.NonFiniteError].
	AllowNonFinite bool
	// SkipChecksums does not compare checksums, see [weights.LoadOptions].
	SkipChecksums bool
}

// Model is a network with its weights, classes and preprocessing, ready for
// use. It is safe for concurrent use.
type Model struct {
	name    string
	net     nn.Module
	input   tensor.Shape // of the network, [C H W]
	task    models.Task
	fixed   int  // the batch that the network computes, if it allows no other
	ends    ends // what its output is
	meta    weights.Meta
	prep    data.Preprocess
	classes []string
	opt     Options
	notes   []string
	runner  *infer.Runner

	detector *detect.Detector // nil unless the task is detection

	mu        sync.Mutex
	explainer *explain.Explainer
}

// ErrNoWeights is wrapped by the error of [Open] for the name of a network
// without a file of weights.
var ErrNoWeights = modelfile.ErrNoWeights

// ErrUnknown is wrapped by the error for a name that no network has.
var ErrUnknown = modelfile.ErrUnknown

// Open opens a model: a file that this project has written, an ONNX or Keras
// file (.onnx, .keras, .h5), NAME@FILE for a file that holds weights only and
// the network of that name in package models (see [modelfile.Open]), or "" for
// the model inside the program.
//
// Large tensors of safetensors, PyTorch and ONNX files stay in the file, which the
// model keeps open, and are read when it computes a batch of a new size for the
// first time: packed weights are then in memory once. Such a file may be replaced
// by a rename, or deleted. It must not be written to in place: a computation that
// has to read it then ends with an error. (On Windows, where an open file would
// block other programs, the file is read at once.)
func Open(model string, opt Options) (*Model, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	open := modelfile.Options{Keys: opt.Weights.Keys, Partial: opt.Weights.Partial, Seed: opt.Weights.Seed, Features: opt.Weights.Features, Deferred: true,
		Output: opt.Weights.Output, NormEps: opt.Weights.NormEps, AllowNonFinite: opt.Weights.AllowNonFinite,
		SkipChecksums: opt.Weights.SkipChecksums, Hub: opt.Hub}
	if p := opt.Weights.Preprocess; p != nil {
		open.Picture = *p
	}
	r, err := modelfile.Open(model, open)
	if err != nil {
		return nil, fmt.Errorf("resnet: %w", err)
	}
	if err := r.Suit(opt.Weights.Preprocess); err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", model, err)
	}
	if model == "" {
		model = modelfile.EmbeddedName
	}
	if opt.Weights.Preprocess == nil && r.Preprocess != nil {
		opt.Weights.Preprocess = r.Preprocess
		r.Notes = append(r.Notes, fmt.Sprintf("pictures are prepared as %s: %s", r.Why, r.Preprocess))
	}
	if !r.Report.Complete() {
		r.Notes = append(r.Notes, "not all tensors fit: "+r.Report.String())
	}
	return assemble(model, r, nil, opt)
}

// New returns the network of that name in package models with fresh random
// weights, drawn by seed: for benchmarks and tests.
// Without opt.Weights.Preprocess, pictures become inputs by ImageNet's preprocessing
// scaled to the network's size; a detector has its own.
func New(name string, seed uint64, opt Options) (*Model, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	if _, err := modelfile.Lookup(name); err != nil {
		return nil, fmt.Errorf("resnet: %w", err)
	}
	net, err := models.New(name)
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", name, err)
	}
	if err := nn.Init(net, seed); err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", name, err)
	}
	if opt.Weights.Preprocess == nil && net.Config.Task() != models.Detection {
		p, err := data.Preset("imagenet")
		if err != nil {
			return nil, err
		}
		chw := net.Input()
		p.Width, p.Height, p.Resize = chw[2], chw[1], min(chw[1], chw[2])
		if p.Channels = chw[0]; p.Channels == 1 {
			p.Mean, p.Std = p.Mean[:1], p.Std[:1]
		}
		opt.Weights.Preprocess = &p
	}
	r := &modelfile.Result{Module: net, Task: net.Config.Task(), Input: net.Input(), Classes: net.Config.Classes, File: &weights.File{}}
	return assemble(name, r, nil, opt)
}

func (o Options) check() error {
	switch {
	case o.Threads < 0:
		return fmt.Errorf("resnet: Threads is %d, must not be negative", o.Threads)
	case o.Batch < 0:
		return fmt.Errorf("resnet: Batch is %d, must not be negative", o.Batch)
	case o.TopK < 0:
		return fmt.Errorf("resnet: TopK is %d, must not be negative", o.TopK)
	}
	if err := (engine.Options{BF16: o.Compute.BF16, Device: o.Compute.Device}).Check(); err != nil {
		return fmt.Errorf("resnet: %w", err)
	}
	return nil
}

// largeInput is the size in bytes of an input from which on a model's plan is made when
// the model is opened.
const largeInput = 16 << 20

// SetMaxMemory sets the memory in bytes that a model's plan, a file or a dataset may
// need: more is an error before it is allocated. It is for the whole process. 0, as at
// the start, stands for the memory of the machine (or of the container, or GOMEMLIMIT)
// and, for what a file asks for, such as the size of pictures and what unpacks from
// compressed data, 1 GiB and 64 times the size of the file.
func SetMaxMemory(bytes int64) { budget.Set(bytes) }

// assemble makes a model of a network and its values, nil for those of its
// parameters.
func assemble(name string, r *modelfile.Result, vars *engine.Vars, opt Options) (*Model, error) {
	meta := r.File.Meta
	m := &Model{name: name, net: r.Module, input: r.Input, task: r.Task, fixed: r.Batch, meta: meta, notes: r.Notes, opt: opt}
	switch {
	case m.task == models.Detection && opt.Weights.Preprocess != nil:
		return nil, fmt.Errorf("resnet: %s is a detector, which prepares pictures itself: leave out the preprocessing", name)
	case m.task == models.Detection:
	case len(meta.Preprocess) > 0 && opt.Weights.Preprocess != nil:
		return nil, fmt.Errorf("resnet: %s has its own preprocessing: leave out another", name)
	case len(meta.Preprocess) > 0:
		if err := json.Unmarshal(meta.Preprocess, &m.prep); err != nil {
			return nil, fmt.Errorf("resnet: %s: preprocessing: %w", name, err)
		}
	case opt.Weights.Preprocess != nil:
		m.prep = *opt.Weights.Preprocess
	default:
		return nil, fmt.Errorf("resnet: %s, a model for %s, does not say how pictures become inputs; name a preprocessing (--preprocess or WeightsOnly.Preprocess: %s)",
			name, m.task, strings.Join(data.PresetNames(), ", "))
	}
	if r.FixedSize && m.task == models.Segmentation { // the mask is of the whole picture
		m.prep.Width, m.prep.Height, m.prep.Resize, m.prep.Squash = r.Input[2], r.Input[1], 0, true
	}
	if err := m.prep.Valid(); err != nil && m.task != models.Detection {
		return nil, fmt.Errorf("resnet: %s: %w", name, err)
	}
	if m.prep.Channels != r.Input[0] && m.task != models.Detection {
		return nil, fmt.Errorf("resnet: %s takes %d channels, but its preprocessing gives %d", name, r.Input[0], m.prep.Channels)
	}

	m.classes = meta.Classes
	if len(m.classes) == 0 {
		m.classes = opt.Weights.Classes
	}
	if n := r.Classes; len(m.classes) == 0 {
		for i := range n {
			m.classes = append(m.classes, strconv.Itoa(i))
		}
	} else if len(m.classes) != n {
		return nil, fmt.Errorf("resnet: %s has %d classes, but there are names for %d", name, n, len(m.classes))
	}

	var err error
	compute := infer.Options{Threads: opt.Threads, Exact: opt.Compute.Exact, BF16: opt.Compute.BF16, Tuning: opt.Compute.Tuning,
		BatchInvariant: opt.Compute.BatchInvariant, Device: opt.Compute.Device}
	if m.task != models.Classification {
		compute.Plans = segment.Plans // inputs have many sizes
	}
	if m.task == models.Classification || r.FixedSize {
		compute.FileSize = r.Size
	}
	if m.runner, err = infer.New(r.Module, vars, compute); err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", name, err)
	}
	if net, ok := r.Module.(*models.Model); ok && m.task == models.Detection {
		if m.detector, err = detect.New(m.runner, net); err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", name, err)
		}
	}
	if 4*m.prep.Channels*m.prep.Height*m.prep.Width > largeInput && compute.FileSize > 0 {
		// Pictures of the size that the file wants are allocated before the first plan.
		if _, err := m.runner.Plan(context.Background(), infer.Query{}, infer.Input{Shape: tensor.Shape{1, m.prep.Channels, m.prep.Height, m.prep.Width}}); err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", name, err)
		}
	}
	if len(r.Outputs) > 0 && m.task == models.Classification {
		if err := m.settleEnds(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Name returns what the model was opened as.
func (m *Model) Name() string { return m.name }

// Task returns what the model is for: [Model.Classify] and [Model.Embed],
// [Model.Segment], or [Model.Detect].
func (m *Model) Task() models.Task { return m.task }

// Classes returns the names of the classes by their index. The caller must not
// change them.
func (m *Model) Classes() []string { return m.classes }

// MultiLabel reports whether a picture may have any number of the classes. Each
// class then has an independent probability, and they do not add up to 1.
func (m *Model) MultiLabel() bool { return m.meta.MultiLabel }

// BatchInvariant reports whether the model was opened with Compute.BatchInvariant.
func (m *Model) BatchInvariant() bool { return m.opt.Compute.BatchInvariant }

// DecodeOptions returns how the model decodes pictures, by its [Options].
func (m *Model) DecodeOptions() imaging.DecodeOptions { return m.opt.decode() }

// Preprocess returns how pictures become inputs. It is empty for a detector, which
// describes that itself: see [models.DetectionHead].
func (m *Model) Preprocess() data.Preprocess { return m.prep }

// Meta returns what the model's file records about itself: recipe, command, seed,
// data and figures. It is empty where the file is not one of ours.
func (m *Model) Meta() weights.Meta { return m.meta }

// SureAbove returns the probability from which a classifier's answers are sure, which
// resnet calibrate has found and written to the model's file; 0 if it has not.
func (m *Model) SureAbove() float64 { return m.meta.Metrics[weights.MetricSureAbove] }

// Notes returns, for people, what [Open] found out about a file of other origin:
// how its tensors were named, how pictures are prepared. The caller must not
// change it.
func (m *Model) Notes() []string { return m.notes }

// Network returns the modules. Their parameters have the values that the model was
// made of. The model continues to compute with these if a parameter gets another
// tensor; their elements must not be changed in place.
func (m *Model) Network() nn.Module { return m.net }

// Vars returns the values of the network's parameters by name. They must not be
// changed while the model is in use.
func (m *Model) Vars() *engine.Vars { return m.runner.Vars() }

// Input returns the shape of one input, [C H W]; for a detector, whose inputs have
// many sizes, a typical one.
func (m *Model) Input() tensor.Shape {
	if m.task == models.Detection {
		return m.input
	}
	return tensor.Shape{m.prep.Channels, m.prep.Height, m.prep.Width}
}
