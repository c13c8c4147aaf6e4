package detect

import (
	"math"
	"os"
	"testing"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// lossGolden is a golden of losses; see testdata/gen/detect.py.
type lossGolden struct {
	Change map[string][2]float32
	Params []string
	Boxes  [][][4]float32
	Labels [][]int64
}

// batch returns the golden's batch.
func (l *lossGolden) batch() *detection.Batch {
	const capacity = 4
	b := &detection.Batch{N: len(l.Boxes), Real: len(l.Boxes), H: 96, W: 128, Capacity: capacity}
	for i, bs := range l.Boxes {
		b.Valid = append(b.Valid, len(bs))
		b.Sizes = append(b.Sizes, [2]int{96, 128})
		for k := range capacity {
			var box [4]float32
			label := int64(-1)
			if k < len(bs) {
				box, label = bs[k], l.Labels[i][k]
			}
			b.Boxes, b.Labels = append(b.Boxes, box[:]...), append(b.Labels, label)
		}
		var ms []*masks.Bitmap
		for _, box := range bs {
			ms = append(ms, ellipse(box))
		}
		b.Masks = append(b.Masks, ms)
	}
	return b
}

// ellipse is the mask inside a box, in a picture of 96 x 128.
func ellipse(b [4]float32) *masks.Bitmap {
	const h, w = 96, 128
	bits := make([]uint8, h*w)
	for i := range bits {
		x, y := float64(i%w)+0.5, float64(i/w)+0.5
		dx := 2 * (x - float64(b[0]+b[2])/2) / float64(b[2]-b[0])
		dy := 2 * (y - float64(b[1]+b[3])/2) / float64(b[3]-b[1])
		if dx*dx+dy*dy <= 1 {
			bits[i] = 1
		}
	}
	return masks.NewBitmap(bits, h, w)
}

// TestGoldenLosses compares the losses of a batch and their gradients with
// torchvision: the norm of each parameter's gradient, and its product with fixed
// numbers. R-CNNs learn of all anchors and boxes, so that nothing is random.
func TestGoldenLosses(t *testing.T) {
	for _, kind := range []string{"retinanet", "fasterrcnn", "maskrcnn"} {
		for _, v2 := range []string{"", "_v2"} {
			if kind == "fasterrcnn" && os.Getenv("RESNET_NIGHTLY") != "1" {
				continue // maskrcnn has all of it
			}
			t.Run(kind+v2, func(t *testing.T) { testGoldenLosses(t, kind+v2, kind+"_resnet18_fpn"+v2) })
		}
	}
}

func testGoldenLosses(t *testing.T, file, name string) {
	want, meta := golden.Load(t, "testdata/loss_"+file+".safetensors")
	var g lossGolden
	meta.Decode(t, "attrs", &g)
	net, vars := filledNet(t, name, g.Change)
	net.Config.Detection.Proposals = 30 // of which training keeps twice as many
	b := g.batch()
	training, err := NewTraining(net, b.Capacity, Sampling{Anchors: 8192, Boxes: 96})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := nn.Trace(training.Module(), nn.TraceOptions{Input: graph.F32(2, 3, 96, 128)})
	if err != nil {
		t.Fatal(err)
	}
	loss, err := training.Loss(tr)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loss.Parts {
		tr.Graph.Output(p.Name, p.Value)
	}
	in, err := training.Targets(b, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	compareLosses(t, tr, loss, in, vars, &g, want)
}

func compareLosses(t *testing.T, tr *nn.Traced, loss *Loss, in infer.Tensors, vars *engine.Vars, g *lossGolden, want map[string]*tensor.Tensor) {
	t.Helper()
	values := map[string]*graph.Value{}
	for _, p := range tr.Params {
		values[p.Name] = p.Value
	}
	var wrt []*graph.Value
	for _, name := range g.Params {
		if values[name] == nil {
			t.Fatalf("the network does not read %s", name)
		}
		wrt = append(wrt, values[name])
	}
	grads, err := tr.Graph.Gradients(loss.Total, wrt)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range grads {
		tr.Graph.Output("grad "+g.Params[i], d)
	}
	plan, err := engine.Compile(tr.Graph, vars, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(2, 3, 96, 128)
	namefill.Fill("batch", x, namefill.Input)
	in[nn.ImageInput] = x
	call, err := infer.Bind(plan, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Run(); err != nil {
		t.Fatal(err)
	}
	out := call.Outputs()
	for _, p := range loss.Parts {
		got, w := float64(out[p.Name].Float32s()[0]), float64(want["loss."+p.Name].Float32s()[0])
		if !(math.Abs(got-w) <= 1e-4*math.Abs(w)) {
			t.Errorf("the loss %s is %g, want %g", p.Name, got, w)
		}
	}
	for i, name := range g.Params {
		d := out["grad "+name]
		dot := tensor.New(d.Shape()...)
		namefill.Fill("dot."+name, dot, namefill.Input)
		square, sum := 0., 0.
		for k, v := range d.Float32s() {
			square += float64(v) * float64(v)
			sum += float64(v) * float64(dot.Float32s()[k])
		}
		norm, wantNorm, wantSum := math.Sqrt(square), float64(want["norms"].Float32s()[i]), float64(want["sums"].Float32s()[i])
		if !(math.Abs(norm-wantNorm) <= 1e-3*wantNorm+1e-7) || !(math.Abs(sum-wantSum) <= 2e-3*wantNorm+1e-7) {
			t.Errorf("the gradient of %s has norm %g and product %g, want %g and %g", name, norm, sum, wantNorm, wantSum)
		}
	}
}

// TestTargetsRefuse checks that objects that cannot be learned are errors.
func TestTargetsRefuse(t *testing.T) {
	l := &RetinaLoss{images: 1, classes: 5, anchors: []boxes.Box{{X1: 0, Y1: 0, X2: 10, Y2: 10}}}
	nan := float32(math.NaN())
	for _, c := range []struct {
		box   [4]float32
		label int64
		ok    bool
	}{
		{[4]float32{1, 1, 8, 8}, 4, true},
		{[4]float32{1, 1, 8, 8}, 5, false},
		{[4]float32{1, 1, 8, 8}, -1, false},
		{[4]float32{8, 1, 8, 8}, 1, false},
		{[4]float32{9, 1, 8, 8}, 1, false},
		{[4]float32{1, nan, 8, 8}, 1, false},
	} {
		b := &detection.Batch{N: 1, Real: 1, Capacity: 1, Valid: []int{1}, Boxes: c.box[:], Labels: []int64{c.label}}
		if _, err := l.Targets(b); (err == nil) != c.ok {
			t.Errorf("the box %v of class %d: %v", c.box, c.label, err)
		}
	}
	if _, err := l.Targets(&detection.Batch{N: 2}); err == nil {
		t.Error("a batch of another size is no error")
	}
}
