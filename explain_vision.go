package resnet

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"strings"

	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/internal/sheet"
)

// This file explains what detectors and segmentation networks find.

// ErrNoObject is wrapped by the error of [Model.Explain] if a detector finds no
// object, or not as many, as are to be explained.
var ErrNoObject = errors.New("no such object is found")

// explainObjects is Explain of a detector.
func (m *Model) explainObjects(ctx context.Context, e *explain.Explainer, p Picture, opt ExplainOptions) (*Explanation, error) {
	img, err := p.load(m.opt.decode())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	var numbers []int
	choose := func(objects []detect.Object) ([]int, error) {
		numbers, err = m.chosenObjects(objects, opt)
		return numbers, err
	}
	found, err := m.detector.Explain(ctx, e, img, choose, opt.Options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := m.finiteMaps(p.Name, found.Maps); err != nil {
		return nil, err
	}
	out := &Explanation{Name: p.Name, Maps: found.Maps}
	for i, o := range found.Objects {
		out.Classes = append(out.Classes, Prediction{m.classes[o.Class], o.Class, float64(o.Score)})
		out.Objects = append(out.Objects, ExplainedObject{numbers[i], Object{m.classes[o.Class], o.Class, float64(o.Score), o.Box, o.Mask}})
	}
	s := found.Input.Shape()
	k := max((shown+min(found.Width, found.Height)-1)/min(found.Width, found.Height), 1)
	out.input = drawn(found.Input.Float32s(), s[3], s[2], s[1], found.Mean, found.Std, k)
	picture := part(out.input, image.Rect(0, 0, k*found.Width, k*found.Height))
	out.Region = [4]float64{0, 0, float64(s[3]) / float64(found.Width), float64(s[2]) / float64(found.Height)}
	sx, sy := float64(k*found.Width)/float64(img.W), float64(k*found.Height)/float64(img.H)
	var marks []sheet.Mark
	for _, o := range out.Objects {
		marks = append(marks, sheet.Mark{
			Box:  [4]float64{sx * float64(o.Box.X1), sy * float64(o.Box.Y1), sx * float64(o.Box.X2), sy * float64(o.Box.Y2)},
			Kind: o.Index, Label: fmt.Sprintf("%d: %s %.2f", o.Number+1, o.Class, o.Score),
		})
	}
	out.Picture, err = sheet.Marks(picture, marks)
	return out, err
}

// chosenObjects returns the numbers of the objects that opt asks for.
func (m *Model) chosenObjects(objects []detect.Object, opt ExplainOptions) ([]int, error) {
	if len(objects) == 0 {
		return nil, fmt.Errorf("%w: the detector finds nothing in the picture", ErrNoObject)
	}
	for _, n := range opt.Objects {
		if n < 0 || n >= len(objects) {
			return nil, fmt.Errorf("%w: object %d of %d, counted from 1", ErrNoObject, n+1, len(objects))
		}
	}
	if len(opt.Objects) > 0 {
		return opt.Objects, nil
	}
	var numbers []int
	for _, c := range opt.Classes {
		at := -1
		for i, o := range objects {
			if o.Class == c && at < 0 {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%w: nothing of class %s%s", ErrNoObject, m.classes[c], background(m.classes[c]))
		}
		numbers = append(numbers, at)
	}
	if len(opt.Classes) > 0 {
		return numbers, nil
	}
	for i := range min(max(opt.Top, 1), len(objects)) {
		numbers = append(numbers, i)
	}
	return numbers, nil
}

// background returns what to add to a message that nothing of the class is found.
func background(class string) string {
	if name := strings.Trim(strings.ToLower(class), "_"); name != "background" {
		return ""
	}
	return ", which stands for no object: name another class"
}

// part returns a part of a picture, with bounds from 0.
func part(m *image.RGBA, r image.Rectangle) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(out, out.Bounds(), m, r.Min, draw.Src)
	return out
}

// explainPixels is Explain of a segmentation network.
func (m *Model) explainPixels(ctx context.Context, e *explain.Explainer, p Picture, opt ExplainOptions) (*Explanation, error) {
	net, err := m.segmenter()
	if err != nil {
		return nil, err
	}
	img, err := p.load(m.opt.decode())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	choose := func(shares []float64) []int {
		if len(opt.Classes) > 0 {
			return opt.Classes
		}
		others := append([]float64{-1}, shares[1:]...)
		return highest(others, min(max(opt.Top, 1), max(len(shares)-1, 1)))
	}
	found, err := net.Explain(ctx, e, img, choose, m.lastStage(e), opt.Options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := m.finiteMaps(p.Name, found.Maps); err != nil {
		return nil, err
	}
	out := &Explanation{Name: p.Name, Maps: found.Maps}
	for i, h := range found.Maps {
		out.Classes = append(out.Classes, Prediction{m.classes[h.Class], h.Class, found.Shares[i]})
	}
	out.Region = [4]float64{0, 0, 1, 1}
	s := found.Input.Shape()
	k := max((shown+min(s[2], s[3])-1)/min(s[2], s[3]), 1)
	out.Picture = drawn(found.Input.Float32s(), s[3], s[2], s[1], m.prep.Mean, m.prep.Std, k)
	return out, nil
}

// lastStage returns the path of the backbone's last stage, "" in a graph of another
// program, where it is not known.
func (m *Model) lastStage(e *explain.Explainer) string {
	last := ""
	for _, l := range e.Layers() {
		for _, prefix := range []string{"backbone.", "encoder."} {
			for _, stage := range []string{"layer3", "layer4"} {
				if l.Path == prefix+stage {
					last = l.Path
				}
			}
		}
	}
	return last
}
