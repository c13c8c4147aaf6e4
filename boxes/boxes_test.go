package boxes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/tensor"
)

// near returns whether two numbers differ by less than float32 rounding of
// functions such as exp and log, which libraries compute differently.
func near(a, b float32) bool {
	return a == b || a != a && b != b || math.Abs(float64(a-b)) <= 4e-7*math.Max(math.Abs(float64(a)), 1)*8
}

func boxesOf(t *tensor.Tensor) []Box {
	x := t.Float32s()
	out := make([]Box, len(x)/4)
	for i := range out {
		out[i] = Box{x[4*i], x[4*i+1], x[4*i+2], x[4*i+3]}
	}
	return out
}

func ints(t *tensor.Tensor) []int {
	out := make([]int, len(t.Int64s()))
	for i, v := range t.Int64s() {
		out[i] = int(v)
	}
	return out
}

func sameBoxes(t *testing.T, what string, got, want []Box, same func(a, b float32) bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d boxes, want %d", what, len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if !same(g.X1, w.X1) || !same(g.Y1, w.Y1) || !same(g.X2, w.X2) || !same(g.Y2, w.Y2) {
			t.Errorf("%s %d: %v, want %v", what, i, g, w)
		}
	}
}

func exact(a, b float32) bool { return a == b }

func TestGoldenPairs(t *testing.T) {
	g, _ := golden.Load(t, "testdata/boxes.safetensors")
	a, b := boxesOf(g["pairs.a"]), boxesOf(g["pairs.b"])
	iou, giou := g["pairs.iou"].Float32s(), g["pairs.giou"].Float32s()
	for i := range a {
		if got := IoU(a[i], b[i]); got != iou[i] && !(got != got && iou[i] != iou[i]) {
			t.Errorf("IoU of %v and %v is %v, want %v", a[i], b[i], got, iou[i])
		}
		if got := GIoU(a[i], b[i]); !near(got, giou[i]) {
			t.Errorf("GIoU of %v and %v is %v, want %v", a[i], b[i], got, giou[i])
		}
	}
	var clipped []Box
	for _, c := range boxesOf(g["clip.boxes"]) {
		clipped = append(clipped, c.Clip(90, 70))
	}
	sameBoxes(t, "clipped", clipped, boxesOf(g["clip.want"]), exact)
}

func TestGoldenCoder(t *testing.T) {
	g, _ := golden.Load(t, "testdata/boxes.safetensors")
	c := Coder{[4]float32{10, 10, 5, 5}}
	anchors, boxes, pairs := boxesOf(g["code.anchors"]), boxesOf(g["code.boxes"]), boxesOf(g["pairs.a"])
	codes, deltas := g["code.codes"].Float32s(), g["code.deltas"].Float32s()
	var decoded []Box
	for i := range anchors {
		for k, v := range c.Encode(boxes[i], anchors[i]) {
			if !near(v, codes[4*i+k]) {
				t.Errorf("code %d of %v at %v is %v, want %v", k, boxes[i], anchors[i], v, codes[4*i+k])
			}
		}
		decoded = append(decoded, c.Decode([4]float32(deltas[4*i:]), pairs[i]))
	}
	sameBoxes(t, "decoded", decoded, boxesOf(g["code.decoded"]), near)
}

// TestCoderInverse checks that decoding undoes encoding, for boxes of which the
// ratio is not bounded.
func TestCoderInverse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() Box {
		x, y := r.Float32()*500, r.Float32()*500
		return Box{x, y, x + 4 + r.Float32()*200, y + 4 + r.Float32()*200}
	}
	for _, c := range []Coder{{[4]float32{1, 1, 1, 1}}, {[4]float32{10, 10, 5, 5}}} {
		for range 1000 {
			a, b := random(), random()
			got := c.Decode(c.Encode(b, a), a)
			for i, d := range [4]float32{got.X1 - b.X1, got.Y1 - b.Y1, got.X2 - b.X2, got.Y2 - b.Y2} {
				if math.Abs(float64(d)) > 1e-3 {
					t.Fatalf("%v at %v comes back as %v (coordinate %d)", b, a, got, i)
				}
			}
		}
	}
}

func TestGoldenAnchors(t *testing.T) {
	g, meta := golden.Load(t, "testdata/boxes.safetensors")
	for name, a := range map[string]Anchors{"retinanet": RetinaNetAnchors(), "rpn": ProposalAnchors()} {
		var cells []Box
		for i := range a.Sizes {
			if n := a.PerPosition(i); n != len(a.Cell(i)) {
				t.Errorf("%s: PerPosition(%d) is %d, but the cell has %d", name, i, n, len(a.Cell(i)))
			}
			cells = append(cells, a.Cell(i)...)
		}
		sameBoxes(t, name+" cell", cells, boxesOf(g["cells."+name]), exact)
		var sizes [][2]int
		meta.Decode(t, "levels."+name, &sizes)
		var levels []Level
		for _, s := range sizes {
			levels = append(levels, Level{s[0], s[1]})
		}
		a.Sizes = a.Sizes[len(a.Sizes)-len(levels):]
		sameBoxes(t, name+" anchor", a.Grid(160, 224, levels), boxesOf(g["anchors."+name]), exact)
	}
}

func TestGoldenMatcher(t *testing.T) {
	g, _ := golden.Load(t, "testdata/boxes.safetensors")
	objects, anchors := boxesOf(g["match.objects"]), boxesOf(g["match.anchors"])
	for _, m := range []Matcher{{0.5, 0.4, true}, {0.7, 0.3, true}, {0.5, 0.5, false}} {
		key := fmt.Sprintf("match.%v.%v.%s", m.High, m.Low, map[bool]string{true: "True", false: "False"}[m.LowQuality])
		if got, want := m.Match(objects, anchors), ints(g[key]); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
		for i, v := range m.Match(nil, anchors) {
			if v != Below {
				t.Fatalf("anchor %d matches %d of no objects", i, v)
			}
		}
	}
}

func TestSampler(t *testing.T) {
	reverse := func(n int) []int {
		p := make([]int, n)
		for i := range p {
			p[i] = n - 1 - i
		}
		return p
	}
	match := []int{Below, 0, Between, 3, Below, 1, 2, Below, Below}
	for _, c := range []struct {
		s        Sampler
		pos, neg []int
	}{
		{Sampler{4, 0.5}, []int{5, 6}, []int{7, 8}},
		{Sampler{100, 0.5}, []int{1, 3, 5, 6}, []int{0, 4, 7, 8}},
		{Sampler{5, 0.5}, []int{5, 6}, []int{4, 7, 8}}, // int(2.5) positives
		{Sampler{6, 0}, nil, []int{0, 4, 7, 8}},
	} {
		pos, neg := c.s.Sample(match, reverse)
		if !slices.Equal(pos, c.pos) || !slices.Equal(neg, c.neg) {
			t.Errorf("%+v: %v and %v, want %v and %v", c.s, pos, neg, c.pos, c.neg)
		}
	}
}

func TestGoldenNMS(t *testing.T) {
	g, _ := golden.Load(t, "testdata/boxes.safetensors")
	for _, n := range []int{200, 1001} {
		key := fmt.Sprintf("nms.%d.", n)
		boxes, scores, groups := boxesOf(g[key+"boxes"]), g[key+"scores"].Float32s(), ints(g[key+"groups"])
		if got, want := NMS(boxes, scores, 0.5), ints(g[key+"keep"]); !slices.Equal(got, want) {
			t.Errorf("NMS of %d: %v, want %v", n, got, want)
		}
		if got, want := BatchedNMS(boxes, scores, groups, 0.5), ints(g[key+"batched"]); !slices.Equal(got, want) {
			t.Errorf("BatchedNMS of %d: %v, want %v", n, got, want)
		}
		if n == 1001 {
			var large []Box
			for _, b := range boxes[:1000] {
				large = append(large, b.Scale(500, 500))
			}
			if got, want := BatchedNMS(large, scores[:1000], groups[:1000], 0.5), ints(g["nms.1000.batched"]); !slices.Equal(got, want) {
				t.Errorf("BatchedNMS of 1000 large boxes: %v, want %v", got, want)
			}
		}
	}
}

// TestNMSLaws checks what holds for any boxes, NaN and degenerate ones too: the
// boxes that are kept do not overlap by more than the threshold, every other box
// does with a kept one of no lower score, and one group of finite boxes is the
// same as none.
func TestNMSLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n := r.IntN(40)
		boxes, scores := make([]Box, n), make([]float32, n)
		for i := range boxes {
			boxes[i] = Box{float32(r.IntN(8)), float32(r.IntN(8)), float32(r.IntN(12)), float32(r.IntN(12))}
			scores[i] = float32(r.IntN(5))
			if r.IntN(30) == 0 {
				boxes[i].X2 = float32(math.NaN())
			}
		}
		kept := NMS(boxes, scores, 0.4)
		for a, i := range kept {
			for _, j := range kept[a+1:] {
				if float64(IoU(boxes[i], boxes[j])) > 0.4 {
					t.Fatalf("%v and %v are both kept", boxes[i], boxes[j])
				}
				if scores[i] < scores[j] {
					t.Fatalf("score %v comes before %v", scores[i], scores[j])
				}
			}
		}
		for j := range boxes {
			suppressed := slices.ContainsFunc(kept, func(i int) bool {
				return float64(IoU(boxes[i], boxes[j])) > 0.4 && scores[i] >= scores[j]
			})
			if !slices.Contains(kept, j) && !suppressed {
				t.Fatalf("%v is dropped without a reason", boxes[j])
			}
		}
		finite := !slices.ContainsFunc(boxes, func(b Box) bool { return !b.Finite() }) // shifting by NaN makes all NaN
		if got := BatchedNMS(boxes, scores, make([]int, n), 0.4); finite && !slices.Equal(got, kept) {
			t.Fatalf("one group gives %v, NMS %v", got, kept)
		}
	}
}

// TestTopK compares with a sort of everything.
func TestTopK(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		scores := make([]float32, r.IntN(60))
		order := make([]int, len(scores))
		for i := range scores {
			order[i] = i
			if scores[i] = float32(r.IntN(20)); scores[i] == 0 {
				scores[i] = float32(math.NaN())
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return descending(scores[a], scores[b]) })
		k := r.IntN(12)
		if got, want := TopK(scores, k), order[:min(k, len(order))]; !slices.Equal(got, want) {
			t.Fatalf("the best %d of %v are %v, want %v", k, scores, got, want)
		}
	}
}

func TestFinite(t *testing.T) {
	inf := float32(math.Inf(1))
	for b, want := range map[Box]bool{{1, 2, 3, 4}: true, {-inf, 0, 0, 0}: false, {0, inf, 0, inf}: false, {}: true} {
		if got := b.Finite(); got != want {
			t.Errorf("Finite of %v is %v", b, got)
		}
	}
	if (Box{Y2: float32(math.NaN())}).Finite() {
		t.Error("NaN is finite")
	}
}
