package resnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

var letters = strings.Split("abcdefghij", "")

// filledFile writes a model file of the ResNet-20 that package golden fills,
// and returns its path.
func filledFile(t testing.TB, change func(*weights.File)) string {
	t.Helper()
	net, err := models.New("resnet20-cifar")
	if err != nil {
		t.Fatal(err)
	}
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: make(map[string]*tensor.Tensor)}
	if f.Architecture, err = json.Marshal(net.Config); err != nil {
		t.Fatal(err)
	}
	if f.Preprocess, err = json.Marshal(prep); err != nil {
		t.Fatal(err)
	}
	f.Classes = letters
	for _, e := range nn.Params(net) {
		if e.Param.DType != tensor.Float32 {
			f.Tensors[e.Name] = tensor.NewInt64(e.Param.Shape...)
			continue
		}
		x := tensor.New(e.Param.Shape...)
		kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
		if err != nil {
			t.Fatal(err)
		}
		namefill.Fill(e.Name, x, kind)
		f.Tensors[e.Name] = x
	}
	if change != nil {
		change(f)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string, opt Options) *Model {
	t.Helper()
	m, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// picture returns a picture of noise that depends on seed.
func picture(seed, w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	v := uint32(seed + 1)
	for i := range m.Pix {
		v = v*1664525 + 1013904223
		m.Pix[i] = uint8(v >> 24)
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

// Through file, network, batches and plans the logits are PyTorch's.
func TestForwardAgainstPyTorch(t *testing.T) {
	tensors, _ := golden.Load(t, "models/testdata/resnet20_cifar.safetensors")
	x := tensor.New(8, 3, 32, 32)
	namefill.Fill("input", x, namefill.Input)
	nhwc, err := x.In(tensor.NHWC)
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{1, 3, 8, 16} {
		m := open(t, filledFile(t, nil), Options{Batch: batch, Threads: 2})
		logits, features, err := m.Forward(t.Context(), nhwc)
		if err != nil {
			t.Fatal(err)
		}
		golden.Close(t, "logits", logits, tensors["eval.logits"], 1e-4, 1e-4)
		if !features.Shape().Equal(tensor.Shape{8, 64}) {
			t.Errorf("features %v", features)
		}
		again, _, err := m.Forward(t.Context(), x)
		if err != nil || !slices.Equal(again.Float32s(), logits.Float32s()) {
			t.Errorf("NCHW gives other logits than NHWC (%v)", err)
		}
	}
}

// The last layer applied to the embedding gives the logits.
func TestEmbeddingIsTheLastLayersInput(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{TopK: 10})
	p := Image(picture(1, 40, 50))
	features, err := m.Embed(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	w, b := tensor.New(10, 64), tensor.New(10)
	namefill.Fill("fc.weight", w, namefill.Weight)
	namefill.Fill("fc.bias", b, namefill.Bias)
	logits := make([]float64, 10)
	sum := 0.0
	for k := range logits {
		logits[k] = float64(b.Float32s()[k])
		for i, f := range features {
			logits[k] += float64(w.Float32s()[k*64+i]) * float64(f)
		}
		sum += math.Exp(logits[k])
	}
	predictions, err := m.Classify(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for i, p := range predictions {
		total += p.Probability
		if want := math.Exp(logits[p.Index]) / sum; math.Abs(p.Probability-want) > 1e-5 {
			t.Errorf("%s: probability %v, want %v", p.Class, p.Probability, want)
		}
		if p.Class != letters[p.Index] {
			t.Errorf("class %d is called %s", p.Index, p.Class)
		}
		if i > 0 && p.Probability > predictions[i-1].Probability {
			t.Errorf("prediction %d is more probable than the one before", i)
		}
	}
	if len(predictions) != 10 || math.Abs(total-1) > 1e-9 {
		t.Errorf("%d predictions with probabilities of %v together", len(predictions), total)
	}
}

func TestBatchGoesOnAfterABadPicture(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{Batch: 4})
	var ps []Picture
	for i := range 11 {
		ps = append(ps, Image(picture(i, 32, 32)))
	}
	ps[5] = Encoded("broken.jpg", []byte("\xff\xd8\xff\xe0 no"))
	ps[6] = File("missing.jpg")
	results, err := m.ClassifyBatch(t.Context(), ps)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(ps) {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		if i == 5 || i == 6 {
			if r.Err == nil || !strings.Contains(r.Err.Error(), ps[i].Name) || r.Predictions != nil {
				t.Errorf("result %d: %+v", i, r)
			}
			continue
		}
		alone, err := m.Classify(t.Context(), ps[i])
		if err != nil || r.Err != nil || len(r.Predictions) != 5 {
			t.Fatalf("picture %d: %v, %v, %d predictions", i, err, r.Err, len(r.Predictions))
		}
		for k := range alone {
			if d := math.Abs(alone[k].Probability - r.Predictions[k].Probability); d > 1e-5 {
				t.Errorf("picture %d: probabilities alone and in a batch differ by %g", i, d)
			}
		}
	}
	if !errors.Is(results[6].Err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", results[6].Err)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{Threads: 2})
	want, err := m.Classify(t.Context(), Image(picture(3, 32, 32)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ps := slices.Repeat([]Picture{Image(picture(3, 32, 32))}, 1+i%3)
			rs, err := m.ClassifyBatch(t.Context(), ps)
			if err != nil {
				t.Error(err)
				return
			}
			for _, r := range rs {
				if r.Predictions[0].Class != want[0].Class || math.Abs(r.Predictions[0].Probability-want[0].Probability) > 1e-5 {
					t.Errorf("got %+v, want %+v", r.Predictions[0], want[0])
				}
			}
		})
	}
	wg.Wait()
}

func TestThreadsDoNotChangeBits(t *testing.T) {
	path := filledFile(t, nil)
	x := tensor.NewNHWC(5, 3, 32, 32)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i%101)/50 - 1
	}
	var want []float32
	for _, threads := range []int{1, 2, 8} {
		logits, _, err := open(t, path, Options{Threads: threads}).Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		got := logits.Float32s()
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d threads give other bits", threads)
		}
	}
}

func TestEndOfContextEndsTheWork(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{Batch: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := func(yield func(Picture) bool) {
		for i := 0; yield(Image(picture(i, 32, 32))); i++ {
		}
	}
	n := 0
	for _, err := range m.ClassifyAll(ctx, endless) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			break
		}
		if n++; n == 5 {
			cancel()
		}
		if n > 50 {
			t.Fatal("it goes on")
		}
	}
	if _, err := m.Classify(ctx, Image(picture(1, 32, 32))); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	for range m.ClassifyAll(t.Context(), endless) { // breaking off ends the decoding, too
		break
	}
}

func TestWeightsWithoutMetadata(t *testing.T) {
	bare := filledFile(t, func(f *weights.File) { f.Meta = weights.Meta{} })
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, "resnet20-cifar@"+bare, Options{Weights: WeightsOnly{Preprocess: &prep}})
	if got := m.Classes(); got[9] != "9" {
		t.Errorf("classes %v", got)
	}
	m = open(t, "resnet20-cifar@"+bare, Options{Weights: WeightsOnly{Preprocess: &prep, Classes: letters}})
	named, err := m.Classify(t.Context(), Image(picture(1, 32, 32)))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := open(t, filledFile(t, nil), Options{}).Classify(t.Context(), Image(picture(1, 32, 32)))
	if err != nil || !slices.Equal(named, whole) {
		t.Errorf("got %v, want %v, %v", named, whole, err)
	}
}

func TestMultiLabel(t *testing.T) {
	m := open(t, filledFile(t, func(f *weights.File) { f.MultiLabel = true }), Options{})
	one := open(t, filledFile(t, nil), Options{TopK: 10})
	p := Image(picture(1, 32, 32))
	multi, err := m.Classify(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	single, err := one.Classify(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(multi) != 10 {
		t.Fatalf("%d predictions", len(multi))
	}
	// The logits of the two differ by one constant for all classes.
	logit := func(p float64) float64 { return math.Log(p / (1 - p)) }
	for i := range multi {
		if multi[i].Class != single[i].Class {
			t.Fatalf("order %v and %v", multi, single)
		}
		d := (logit(multi[i].Probability) - logit(multi[0].Probability)) - (math.Log(single[i].Probability) - math.Log(single[0].Probability))
		if math.Abs(d) > 1e-4 {
			t.Errorf("%s: sigmoid's logit is off by %g", multi[i].Class, d)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	bare := filledFile(t, func(f *weights.File) { f.Meta = weights.Meta{} })
	short := filledFile(t, func(f *weights.File) { delete(f.Tensors, "layer1.0.bn1.weight") })
	nine := filledFile(t, func(f *weights.File) { f.Classes = letters[:9] })
	gray := filledFile(t, func(f *weights.File) {
		f.Preprocess = json.RawMessage(`{"channels":1,"width":32,"height":32,"interpolation":"bilinear","mean":[0],"std":[1]}`)
	})
	text := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(text, []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model string
		opt   Options
		want  string
	}{
		{filepath.Join(dir, "none.safetensors"), Options{}, "none.safetensors"},
		{t.TempDir(), Options{}, "is a folder"},
		{text, Options{}, text},
		{"resnet81", Options{}, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"resnet81@" + bare, Options{}, `unknown model "resnet81"`},
		{"resnet18", Options{}, "a network without weights"},
		{"resnet20-cifar@" + dir + "/none", Options{}, "none"},
		{bare, Options{}, "does not say which network"},
		{"resnet20-cifar@" + bare, Options{}, "a model for classification, does not say how pictures become inputs"},
		{"resnet20-cifar@" + bare, Options{Weights: WeightsOnly{Preprocess: &prep, Classes: letters[:3]}}, "has 10 classes, but there are names for 3"},
		{"resnet32-cifar@" + bare, Options{Weights: WeightsOnly{Preprocess: &prep}}, "layer1.3"},
		{filledFile(t, nil), Options{Weights: WeightsOnly{Preprocess: &prep}}, "has its own preprocessing"},
		{short, Options{}, "layer1.0.bn1.weight"},
		{nine, Options{}, "has 10 classes, but there are names for 9"},
		{gray, Options{}, "takes 3 channels, but its preprocessing gives 1"},
		{bare, Options{Threads: -1}, "Threads is -1"},
		{bare, Options{Batch: -1}, "Batch is -1"},
		{bare, Options{TopK: -1}, "TopK is -1"},
	} {
		if _, err := Open(c.model, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%q): error %v, want one with %q", c.model, err, c.want)
		}
	}
}

func TestNewIsUntrainedButWorks(t *testing.T) {
	m, err := New("resnet20-cifar", 1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := m.Classify(t.Context(), Image(picture(1, 100, 60))); err != nil || len(p) != 5 {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := New("resnt18", 1, Options{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
	for _, x := range []*tensor.Tensor{nil, tensor.New(7), tensor.New(1, 3, 32, 31), tensor.New(3, 32, 32), tensor.New(1, 32, 32, 3), tensor.NewInt64(1, 3, 32, 32)} {
		if _, _, err := m.Forward(t.Context(), x); err == nil || !strings.Contains(err.Error(), "must be float32[n 3 32 32]") {
			t.Errorf("inputs %v: %v", x, err)
		}
	}
}

// What Image makes of a decoded picture is what decoding its file gives.
func TestImageEqualsFile(t *testing.T) {
	gray16 := image.NewGray16(image.Rect(0, 0, 5, 4))
	for i := range gray16.Pix {
		gray16.Pix[i] = uint8(37 * i)
	}
	alpha := picture(2, 5, 4)
	for i := 3; i < len(alpha.Pix); i += 4 {
		alpha.Pix[i] = uint8(40 * i)
	}
	palette := image.NewPaletted(image.Rect(0, 0, 5, 4), color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 50, 255}})
	palette.Pix[7] = 1
	gray := image.NewGray(image.Rect(0, 0, 5, 4))
	copy(gray.Pix, alpha.Pix)
	for name, m := range map[string]image.Image{"RGB": picture(1, 5, 4), "alpha": alpha, "gray": gray, "gray 16": gray16, "palette": palette,
		"part": picture(3, 9, 9).SubImage(image.Rect(2, 3, 7, 7)), "gray part": gray.SubImage(image.Rect(1, 1, 4, 3))} {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		want, err := imaging.Decode(b.Bytes(), imaging.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rgb, got := new(imaging.Image), new(imaging.Image)
		imaging.Convert(rgb, want, 3)
		imaging.Convert(got, fromImage(m), 3)
		// Pixels of alpha 0 have no color once decoded by package image.
		for i := range rgb.Pix {
			if rgb.Pix[i] != got.Pix[i] && (name != "alpha" || alpha.Pix[i/3*4+3] != 0) {
				t.Errorf("%s: value %d is %d, want %d", name, i, got.Pix[i], rgb.Pix[i])
				break
			}
		}
	}
}

// A model reads its weights when a plan is compiled. It takes no harm from a file
// that is replaced by a rename, and reports one that was written to in place.
func TestFileThatChanges(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are read whole there")
	}
	path := filledFile(t, nil)
	want, _, err := open(t, path, Options{}).Forward(t.Context(), tensor.NewNHWC(2, 3, 32, 32))
	if err != nil {
		t.Fatal(err)
	}
	replaced, overwritten := open(t, path, Options{}), open(t, path, Options{})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := path + ".old"
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another file"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := replaced.Forward(t.Context(), tensor.NewNHWC(2, 3, 32, 32))
	if err != nil || !slices.Equal(got.Float32s(), want.Float32s()) {
		t.Errorf("after a rename: %v", err)
	}
	if err := os.WriteFile(old, b[:len(b)-1000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := overwritten.Forward(t.Context(), tensor.NewNHWC(2, 3, 32, 32)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("after it was written to: error %v, want one that names %s", err, path)
	}
	// What is compiled goes on working.
	if got, _, err := replaced.Forward(t.Context(), tensor.NewNHWC(2, 3, 32, 32)); err != nil || !slices.Equal(got.Float32s(), want.Float32s()) {
		t.Errorf("a compiled plan: %v", err)
	}
}
