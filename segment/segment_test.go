package segment_test

import (
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/segment"
)

func network(t *testing.T, classes, resize int) *segment.Network {
	t.Helper()
	net, err := models.New("unet_resnet20-cifar", models.Classes(classes))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	r, err := infer.New(net, nil, infer.Options{Plans: 2})
	if err != nil {
		t.Fatal(err)
	}
	p := data.Preprocess{Channels: 3, Width: 32, Height: 32, Resize: resize, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	n, err := segment.New(r, p, classes, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnySize: pictures of any size get masks of their size, with more shapes than
// plans are kept, and the same one each time.
func TestAnySize(t *testing.T) {
	n := network(t, 4, 24)
	masks := map[[2]int]*segment.Mask{}
	for range 2 {
		for _, size := range [][2]int{{40, 30}, {24, 24}, {31, 57}, {1, 1}, {1, 9}, {100, 20}} {
			m := imaging.New(size[0], size[1], 3)
			for i := range m.Pix {
				m.Pix[i] = uint8(i * 13)
			}
			mask, err := n.Segment(t.Context(), m)
			if err != nil {
				t.Fatalf("%v: %v", size, err)
			}
			if mask.W != size[0] || mask.H != size[1] || len(mask.Pix) != size[0]*size[1] {
				t.Errorf("a mask of %d x %d for a picture of %v", mask.W, mask.H, size)
			}
			if before := masks[size]; before != nil && !slices.Equal(before.Pix, mask.Pix) {
				t.Errorf("%v has another mask the second time", size)
			}
			masks[size] = mask
		}
	}
	if _, err := n.Segment(t.Context(), imaging.New(20000, 1, 3)); err == nil || !strings.Contains(err.Error(), "smaller") {
		t.Errorf("a picture whose input would be huge: %v", err)
	}
}

// TestEvaluate compares the figures with a plain computation from the logits.
func TestEvaluate(t *testing.T) {
	ds := data.Masks(sceneSplits(t, 7, 1).Train)
	n := network(t, 3, 0)
	e, err := n.Evaluate(t.Context(), ds, segment.EvaluateOptions{Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	var hits, union [3]float64
	loss, pixels, right := 0.0, 0.0, 0.0
	for i := range ds.Len() {
		var m, mask imaging.Image
		if err := data.DecodeMasked(ds, i, &m, &mask); err != nil {
			t.Fatal(err)
		}
		z, err := n.Logits(t.Context(), &m)
		if err != nil {
			t.Fatal(err)
		}
		for at, truth := range mask.Pix {
			sum, best, found := 0.0, math.Inf(-1), 0
			for c := range 3 {
				v := float64(z.Float32s()[c*48*48+at])
				sum += math.Exp(v)
				if v > best {
					best, found = v, c
				}
			}
			loss += math.Log(sum) - float64(z.Float32s()[int(truth)*48*48+at])
			pixels++
			union[truth]++
			if found == int(truth) {
				hits[found]++
				right++
			} else {
				union[found]++
			}
		}
	}
	miou := (hits[0]/union[0] + hits[1]/union[1] + hits[2]/union[2]) / 3
	if math.Abs(e.MeanIoU-miou) > 1e-9 || math.Abs(e.PixelAccuracy-right/pixels) > 1e-9 || math.Abs(e.Loss-loss/pixels) > 1e-5 || e.Pictures != 7 {
		t.Errorf("mIoU %v, pixel accuracy %v, loss %v of %d pictures; want %v, %v, %v", e.MeanIoU, e.PixelAccuracy, e.Loss, e.Pictures, miou, right/pixels, loss/pixels)
	}
	one, err := n.Evaluate(t.Context(), ds, segment.EvaluateOptions{})
	if err != nil || one.MeanIoU != e.MeanIoU {
		t.Errorf("one by one: mIoU %v, %v; in batches %v", one, err, e.MeanIoU)
	}
}

// broken is a dataset with a sample that cannot be decoded.
type broken struct {
	data.MaskDataset
	bad int
}

func (b broken) DecodeMask(i int, dst *imaging.Image) error {
	if i == b.bad {
		return errors.New("broken")
	}
	return b.MaskDataset.DecodeMask(i, dst)
}

func TestEvaluateSkips(t *testing.T) {
	ds := data.Masks(sceneSplits(t, 4, 1).Train)
	n := network(t, 3, 0)
	var bad *data.SampleError
	if _, err := n.Evaluate(t.Context(), broken{ds, 2}, segment.EvaluateOptions{}); !errors.As(err, &bad) || bad.Index != 2 {
		t.Errorf("a bad sample: %v", err)
	}
	e, err := n.Evaluate(t.Context(), broken{ds, 2}, segment.EvaluateOptions{SkipBad: true})
	if err != nil || e.Skipped != 1 || e.Pictures != 3 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestEvaluateShared: processes that share an evaluation of pictures of several sizes, one
// of which cannot be decoded, find what one process does, to the bits.
func TestEvaluateShared(t *testing.T) {
	ds := broken{data.Masks(scenesOf(t, 23, 1, 56).Train), 6}
	n := network(t, 3, 0)
	opt := segment.EvaluateOptions{Batch: 4, SkipBad: true}
	want, err := n.Evaluate(t.Context(), ds, opt)
	if err != nil || want.Pictures != 22 || want.Skipped != 1 || want.Loss == 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	for _, of := range []int{2, 4, 9} {
		var all []segment.Found
		for r := range of {
			part := opt
			part.Part = data.Part{Of: of, From: r, To: r + 1}
			part.Gather = func(own segment.Found) ([]segment.Found, error) {
				all = append(all, own)
				return all, nil
			}
			got, err := n.Evaluate(t.Context(), ds, part)
			if r == of-1 && (err != nil || !reflect.DeepEqual(got, want)) {
				t.Errorf("%d processes: %+v, %v; want %+v", of, got, err, want)
			}
			all = slices.Clone(all)
		}
	}
	opt.Part = data.Part{Of: 2, From: 2, To: 3}
	if _, err := n.Evaluate(t.Context(), ds, opt); err == nil {
		t.Error("a part that is none is no error")
	}
}

// sceneSplits returns scenes of 48 x 48 pixels with bags and trousers, and their masks.
func sceneSplits(t *testing.T, train, val int) *data.Splits {
	t.Helper()
	return scenesOf(t, train, val, 48)
}

// scenesOf is sceneSplits with sides of 48 to a maximum.
func scenesOf(t *testing.T, train, val, side int) *data.Splits {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: train, Val: val, MinSide: 48, MaxSide: side, MaxObjects: 1, Seed: 2, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	s, err := segmentation.Open(t.Context(), "voc:"+dir, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
