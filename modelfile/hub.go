package modelfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

// folder is what a folder has that holds a model as hubs distribute them, or that a
// training has written.
type folder struct {
	file       string         // of the weights
	network    *models.Config // nil if no config has it
	why        error          // why there is none although there is a config
	classes    []string
	preprocess *data.Preprocess
	source     string // the file that the preprocessing is from
}

// weightFiles are the names of files of weights in a folder, the best first.
var weightFiles = []string{"model.safetensors", "model.safetensors.index.json", "best.safetensors", "last.safetensors",
	"pytorch_model.bin", "pytorch_model.bin.index.json", "model.onnx", filepath.Join("onnx", "model.onnx"), "model.keras", "model.h5", "model.pth", "model.pt"}

// maxConfig bounds the JSON files of a folder. ImageNet-21k's labels take 1 MB.
const maxConfig = 16 << 20

// readFolder finds the model in a folder. The error for a folder without one lists
// what was looked for.
func readFolder(path string) (*folder, error) {
	f := &folder{}
	for _, name := range weightFiles {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil && info.Mode().IsRegular() {
			f.file = filepath.Join(path, name)
			break
		}
	}
	if f.file == "" {
		only, err := onlyModel(path)
		if err != nil {
			return nil, err
		}
		f.file = only
	}
	var config hubConfig
	if err := readJSON(filepath.Join(path, "config.json"), &config); err != nil {
		return nil, err
	}
	f.network, f.why = config.network()
	f.classes = config.classes()
	if err := config.into(f); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(path, "config.json"), err)
	}
	var processor processorConfig
	at := filepath.Join(path, "preprocessor_config.json")
	if err := readJSON(at, &processor); err != nil {
		return nil, err
	}
	if len(processor.Mean) > 0 {
		p, err := processor.preprocess(max(config.Channels, 0))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		f.preprocess, f.source = &p, "preprocessor_config.json"
	}
	return f, nil
}

// onlyModel returns the only file of a known format in a folder.
func onlyModel(path string) (string, error) {
	const most = 1000 // files that are looked at
	dir, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(most) // without names, there is none
	var found []string
	for _, n := range names {
		if _, err := weights.FormatOf(n); err == nil {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s is a folder; a model is a file, such as %s, or a folder with one file of a known format", path, filepath.Join(path, "best.safetensors"))
	case 1:
		return filepath.Join(path, found[0]), nil
	}
	return "", fmt.Errorf("%s is a folder with several models: name one of %s", path, strings.Join(found[:min(len(found), 10)], ", "))
}

// readJSON reads a file, if it is there.
func readJSON(path string, to any) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	b, err := limitread.File(path, maxConfig)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// hubConfig is config.json of transformers or timm.
type hubConfig struct {
	// transformers
	ModelType     string            `json:"model_type"`
	Architectures []string          `json:"architectures"`
	Depths        []int             `json:"depths"`
	Widths        []int             `json:"hidden_sizes"`
	LayerType     string            `json:"layer_type"`
	Early         bool              `json:"downsample_in_bottleneck"`
	First         bool              `json:"downsample_in_first_stage"`
	Activation    string            `json:"hidden_act"`
	Channels      int               `json:"num_channels"`
	Labels        map[string]string `json:"id2label"`
	// timm
	Architecture string   `json:"architecture"`
	LabelNames   []string `json:"label_names"`
	Pretrained   *struct {
		Mean          []float32 `json:"mean"`
		Std           []float32 `json:"std"`
		Interpolation string    `json:"interpolation"`
		CropPct       float64   `json:"crop_pct"`
		CropMode      string    `json:"crop_mode"`
		InputSize     []int     `json:"input_size"`
		LabelNames    []string  `json:"label_names"`
	} `json:"pretrained_cfg"`
}

// network returns the network that the config describes, or nil if it describes
// none. The error is about one that is not known.
func (c *hubConfig) network() (*models.Config, error) {
	switch {
	case c.ModelType == "resnet":
		name, widths := "resnet50", []int{256, 512, 1024, 2048}
		if c.LayerType == "basic" {
			name, widths = "resnet18", []int{64, 128, 256, 512}
		} else if c.LayerType != "bottleneck" && c.LayerType != "" {
			return nil, fmt.Errorf("config.json describes a residual network of %q blocks, which are not known", c.LayerType)
		}
		cfg, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		switch {
		case len(c.Depths) != 4 || len(c.Widths) > 0 && !slices.Equal(c.Widths, widths):
			return nil, fmt.Errorf("config.json describes a residual network with depths %v and widths %v, which is not known", c.Depths, c.Widths)
		case c.First:
			return nil, errors.New("config.json describes a residual network whose first stage has a stride (downsample_in_first_stage), which is not known")
		case c.Activation != "" && c.Activation != "relu":
			return nil, fmt.Errorf("config.json describes a residual network with the activation %q, which is not known", c.Activation)
		}
		for _, d := range c.Depths {
			if d < 1 || d > 1000 {
				return nil, fmt.Errorf("config.json describes a residual network with depths %v", c.Depths)
			}
		}
		cfg.Name, cfg.Layers, cfg.V1 = "resnet", c.Depths, c.Early
		for _, n := range models.Names() {
			if known, err := Lookup(n); err == nil && known.Block == cfg.Block && slices.Equal(known.Layers, cfg.Layers) && strings.HasPrefix(n, "resnet") {
				cfg.Name = n
				break
			}
		}
		return &cfg, nil
	case c.ModelType != "":
		return nil, fmt.Errorf("config.json describes a network of the type %q, which is not a residual network that is known", c.ModelType)
	case c.Architecture != "":
		name := c.Architecture
		if v2, ok := strings.CutPrefix(name, "resnetv2_"); ok {
			name = "preresnet" + v2
		}
		name, _, _ = strings.Cut(name, ".") // a tag such as .a1_in1k
		cfg, err := Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("config.json names timm's network %s: %w", c.Architecture, err)
		}
		return &cfg, nil
	}
	return nil, nil
}

// classes returns the names of the classes, nil if there are none or they are no
// names.
func (c *hubConfig) classes() []string {
	if len(c.LabelNames) > 0 {
		return c.LabelNames
	}
	if c.Pretrained != nil && len(c.Pretrained.LabelNames) > 0 {
		return c.Pretrained.LabelNames
	}
	if len(c.Labels) == 0 {
		return nil
	}
	out := make([]string, len(c.Labels))
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || i >= len(out) {
			return nil
		}
		out[i] = c.Labels[k]
	}
	if out[0] == "LABEL_0" { // what transformers writes if it has no names
		return nil
	}
	return out
}

// filters are the names of interpolations.
var filters = map[string]imaging.Filter{"bilinear": imaging.Bilinear, "bicubic": imaging.Bicubic, "nearest": imaging.Nearest}

// into reads timm's preprocessing.
func (c *hubConfig) into(f *folder) error {
	p := c.Pretrained
	if p == nil || len(p.InputSize) != 3 || len(p.Mean) == 0 {
		return nil
	}
	filter, ok := filters[p.Interpolation]
	if !ok {
		return fmt.Errorf("the interpolation %q is not known", p.Interpolation)
	}
	pct := p.CropPct
	if pct == 0 {
		pct = 0.875
	}
	if !(pct > 0 && pct <= 1) {
		return fmt.Errorf("crop_pct is %g, must be above 0 and at most 1", pct)
	}
	out := data.Preprocess{Channels: p.InputSize[0], Height: p.InputSize[1], Width: p.InputSize[2], Interpolation: filter, Mean: p.Mean, Std: p.Std}
	switch p.CropMode {
	case "", "center":
		out.Resize = int(math.Floor(float64(min(p.InputSize[1], p.InputSize[2])) / pct))
	case "squash":
		if out.Squash = true; pct != 1 {
			return fmt.Errorf("crop_mode squash with a crop_pct of %g is not supported", pct)
		}
	default:
		return fmt.Errorf("crop_mode %q is not supported", p.CropMode)
	}
	if err := out.Valid(); err != nil {
		return err
	}
	f.preprocess, f.source = &out, "config.json"
	return nil
}

// processorConfig is preprocessor_config.json of transformers.
type processorConfig struct {
	Kind      string          `json:"image_processor_type"`
	OldKind   string          `json:"feature_extractor_type"`
	Resize    *bool           `json:"do_resize"`
	Crop      *bool           `json:"do_center_crop"`
	Rescale   *bool           `json:"do_rescale"`
	Normalize *bool           `json:"do_normalize"`
	Size      json.RawMessage `json:"size"`
	CropSize  json.RawMessage `json:"crop_size"`
	CropPct   float64         `json:"crop_pct"`
	Resample  *int            `json:"resample"`
	Mean      []float32       `json:"image_mean"`
	Std       []float32       `json:"image_std"`
}

// resamples are Pillow's numbers of filters.
var resamples = map[int]imaging.Filter{0: imaging.Nearest, 2: imaging.Bilinear, 3: imaging.Bicubic}

// imageSize is a size in any of its forms: 224, {"shortest_edge": 224} or
// {"height": 224, "width": 224}.
type imageSize struct{ shortest, height, width int }

func parseSize(raw json.RawMessage) (s imageSize, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return s, nil
	}
	if err := json.Unmarshal(raw, &s.shortest); err == nil {
		return s, nil
	}
	var o struct {
		Shortest int `json:"shortest_edge"`
		Height   int `json:"height"`
		Width    int `json:"width"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return s, fmt.Errorf("the size %s is not known", raw)
	}
	return imageSize{o.Shortest, o.Height, o.Width}, nil
}

// preprocess returns the preprocessing that the config describes.
func (c *processorConfig) preprocess(channels int) (data.Preprocess, error) {
	p := data.Preprocess{Channels: max(channels, len(c.Mean)), Interpolation: imaging.Bilinear, Mean: c.Mean, Std: c.Std}
	is := func(b *bool, otherwise bool) bool {
		if b == nil {
			return otherwise
		}
		return *b
	}
	if c.Resample != nil {
		filter, ok := resamples[*c.Resample]
		if !ok {
			return p, fmt.Errorf("resample is %d, which is not known", *c.Resample)
		}
		p.Interpolation = filter
	}
	size, err := parseSize(c.Size)
	if err != nil {
		return p, err
	}
	crop, err := parseSize(c.CropSize)
	if err != nil {
		return p, err
	}
	if !is(c.Rescale, true) || !is(c.Normalize, true) || !is(c.Resize, true) {
		return p, errors.New("do_resize, do_rescale and do_normalize must be true")
	}
	convNext := strings.HasPrefix(c.Kind, "ConvNext") || strings.HasPrefix(c.OldKind, "ConvNext")
	switch {
	case convNext && size.shortest > 0 && size.shortest < 384:
		pct := c.CropPct
		if pct == 0 {
			pct = 224.0 / 256
		}
		if !(pct > 0 && pct <= 1) {
			return p, fmt.Errorf("crop_pct is %g, must be above 0 and at most 1", pct)
		}
		p.Height, p.Width, p.Resize = size.shortest, size.shortest, int(float64(size.shortest)/pct)
	case convNext && size.shortest > 0:
		p.Height, p.Width, p.Squash = size.shortest, size.shortest, true
	case is(c.Crop, false) && size.shortest > 0:
		p.Resize = size.shortest
		p.Height, p.Width = crop.height, crop.width
		if crop.shortest > 0 {
			p.Height, p.Width = crop.shortest, crop.shortest
		}
	case size.height > 0 && size.width > 0:
		p.Height, p.Width, p.Squash = size.height, size.width, true
	case size.shortest > 0:
		p.Height, p.Width, p.Squash = size.shortest, size.shortest, true
	}
	return p, p.Valid()
}

// openFolder opens the model in a folder: of the network of a name, or of the one
// that the folder's config describes.
func openFolder(r Ref, opt Options) (*Result, error) {
	f, err := readFolder(r.File)
	if err != nil {
		return nil, err
	}
	inner := Ref{Name: r.Name, File: f.file}
	var res *Result
	if r.Name == "" && f.network != nil {
		res, err = inner.open(f.network, opt)
	} else {
		res, err = inner.Open(opt)
	}
	if errors.Is(err, ErrNoNetwork) && f.why != nil {
		return nil, fmt.Errorf("%s: %w: give NAME@%s, with a NAME that resnet models lists", r.File, f.why, r.File)
	}
	if err != nil {
		return nil, err
	}
	if len(res.File.Classes) == 0 && len(f.classes) == res.Classes {
		res.File.Classes = f.classes
	}
	if p := f.preprocess; p != nil && len(res.File.Preprocess) == 0 {
		q := *p
		if q.Channels != res.Input[0] {
			q = q.For(res.Input[0], q.Height, q.Width)
		}
		res.Preprocess, res.Why = &q, "in the folder's "+f.source
	}
	return res, nil
}
