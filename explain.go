package resnet

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/sheet"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// ExplainOptions are the choices of [Model.Explain]. The zero value is Grad-CAM
// of the last layer with height and width for the most probable class.
type ExplainOptions struct {
	explain.Options // Batch and MultiLabel are the model's

	Classes []int // by index, see [Model.ClassIndex]; none stands for the most probable ones
	Top     int   // the number of most probable classes; 0 means 1
	// Objects are for detectors: the numbers of objects among those that Detect finds,
	// from 0 for the one with the highest score. Without them, the best of each of
	// Classes are explained, or without these the Top best of all.
	Objects []int
}

// Explanation is which parts of a picture raise the scores of classes.
type Explanation struct {
	Name    string       // of the picture
	Classes []Prediction // one per map
	Maps    []explain.Map
	// Objects are what a detector's maps are of.
	Objects []ExplainedObject
	// Picture is the part of the picture that the network gets, in finer pixels if
	// the network's input is small. Of a detector, it shows the objects' boxes.
	Picture *image.RGBA
	// Region is where the maps lie in the picture, upright: x, y, width and height as
	// shares of its width and height. It extends beyond the picture where the picture was
	// padded.
	Region [4]float64

	input *image.RGBA // of a detector, with its padding; else nil
}

// ExplainedObject is an object with its number among those that Detect finds, from 0.
type ExplainedObject struct {
	Number int
	Object
}

// Overlay returns the picture under the heat map number i, half and half: from
// black (0) to white (the largest values).
func (x *Explanation) Overlay(i int) *image.RGBA {
	m := x.Maps[i]
	if x.input == nil {
		return sheet.Overlay(x.Picture, m.Values, m.W, m.H)
	}
	return part(sheet.Overlay(x.input, m.Values, m.W, m.H), x.Picture.Bounds())
}

// Explain finds the parts of a picture that raise the score of its most probable
// class, or of the classes in opt. Of a detector it explains the class scores of
// objects, of a segmentation network the mean logits of classes over the picture: by
// default of the class with the largest share, background (class 0) aside. An error
// names the picture.
func (m *Model) Explain(ctx context.Context, p Picture, opt ExplainOptions) (*Explanation, error) {
	e, err := m.Explainer()
	if err != nil {
		return nil, err
	}
	if len(opt.Objects) > 0 && m.Task() != models.Detection {
		return nil, fmt.Errorf("resnet: %s is a model for %s: ExplainOptions.Objects are for detectors", m.name, m.Task())
	}
	switch m.Task() {
	case models.Detection:
		return m.explainObjects(ctx, e, p, opt)
	case models.Segmentation:
		return m.explainPixels(ctx, e, p, opt)
	}
	if err := m.isFor(models.Classification, "Explain"); err != nil {
		return nil, err
	}
	img, x, err := m.prepare(p)
	if err != nil {
		return nil, err
	}
	logits, _, err := m.Forward(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := m.CheckFinite(p.Name, logits.Float32s(), nil); err != nil {
		return nil, err
	}
	probabilities := m.probabilities(logits.Float32s())
	classes := opt.Classes
	if len(classes) == 0 {
		classes = highest(probabilities, opt.Top)
	}
	opt.MultiLabel, opt.Batch = m.MultiLabel(), m.batch()
	maps, err := e.Maps(ctx, x, classes, opt.Options)
	if err != nil {
		return nil, err
	}
	if err := m.finiteMaps(p.Name, maps); err != nil {
		return nil, err
	}
	out := &Explanation{Name: p.Name, Maps: maps}
	for _, c := range classes {
		out.Classes = append(out.Classes, Prediction{m.classes[c], c, probabilities[c]})
	}
	if out.Region, err = m.prep.Region(img.W, img.H); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if out.Picture, err = m.seen(img, x); err != nil {
		return nil, named(p.Name, err)
	}
	return out, nil
}

// highest returns the indices of the n highest values, at least one.
func highest(values []float64, n int) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	return order[:min(max(n, 1), len(order))]
}

func (m *Model) finiteMaps(picture string, maps []explain.Map) error {
	for _, h := range maps {
		if slices.ContainsFunc(h.Values, func(v float32) bool { return v != v || math.IsInf(float64(v), 0) }) {
			return fmt.Errorf("%s: the map of the model %s has a value that is %w", picture, m.name, ErrNonFinite)
		}
	}
	return nil
}

// prepare decodes a picture and makes it the network's input, [1 C H W]. An error
// names the picture.
func (m *Model) prepare(p Picture) (*imaging.Image, *tensor.Tensor, error) {
	img, err := p.load(m.opt.decode())
	if err != nil {
		return nil, nil, named(p.Name, err)
	}
	in := m.Input()
	x := tensor.NewNHWC(1, in[0], in[1], in[2])
	if err := m.prep.ApplyNHWC(x.Float32s(), img); err != nil {
		return nil, nil, named(p.Name, err)
	}
	return img, x, nil
}

// Explainer returns the explainer of the model's network, which computes maps,
// features and filters as numbers.
func (m *Model) Explainer() (*explain.Explainer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.explainer == nil {
		e, err := explain.New(m.net, m.runner.Vars(), m.Input(), infer.Options{Threads: m.opt.Threads, Exact: true})
		if err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		m.explainer = e
	}
	return m.explainer, nil
}

// Features returns the output of a module of the network for a picture, [C H W] or
// [features]; [explain.Explainer.Layers] lists the paths of modules. The picture is
// prepared as the network's task asks for: a detector's has the size at which the
// detector sees it, with its padding. An error names the picture.
func (m *Model) Features(ctx context.Context, p Picture, layer string) (*tensor.Tensor, error) {
	e, err := m.Explainer()
	if err != nil {
		return nil, err
	}
	if m.Task() == models.Detection {
		img, err := p.load(m.opt.decode())
		if err != nil {
			return nil, named(p.Name, err)
		}
		return m.detector.Features(ctx, e, img, layer)
	}
	_, x, err := m.prepare(p)
	if err != nil {
		return nil, err
	}
	return e.Features(ctx, x, layer)
}

// ClassIndex returns the index of a class by its name, whatever its case, or by
// its number. An unknown class is an error that suggests the nearest name.
func (m *Model) ClassIndex(class string) (int, error) {
	for i, name := range m.classes {
		if strings.EqualFold(name, class) {
			return i, nil
		}
	}
	if i, err := strconv.Atoi(class); err == nil {
		if i < 0 || i >= len(m.classes) {
			return 0, fmt.Errorf("resnet: no class %d; they go from 0 to %d", i, len(m.classes)-1)
		}
		return i, nil
	}
	if near, ok := suggest.Nearest(class, m.classes); ok || len(m.classes) > 50 {
		if !ok {
			return 0, fmt.Errorf("resnet: no class %q among the %d", class, len(m.classes))
		}
		return 0, fmt.Errorf("resnet: no class %q; did you mean %q?", class, near)
	}
	return 0, fmt.Errorf("resnet: no class %q; there are %s", class, strings.Join(m.classes, ", "))
}

// shown is the smallest side of pictures for people, in pixels.
const shown = 224

// seen returns the part of the picture that the network gets as x, in pixels that
// are a whole number of times finer, so that people can see it: drawn from img
// where that shows more than x.
func (m *Model) seen(img *imaging.Image, x *tensor.Tensor) (*image.RGBA, error) {
	p, row := m.prep, x.Float32s()
	k := (shown + min(p.Width, p.Height) - 1) / min(p.Width, p.Height)
	if k > 1 && (p.Resize > 0 || p.Squash) {
		p.Width, p.Height, p.Resize = k*p.Width, k*p.Height, k*p.Resize
		k = 1
		p.Mean, p.Std = make([]float32, p.Channels), []float32{1, 1, 1}[:p.Channels]
		row = make([]float32, p.Width*p.Height*p.Channels)
		if err := p.ApplyNHWC(row, img); err != nil {
			return nil, err
		}
	}
	return drawn(row, p.Width, p.Height, p.Channels, p.Mean, p.Std, k), nil
}

// drawn returns an input, whose channels come last, as a picture with k pixels for
// each of its own along both sides.
func drawn(row []float32, w, h, channels int, mean, std []float32, k int) *image.RGBA {
	planes := make([]float32, 3*w*h)
	for i := range w * h {
		for c := range 3 {
			from := min(c, channels-1)
			planes[c*w*h+i] = row[i*channels+from]*std[from] + mean[from]
		}
	}
	return sheet.RGB(planes, w, h, k, 0, 1)
}
