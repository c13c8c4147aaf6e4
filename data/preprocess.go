package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/tensor"
)

// Preprocess describes how a picture of any size becomes a network's input at
// evaluation and prediction. It is plain data and part of model files, so that a
// model sees the same pixels everywhere. The steps, which equal Pillow's and
// torchvision's:
//
//  1. to gray or RGB (Channels);
//  2. resize the shorter side to Resize pixels, or, with Squash, the picture to
//     Width by Height regardless of its aspect ratio; with neither, do not resize;
//  3. cut out the center, Width by Height pixels, black where the picture is
//     smaller;
//  4. (v/255 - Mean) / Std for each channel.
//
// For a segmentation network, whose input has any size, step 3 is left out (see
// [Preprocess.Whole]), and Width by Height is the size of training inputs.
type Preprocess struct {
	Channels      int            `json:"channels" yaml:"channels"` // 1 gray, 3 RGB
	Width         int            `json:"width" yaml:"width"`       // of the network's input, pixels
	Height        int            `json:"height" yaml:"height"`
	Resize        int            `json:"resize,omitempty" yaml:"resize,omitempty"` // shorter side, pixels
	Squash        bool           `json:"squash,omitempty" yaml:"squash,omitempty"`
	Interpolation imaging.Filter `json:"interpolation" yaml:"interpolation"`
	Mean          []float32      `json:"mean" yaml:"mean,flow"` // one per channel, of values from 0 to 1
	Std           []float32      `json:"std" yaml:"std,flow"`
}

// UnmarshalJSON reads an object of the fields of p. One that is unknown, or there twice, is
// an error: a newer version of this package may have given it a meaning, and pictures
// would be prepared in another way than is meant.
func (p *Preprocess) UnmarshalJSON(text []byte) error {
	if err := uniqueKeys(text, true); err != nil {
		return fmt.Errorf("data: the preprocessing: %w", err)
	}
	type fields Preprocess
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode((*fields)(p)); err != nil {
		return fmt.Errorf("data: the preprocessing: %w (its fields are channels, width, height, resize, squash, interpolation, mean and std)", err)
	}
	return nil
}

var presets = map[string]Preprocess{
	// torchvision's ImageNet evaluation, the second for its V2 weights.
	"imagenet": {Channels: 3, Width: 224, Height: 224, Resize: 256, Interpolation: imaging.Bilinear,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}},
	"imagenet-v2": {Channels: 3, Width: 224, Height: 224, Resize: 232, Interpolation: imaging.Bilinear,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}},
	// torchvision's evaluation of segmentation networks, which crops nothing.
	"segmentation": {Channels: 3, Width: 520, Height: 520, Resize: 520, Interpolation: imaging.Bilinear,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}},
	// Usually quoted means and deviations of the training images.
	"cifar10": {Channels: 3, Width: 32, Height: 32, Resize: 32, Interpolation: imaging.Bilinear,
		Mean: []float32{0.4914, 0.4822, 0.4465}, Std: []float32{0.2470, 0.2435, 0.2616}},
	"cifar100": {Channels: 3, Width: 32, Height: 32, Resize: 32, Interpolation: imaging.Bilinear,
		Mean: []float32{0.5071, 0.4865, 0.4409}, Std: []float32{0.2673, 0.2564, 0.2762}},
	"mnist": {Channels: 1, Width: 28, Height: 28, Resize: 28, Interpolation: imaging.Bilinear,
		Mean: []float32{0.1307}, Std: []float32{0.3081}},
	"fashion-mnist": {Channels: 1, Width: 28, Height: 28, Resize: 28, Interpolation: imaging.Bilinear,
		Mean: []float32{0.2860}, Std: []float32{0.3530}},
	// keras.applications: ResNet50 to 152 (whose networks turn RGB into the BGR that
	// they were trained on), the V2 networks, and networks that scale pictures
	// themselves.
	"keras-caffe": {Channels: 3, Width: 224, Height: 224, Resize: 256, Interpolation: imaging.Bilinear,
		Mean: []float32{123.68 / 255, 116.779 / 255, 103.939 / 255}, Std: []float32{1. / 255, 1. / 255, 1. / 255}},
	"keras-tf": {Channels: 3, Width: 224, Height: 224, Resize: 256, Interpolation: imaging.Bilinear,
		Mean: []float32{.5, .5, .5}, Std: []float32{.5, .5, .5}},
	"keras-raw": {Channels: 3, Width: 224, Height: 224, Resize: 256, Interpolation: imaging.Bilinear,
		Mean: []float32{0, 0, 0}, Std: []float32{1. / 255, 1. / 255, 1. / 255}},
}

// PresetNames returns the names that [Preset] knows, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(presets)) }

// Preset returns a preprocessing by its name, such as "imagenet" (resize 256,
// crop 224), "cifar10" or "fashion-mnist". An unknown name is an error that
// suggests the nearest.
func Preset(name string) (Preprocess, error) {
	p, ok := presets[name]
	if !ok {
		return p, fmt.Errorf("data: unknown preprocessing %q%s", name, suggest.Phrase(name, PresetNames()))
	}
	p.Mean, p.Std = slices.Clone(p.Mean), slices.Clone(p.Std)
	return p, nil
}

// maxSide bounds the sizes of a Preprocess, which may come from a model file
// of unknown origin.
const maxSide = 1 << 14

// Valid returns an error that names the field that is out of range.
func (p Preprocess) Valid() error {
	switch {
	case p.Channels != 1 && p.Channels != 3:
		return fmt.Errorf("data: preprocess: channels is %d, not 1 or 3", p.Channels)
	case p.Width < 1 || p.Width > maxSide || p.Height < 1 || p.Height > maxSide:
		return fmt.Errorf("data: preprocess: size %d x %d is not within 1 to %d", p.Width, p.Height, maxSide)
	case p.Resize < 0 || p.Resize > maxSide:
		return fmt.Errorf("data: preprocess: resize %d is not within 0 to %d", p.Resize, maxSide)
	case len(p.Mean) != p.Channels || len(p.Std) != p.Channels:
		return fmt.Errorf("data: preprocess: there are %d means and %d deviations, must be one of each for each of %d channels", len(p.Mean), len(p.Std), p.Channels)
	}
	for _, s := range p.Std {
		if !(s > 0) {
			return fmt.Errorf("data: preprocess: deviation %v is not above 0", s)
		}
	}
	if err := p.Interpolation.Valid(); err != nil {
		return fmt.Errorf("data: preprocess: %w", err)
	}
	return nil
}

// Whole returns p without its crop for a w by h picture: all of the picture becomes
// the input, in the size that step 2 gives it.
func (p Preprocess) Whole(w, h int) (Preprocess, error) {
	if w < 1 || h < 1 {
		return p, errEmpty
	}
	w, h, err := p.resized(w, h)
	if err != nil {
		return p, err
	}
	if w > maxSide || h > maxSide || w > maxInputPixels/h {
		return p, fmt.Errorf("the input would have %d x %d pixels, more than %d: use a preprocessing that makes it smaller (resize)", w, h, maxInputPixels)
	}
	p.Width, p.Height, p.Resize, p.Squash = w, h, 0, true
	return p, nil
}

// maxInputPixels limits the input of [Preprocess.Whole]: a network needs some
// kilobytes for each of its pixels.
const maxInputPixels = 1 << 24

// String returns the preprocessing as one line of JSON.
func (p Preprocess) String() string {
	b, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Apply returns a picture as the network's input, [1, Channels, Height, Width].
func (p Preprocess) Apply(m *imaging.Image) (*tensor.Tensor, error) {
	return p.Batch([]*imaging.Image{m})
}

// Batch returns pictures as one input, [len(ms), Channels, Height, Width].
func (p Preprocess) Batch(ms []*imaging.Image) (*tensor.Tensor, error) {
	if err := p.Valid(); err != nil {
		return nil, err
	}
	hw, c := p.Width*p.Height, p.Channels
	t := tensor.New(len(ms), c, p.Height, p.Width)
	out := t.Float32s()
	row := make([]float32, hw*c)
	for n, m := range ms {
		if err := p.ApplyNHWC(row, m); err != nil {
			return nil, err
		}
		for k := range c {
			plane := out[(n*c+k)*hw : (n*c+k+1)*hw]
			for i := range plane {
				plane[i] = row[i*c+k]
			}
		}
	}
	return t, nil
}

// ApplyNHWC writes a picture as the network's input with the channels last,
// Height*Width*Channels values, to dst. It does not change m.
func (p Preprocess) ApplyNHWC(dst []float32, m *imaging.Image) error {
	return p.write(dst, func(*stages) *picture { return &picture{m: m} })
}

// ReadNHWC decodes the picture that r has opened and writes it as [Preprocess.ApplyNHWC]
// does, with the same values. It does not decode what the crop leaves out.
func (p Preprocess) ReadNHWC(dst []float32, r *imaging.Reader) error {
	return p.write(dst, func(s *stages) *picture { return &picture{reader: r, own: &s.decoded} })
}

func (p Preprocess) write(dst []float32, src func(*stages) *picture) error {
	if err := p.Valid(); err != nil {
		return err
	}
	if len(dst) != p.Height*p.Width*p.Channels {
		return fmt.Errorf("data: preprocess: the destination has room for %d values, but the input has %d", len(dst), p.Height*p.Width*p.Channels)
	}
	s := stagePool.Get().(*stages)
	defer stagePool.Put(s)
	var n normalizer
	n.init(p)
	v, err := s.fit(p, src(s))
	if err != nil {
		return err
	}
	n.write(dst, v)
	return nil
}

var errEmpty = errors.New("the picture has no pixels")

// stages is the memory of the steps of one picture.
type stages struct {
	decoded, color, sized, ops, spare imaging.Image
	blur                              []float32
}

var stagePool = sync.Pool{New: func() any { return new(stages) }}

// view is a part of a picture that is still to be cut out. Pixels outside the
// picture are black, and flip mirrors the part left to right. Cropping, padding and
// flipping thus cost nothing until the values are written.
type view struct {
	m    *imaging.Image
	r    imaging.Rect
	flip bool
}

// fit runs the steps before normalization.
func (s *stages) fit(p Preprocess, src *picture) (view, error) {
	w0, h0 := src.size()
	if w0 < 1 || h0 < 1 {
		return view{}, errEmpty
	}
	w, h, err := p.resized(w0, h0)
	if err != nil {
		return view{}, err
	}
	r := imaging.CenterCropRect(w, h, p.Width, p.Height)
	padded := r.X < 0 || r.Y < 0 || r.W > w || r.H > h // of one missing pixel X and Y are 0
	if padded || w == w0 && h == h0 {
		if err := src.decode(); err != nil {
			return view{}, err
		}
		m, err := s.resize(p, src.m)
		return view{m: m, r: r}, err
	}
	if err := src.fit(s, p, w, h, r); err != nil {
		return view{}, err
	}
	return view{m: &s.sized, r: imaging.Rect{W: p.Width, H: p.Height}}, nil
}

// Region returns the part of a w by h picture that becomes the input: x, y, width and
// height as shares of the picture's width and height, so that they hold for the picture
// in any size. It extends beyond the picture, with x and y below 0, where a small picture
// is padded.
func (p Preprocess) Region(w, h int) (region [4]float64, err error) {
	if w < 1 || h < 1 {
		return region, errEmpty
	}
	w, h, err = p.resized(w, h)
	if err != nil {
		return region, err
	}
	r := imaging.CenterCropRect(w, h, p.Width, p.Height)
	x, y := float64(w), float64(h)
	return [4]float64{float64(r.X) / x, float64(r.Y) / y, float64(r.W) / x, float64(r.H) / y}, nil
}

// resized returns the size that a w by h picture is resized to.
func (p Preprocess) resized(w, h int) (int, int, error) {
	w0, h0 := w, h
	if p.Squash {
		w, h = p.Width, p.Height
	} else if p.Resize > 0 {
		w, h = imaging.ShorterSide(w, h, p.Resize)
	}
	if (w != w0 || h != h0) && w > maxPixelsResized/h {
		return 0, 0, fmt.Errorf("the picture of %d x %d would be resized to %d x %d, which is too large", w0, h0, w, h)
	}
	return w, h, nil
}

// resize converts the channels and resizes. It returns m itself if nothing
// changes.
func (s *stages) resize(p Preprocess, m *imaging.Image) (*imaging.Image, error) {
	if m.W < 1 || m.H < 1 {
		return nil, errEmpty
	}
	m = s.convert(m, p.Channels)
	w, h, err := p.resized(m.W, m.H)
	if err != nil {
		return nil, err
	}
	if w != m.W || h != m.H {
		imaging.Resize(&s.sized, m, w, h, p.Interpolation)
		m = &s.sized
	}
	return m, nil
}

// maxPixelsResized limits the size of a picture of extreme aspect ratio, such as
// 1 x 1,000,000, when its shorter side is enlarged.
const maxPixelsResized = 1 << 28

func (s *stages) convert(m *imaging.Image, channels int) *imaging.Image {
	if m.C == channels {
		return m
	}
	imaging.Convert(&s.color, m, channels)
	return &s.color
}

// normalizer is (v/255 - mean) / std for the 256 values of each channel.
type normalizer struct {
	channels int
	lut      [3][256]float32
}

func (n *normalizer) init(p Preprocess) {
	n.channels = p.Channels
	for c := range p.Channels {
		for v := range n.lut[c] {
			n.lut[c][v] = (float32(v)/255 - p.Mean[c]) / p.Std[c]
		}
	}
}

// write writes the values of v to dst, rows from the top, channels last.
func (n *normalizer) write(dst []float32, v view) {
	m, r, c := v.m, v.r, n.channels
	x0, x1 := max(r.X, 0), min(r.X+r.W, m.W)
	for y := range r.H {
		out := dst[y*r.W*c : (y+1)*r.W*c]
		sy := r.Y + y
		if sy < 0 || sy >= m.H || x0 >= x1 {
			n.black(out)
			continue
		}
		row := m.Pix[(sy*m.W+x0)*c : (sy*m.W+x1)*c]
		left, right := (x0-r.X)*c, (r.X+r.W-x1)*c
		if v.flip {
			left, right = right, left
		}
		n.black(out[:left])
		n.black(out[len(out)-right:])
		mid := out[left : len(out)-right]
		switch {
		case c == 1 && !v.flip:
			for i, p := range row[:len(mid)] {
				mid[i] = n.lut[0][p]
			}
		case c == 1:
			for i, p := range row[:len(mid)] {
				mid[len(mid)-1-i] = n.lut[0][p]
			}
		case !v.flip:
			for len(row) >= 3 && len(mid) >= 3 {
				mid[0], mid[1], mid[2] = n.lut[0][row[0]], n.lut[1][row[1]], n.lut[2][row[2]]
				row, mid = row[3:], mid[3:]
			}
		default:
			for len(row) >= 3 && len(mid) >= 3 {
				o := mid[len(mid)-3:]
				o[0], o[1], o[2] = n.lut[0][row[0]], n.lut[1][row[1]], n.lut[2][row[2]]
				row, mid = row[3:], mid[:len(mid)-3]
			}
		}
	}
}

func (n *normalizer) black(out []float32) {
	for i := range out {
		out[i] = n.lut[i%n.channels][0]
	}
}
