package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/hdf5"
)

// Application is one of keras.applications' ResNets (keras/src/applications,
// resnet.py and resnet_v2.py): He et al. 2015 with the stride on the first 1x1
// convolution and biases, or, with V2, He et al. 2016, "Identity Mappings in
// Deep Residual Networks".
type Application struct {
	Depth   int // 50, 101 or 152
	V2      bool
	Classes int    // 1000 for ImageNet; 0 for none: the network ends before pooling
	Size    int    // height and width of the input; 0 stands for 224, or free without classes
	Final   string // the activation at the end, "softmax" unless given; "linear" for none
}

var applicationLayers = map[int][4]int{50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}}

// Applications lists the names that [NewApplication] knows.
func Applications() []string {
	return []string{"ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"}
}

// NewApplication returns the application of a name such as "ResNet50" or
// "resnet101v2", for ImageNet's classes.
func NewApplication(name string) (Application, error) {
	for _, n := range Applications() {
		if strings.EqualFold(n, name) {
			digits, v2 := strings.CutSuffix(strings.TrimPrefix(n, "ResNet"), "V2")
			depth, err := strconv.Atoi(digits)
			return Application{Depth: depth, V2: v2, Classes: 1000}, err
		}
	}
	return Application{}, fmt.Errorf("keras: unknown application %q, known are %s", name, strings.Join(Applications(), ", "))
}

// Name returns Keras's name of the model, such as "resnet50v2".
func (a Application) Name() string {
	name := fmt.Sprintf("resnet%d", a.Depth)
	if a.V2 {
		name += "v2"
	}
	return name
}

// New makes the network, without values.
func (a Application) New() (*Model, error) {
	s, err := a.spec()
	if err != nil {
		return nil, err
	}
	m, err := build(s)
	if err != nil {
		return nil, err
	}
	return m, m.knownPreprocess()
}

// Config returns the network's config as JSON, in Keras 3's form.
func (a Application) Config() ([]byte, error) {
	m, err := a.New()
	if err != nil {
		return nil, err
	}
	return m.Config()
}

func (a Application) spec() (*spec, error) {
	blocks, ok := applicationLayers[a.Depth]
	if !ok {
		return nil, fmt.Errorf("keras: there is no ResNet of depth %d, but of 50, 101 and 152", a.Depth)
	}
	size := a.Size
	if size == 0 && a.Classes > 0 {
		size = defaultSize
	}
	b := newBuilder(a.Name())
	x := b.input("input_layer", size, size, 3)
	x = b.pad("conv1_pad", 3, x)
	x = b.conv("conv1_conv", 64, 7, 2, true, "valid", x)
	if !a.V2 {
		x = b.norm("conv1_bn", x)
		x = b.relu("conv1_relu", x)
	}
	x = b.pad("pool1_pad", 1, x)
	x = b.add("MaxPooling2D", "pool1_pool", object{"pool_size": []int{3, 3}, "strides": []int{2, 2}, "padding": "valid", "data_format": "channels_last"}, x)
	for i, n := range blocks {
		for k := range n {
			name := fmt.Sprintf("conv%d_block%d", i+2, k+1)
			filters := 64 << i
			if a.V2 {
				stride := 1
				if k == n-1 && i < 3 {
					stride = 2
				}
				x = b.blockV2(name, filters, stride, k == 0, x)
			} else {
				stride := 1
				if k == 0 && i > 0 {
					stride = 2
				}
				x = b.blockV1(name, filters, stride, k == 0, x)
			}
		}
	}
	if a.V2 {
		x = b.norm("post_bn", x)
		x = b.relu("post_relu", x)
	}
	if a.Classes > 0 {
		final := a.Final
		if final == "" {
			final = "softmax"
		}
		x = b.add("GlobalAveragePooling2D", "avg_pool", object{"data_format": "channels_last", "keepdims": false}, x)
		x = b.add("Dense", "predictions", object{"units": a.Classes, "activation": final, "use_bias": true}, x)
	}
	return b.finish(x), nil
}

// blockV1 is resnet.py's residual_block_v1.
func (b *builder) blockV1(name string, filters, stride int, project bool, x string) string {
	shortcut := x
	if project {
		shortcut = b.conv(name+"_0_conv", 4*filters, 1, stride, true, "valid", x)
		shortcut = b.norm(name+"_0_bn", shortcut)
	}
	x = b.conv(name+"_1_conv", filters, 1, stride, true, "valid", x)
	x = b.norm(name+"_1_bn", x)
	x = b.relu(name+"_1_relu", x)
	x = b.conv(name+"_2_conv", filters, 3, 1, true, "same", x)
	x = b.norm(name+"_2_bn", x)
	x = b.relu(name+"_2_relu", x)
	x = b.conv(name+"_3_conv", 4*filters, 1, 1, true, "valid", x)
	x = b.norm(name+"_3_bn", x)
	x = b.add("Add", name+"_add", nil, shortcut, x)
	return b.relu(name+"_out", x)
}

// blockV2 is resnet.py's residual_block_v2.
func (b *builder) blockV2(name string, filters, stride int, project bool, x string) string {
	pre := b.norm(name+"_preact_bn", x)
	pre = b.relu(name+"_preact_relu", pre)
	shortcut := x
	if project {
		shortcut = b.conv(name+"_0_conv", 4*filters, 1, stride, true, "valid", pre)
	} else if stride > 1 {
		b.poolings++
		pool := "max_pooling2d"
		if b.poolings > 1 {
			pool = fmt.Sprintf("max_pooling2d_%d", b.poolings-1)
		}
		shortcut = b.add("MaxPooling2D", pool, object{"pool_size": []int{1, 1}, "strides": []int{stride, stride}, "padding": "valid", "data_format": "channels_last"}, x)
	}
	x = b.conv(name+"_1_conv", filters, 1, 1, false, "valid", pre)
	x = b.norm(name+"_1_bn", x)
	x = b.relu(name+"_1_relu", x)
	x = b.pad(name+"_2_pad", 1, x)
	x = b.conv(name+"_2_conv", filters, 3, stride, false, "valid", x)
	x = b.norm(name+"_2_bn", x)
	x = b.relu(name+"_2_relu", x)
	x = b.conv(name+"_3_conv", 4*filters, 1, 1, true, "valid", x)
	return b.add("Add", name+"_out", nil, shortcut, x)
}

// guess finds the application whose weights a file without a config holds.
func guess(root *hdf5.Group) (Application, error) {
	names, err := fileLayers(root)
	if err != nil {
		return Application{}, err
	}
	a := Application{}
	switch {
	case slices.Contains(names, "conv4_block36_out") || slices.Contains(names, "conv4_block36_3_conv"):
		a.Depth = 152
	case slices.Contains(names, "conv4_block23_3_conv"):
		a.Depth = 101
	case slices.Contains(names, "conv4_block6_3_conv") && slices.Contains(names, "conv1_conv"):
		a.Depth = 50
	default:
		return a, fmt.Errorf("keras: %w: it is none of %s by its layers; save the whole model, or give its config", ErrArchitecture, strings.Join(Applications(), ", "))
	}
	a.V2 = slices.Contains(names, "post_bn")
	for _, top := range []string{"predictions", "probs"} { // as older releases call it
		if !slices.Contains(names, top) {
			continue
		}
		if top != "predictions" {
			return a, fmt.Errorf("keras: %w: its last layer is %q, of an older release; save the whole model", ErrArchitecture, top)
		}
		a.Classes, err = fileClasses(root)
	}
	return a, err
}

// fileLayers returns the names of the layers in a file of weights.
func fileLayers(root *hdf5.Group) ([]string, error) {
	legacy, err := legacyGroup(root)
	if err != nil {
		return nil, err
	}
	if legacy != nil {
		return namesAttr(legacy, attrLayerNames)
	}
	layers, err := root.Group("layers")
	if errors.Is(err, hdf5.ErrNotFound) {
		return nil, errors.New("keras: an HDF5 file without layers: it is not of Keras")
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range layers.Names() {
		g, err := layers.Group(n)
		if err != nil {
			return nil, err
		}
		if !g.Has("vars") {
			continue
		}
		if g, err = g.Group("vars"); err != nil {
			return nil, err
		}
		name, err := textAttr(g, "name")
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// fileClasses returns the extent of the last layer's bias.
func fileClasses(root *hdf5.Group) (int, error) {
	g, path := root, "layers/dense/vars/1"
	if legacy, err := legacyGroup(root); err != nil {
		return 0, err
	} else if legacy != nil {
		if g, err = legacy.Group("predictions"); err != nil {
			return 0, err
		}
		names, err := namesAttr(g, attrWeightNames)
		if err != nil {
			return 0, err
		}
		if len(names) != 2 {
			return 0, fmt.Errorf("keras: layer predictions has %d weights, want 2", len(names))
		}
		path = names[1]
	}
	d, err := g.Dataset(path)
	if err != nil {
		return 0, err
	}
	if len(d.Shape) != 1 || d.Shape[0] < 1 {
		return 0, fmt.Errorf("keras: the bias of predictions is %v", d.Shape)
	}
	return d.Shape[0], nil
}

// PresetNames lists what [Preset] knows.
func PresetNames() []string { return []string{"keras-caffe", "keras-raw", "keras-tf"} }

// Preset returns a preprocessing of keras.applications for pictures of size by
// size pixels (the shorter side resized to size/224*256, the middle cut out,
// as ImageNet is evaluated), and whether the network takes BGR, see
// [Model.BGR]:
//
//   - "keras-caffe", of ResNet50, 101 and 152: BGR, 0 to 255, less ImageNet's
//     mean of each channel;
//   - "keras-tf", of the V2 networks: from -1 to 1;
//   - "keras-raw", of networks that begin with Rescaling or Normalization: 0 to
//     255.
func Preset(name string, size int) (p data.Preprocess, bgr bool, err error) {
	if !slices.Contains(PresetNames(), name) {
		return p, false, fmt.Errorf("keras: unknown preprocessing %q, known are %s", name, strings.Join(PresetNames(), ", "))
	}
	if p, err = data.Preset(name); err != nil {
		return p, false, err
	}
	p.Width, p.Height, p.Resize = size, size, size*p.Resize/p.Width
	return p, name == "keras-caffe", p.Valid()
}

// knownPreprocess sets the preprocessing of models that show it: by a first layer
// that scales, or by being one of the applications.
func (m *Model) knownPreprocess() error {
	if len(m.inputs) != 3 || m.inputs[2] != 3 || m.inputs[0] != m.inputs[1] {
		return nil
	}
	preset := ""
	for _, l := range m.layers {
		if sub, ok := m.Modules[l.name].(*Model); ok && preset == "" {
			preset = sub.preset()
		}
	}
	if preset == "" {
		preset = m.preset()
	}
	for _, c := range m.calls { // the first layer of the model
		if len(c.in) == 1 && c.in[0].layer != m.spec.input || len(c.in) > 1 {
			continue
		}
		if _, ok := m.Modules[c.layer].(*affine); ok {
			preset = "keras-raw"
		}
	}
	if preset == "" {
		return nil
	}
	p, bgr, err := Preset(preset, m.inputs[0])
	if err != nil {
		return err
	}
	m.Preprocess, m.BGR = &p, bgr
	return nil
}

// preset recognizes an application by its layers.
func (m *Model) preset() string {
	has := func(name string) bool { _, ok := m.Modules[name]; return ok }
	if !has("conv1_conv") || !has("conv5_block3_3_conv") {
		return ""
	}
	if has("post_bn") {
		return "keras-tf"
	}
	return "keras-caffe"
}

// object is a JSON object.
type object map[string]any

func (o object) json() json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil { // only of types that no caller has
		panic(err)
	}
	return b
}
