package models

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// sampleInputs makes random proposals and objects of pictures of 60 x 80.
func sampleInputs(rng *philox.Rand, images, proposals, objects int) []*tensor.Tensor {
	box := func(row []float32) {
		x, y := float32(rng.Uniform(0, 70)), float32(rng.Uniform(0, 50))
		copy(row, []float32{x, y, x + float32(rng.Uniform(1, 10)), y + float32(rng.Uniform(1, 10))})
	}
	rois, truth, sizes, draw := tensor.New(images*proposals, 5), tensor.New(images*objects, 5), tensor.New(images, 2), tensor.NewInt64(2)
	unused(rois.Float32s(), 5, 0)
	for n := range images {
		copy(sizes.Float32s()[2*n:], []float32{60, 80})
		for k := range rng.IntN(objects + 1) {
			row := truth.Float32s()[5*(n*objects+k):][:5]
			box(row)
			row[4] = float32(1 + rng.IntN(3))
		}
		for k := range rng.IntN(proposals + 1) {
			row := rois.Float32s()[5*(n*proposals+k):][:5]
			row[0] = float32(n)
			if k%2 == 0 { // near an object
				copy(row[1:], truth.Float32s()[5*(n*objects+rng.IntN(objects)):][:4])
				row[3] += float32(rng.Uniform(0, 2))
			}
			if k%2 == 1 || row[3] <= row[1] {
				box(row[1:])
			}
		}
	}
	draw.Int64s()[0], draw.Int64s()[1] = int64(rng.IntN(99)), int64(rng.IntN(99))
	return []*tensor.Tensor{rois, truth, sizes, draw}
}

func compute(t *testing.T, op graph.HostOp, in ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	var types []graph.Type
	for _, x := range in {
		types = append(types, graph.Type{DType: x.DType(), Shape: x.Shape()})
	}
	outs, err := op.Infer(types)
	if err != nil {
		t.Fatal(err)
	}
	var out []*tensor.Tensor
	for _, o := range outs {
		if o.DType == tensor.Int64 {
			x := tensor.NewInt64(o.Shape...)
			for i := range x.Int64s() {
				x.Int64s()[i] = -77 // the elements are undefined before
			}
			out = append(out, x)
			continue
		}
		x := tensor.New(o.Shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(math.NaN())
		}
		out = append(out, x)
	}
	if err := op.Compute(in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSampleBoxes: of any proposals and objects, a sample has at most a quarter of
// objects, which overlap it by half; the background does not; the weights are one over
// the number sampled; rows beyond repeat others and do not count.
func TestSampleBoxes(t *testing.T) {
	rng := philox.Keyed(1, 2, 3, 4)
	coder := boxes.Coder{Weights: boxWeights}
	for range 300 {
		op := sampling{images: 1 + rng.IntN(3), objects: 1 + rng.IntN(5), samples: 4 + rng.IntN(40)}
		in := sampleInputs(&rng, op.images, 1+rng.IntN(40), op.objects)
		out := compute(t, op, in...)
		rows, classes, match, index, target, weight := out[0].Float32s(), out[1].Int64s(), out[2].Int64s(), out[3].Int64s(), out[4].Float32s(), out[5].Float32s()
		truth := in[1].Float32s()
		total := 0
		for _, c := range classes {
			if c != graph.IgnoreLabel {
				total++
			}
		}
		for n := range op.images {
			positives := 0
			for k := range op.samples {
				at := n*op.samples + k
				box := boxAt(rows, 5*at+1)
				if rows[5*at] != float32(n) || !box.Finite() {
					t.Fatalf("row %d is %v", at, rows[5*at:5*at+5])
				}
				best := float32(0)
				for o := n * op.objects; o < (n+1)*op.objects; o++ {
					if truth[5*o+4] >= 1 {
						best = max(best, boxes.IoU(boxAt(truth, 5*o), box))
					}
				}
				switch c := classes[at]; {
				case c == graph.IgnoreLabel:
					if weight[at] != 0 || match[at] != -1 || !slices.Equal(rows[5*at:5*at+5], rows[5*(n*op.samples+k%(op.samples-count(classes[n*op.samples:][:op.samples], graph.IgnoreLabel))):][:5]) {
						t.Fatalf("the unused row %d counts or repeats nothing", at)
					}
				case c == 0:
					if weight[at] != 0 || match[at] != -1 || best >= 0.5 {
						t.Fatalf("the background %v overlaps an object by %v, weight %v", box, best, weight[at])
					}
				default:
					positives++
					o := int(match[at])
					if best < 0.5 || truth[5*o+4] != float32(c) || boxes.IoU(boxAt(truth, 5*o), box) != best || weight[at] != 1/float32(total) {
						t.Fatalf("the object %d at %v: overlap %v, class %v, weight %v of %d", o, box, best, c, weight[at], total)
					}
					if index[4*at] != 4*c || index[4*at+3] != 4*c+3 {
						t.Fatalf("the columns of class %d are %v", c, index[4*at:4*at+4])
					}
					back := coder.Decode([4]float32(target[4*at:]), box)
					if want := boxAt(truth, 5*o); math.Abs(float64(back.X1-want.X1)) > 1e-3 || math.Abs(float64(back.Y2-want.Y2)) > 1e-3 {
						t.Fatalf("the target leads to %v, want %v", back, want)
					}
				}
			}
			if positives > op.positives() {
				t.Fatalf("%d of %d are objects", positives, op.samples)
			}
		}
		again := compute(t, op, in...)
		for i := range out {
			if out[i].DType() == tensor.Float32 && !slices.Equal(out[i].Float32s(), again[i].Float32s()) || out[i].DType() == tensor.Int64 && !slices.Equal(out[i].Int64s(), again[i].Int64s()) {
				t.Fatal("the sample differs when it is drawn again")
			}
		}
	}
}

// TestMaskTargets compares the targets of masks with RoIAlign, which choose the number
// of samples by the box as torchvision does.
func TestMaskTargets(t *testing.T) {
	const h, w, stride, objects, samples = 60, 80, 96, 3, 40
	rng := philox.Keyed(5, 6, 7, 8)
	for range 20 {
		s := sampling{images: 2, objects: objects, samples: samples}
		in := sampleInputs(&rng, 2, 30, objects)
		out := compute(t, s, in...)
		words := (h*stride + 63) / 64
		bits := tensor.NewInt64(2*objects, words)
		maps := tensor.New(2*objects, 1, h, w)
		for o := range 2 * objects {
			for y := range h {
				for x := range w {
					if rng.IntN(3) == 0 {
						maps.Float32s()[(o*h+y)*w+x] = 1
						p := y*stride + x
						bits.Int64s()[o*words+p>>6] |= 1 << (p & 63)
					}
				}
			}
		}
		op := maskTargets{images: 2, samples: samples, positives: s.positives(), objects: objects, width: stride}
		got := compute(t, op, out[0], out[2], in[1], in[2], bits)
		rois, used := tensor.New(2*s.positives(), 5), 0
		unused(rois.Float32s(), 5, 0)
		for n := range 2 {
			for k := range s.positives() {
				at, m := n*s.positives()+k, out[2].Int64s()[n*samples+k]
				if m < 0 {
					if got[3].Float32s()[at] != 0 {
						t.Fatalf("the unused mask %d counts", at)
					}
					continue
				}
				used++
				row := rois.Float32s()[5*at:][:5]
				copy(row, got[0].Float32s()[5*at:5*at+5])
				row[0] = float32(m)
			}
		}
		g := &graph.Graph{}
		x, err := g.Input("x", graph.F32(maps.Shape()...))
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.Input("r", graph.F32(rois.Shape()...))
		if err != nil {
			t.Fatal(err)
		}
		y := g.Must1(graph.RoIAlign{OH: MaskSize, OW: MaskSize, Scale: 1}, x, r)
		result, err := ref.Run(g, nil, map[string]*tensor.Tensor{"x": maps, "r": rois})
		if err != nil {
			t.Fatal(err)
		}
		want := result.Value(y).Float32s()
		const size = MaskSize * MaskSize
		for at, v := range got[3].Float32s() {
			if v == 0 {
				continue
			}
			if math.Abs(float64(v)*float64(used)*size-1) > 1e-5 {
				t.Fatalf("the weight of a mask's pixels is %v with %d masks", v, used)
			}
			for i := at * size; i < (at+1)*size; i++ {
				if d := math.Abs(float64(got[2].Float32s()[i] - want[i])); d > 1e-4 {
					t.Fatalf("mask %d, pixel %d: %v, want %v", at, i%size, got[2].Float32s()[i], want[i])
				}
			}
		}
	}
}
