package engine

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// cifarNet builds the CIFAR ResNet of depth 6n+2 (He et al. 2015, section 4.2)
// straight in graph operators, with SGD where train is set.
func cifarNet(tb testing.TB, n, batch int, train bool) (*graph.Graph, *Vars) {
	tb.Helper()
	g, vars := &graph.Graph{}, NewVars()
	var params []*graph.Value
	variable := func(name string, fill func(i int) float32, trained bool, shape ...int) *graph.Value {
		v, err := g.Variable(name, graph.F32(shape...))
		if err != nil {
			tb.Fatal(err)
		}
		x := tensor.New(shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = fill(i)
		}
		if err := vars.Set(name, x); err != nil {
			tb.Fatal(err)
		}
		if trained {
			params = append(params, v)
		}
		return v
	}
	one := func(int) float32 { return 1 }
	zero := func(int) float32 { return 0 }
	noise := func(i int) float32 { return float32(i*7919%1000-500) * 2e-4 }
	conv := func(name string, x *graph.Value, k, stride int) *graph.Value {
		w := variable(name+".weight", noise, true, k, x.Shape[1], 3, 3)
		h := g.Must1(graph.Conv2d{StrideH: stride, StrideW: stride, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}, x, w)
		in := []*graph.Value{h, variable(name+".gamma", one, true, k), variable(name+".beta", zero, true, k),
			variable(name+".mean", zero, false, k), variable(name+".var", one, false, k)}
		if !train {
			return g.Must1(graph.BatchNorm{Eps: 1e-5}, in...)
		}
		out := g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, in...)
		if err := g.Assign(in[3], out[3]); err != nil {
			tb.Fatal(err)
		}
		if err := g.Assign(in[4], out[4]); err != nil {
			tb.Fatal(err)
		}
		return out[0]
	}
	relu := func(x *graph.Value) *graph.Value { return g.Must1(graph.Unary{Fn: graph.Relu}, x) }
	x, err := g.Input("image", graph.F32(batch, 3, 32, 32))
	if err != nil {
		tb.Fatal(err)
	}
	h := relu(conv("conv1", x, 16, 1))
	for stage := 0; stage < 3; stage++ {
		for i := 0; i < n; i++ {
			k, stride, short := 16<<stage, 1, h
			if stage > 0 && i == 0 {
				stride = 2
				short = g.Must1(graph.Slice{Axis: 2, Count: h.Shape[2] / 2, Step: 2}, short)
				short = g.Must1(graph.Slice{Axis: 3, Count: h.Shape[3] / 2, Step: 2}, short)
				short = g.Must1(graph.Pad{Axis: 1, Before: k / 4, After: k / 4}, short)
			}
			name := fmt.Sprintf("layer%d.%d", stage+1, i)
			y := conv(name+".b", relu(conv(name+".a", h, k, stride)), k, 1)
			h = relu(g.Must1(graph.Binary{Fn: graph.Add}, y, short))
		}
	}
	h = g.Must1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, h)
	logits := g.Must1(graph.Linear{}, h, variable("fc.weight", noise, true, 10, 64), variable("fc.bias", zero, true, 10))
	if !train {
		g.Output("logits", logits)
		return g, vars
	}
	labels, _ := g.Input("labels", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{batch}})
	lr, _ := g.Input("lr", graph.F32())
	loss := g.Must1(graph.CrossEntropy{}, logits, labels)
	grads, err := g.Gradients(loss, params)
	if err != nil {
		tb.Fatal(err)
	}
	for i, p := range append([]*graph.Value(nil), params...) {
		v := variable("momentum."+p.Node.Op.(graph.Variable).Label, zero, false, p.Shape...)
		out := g.Must(graph.SGD{Momentum: 0.9, WeightDecay: 1e-4, Nesterov: true}, p, grads[i], v, lr)
		if err := g.Assign(p, out[0]); err != nil {
			tb.Fatal(err)
		}
		if err := g.Assign(v, out[1]); err != nil {
			tb.Fatal(err)
		}
	}
	g.Output("loss", loss)
	return g, vars
}

func cifarInputs(p *Plan) []*tensor.Tensor {
	var in []*tensor.Tensor
	for _, port := range p.Inputs() {
		if port.DType == tensor.Int64 {
			t := tensor.NewInt64(port.Shape...)
			for i := range t.Int64s() {
				t.Int64s()[i] = int64(i % 10)
			}
			in = append(in, t)
			continue
		}
		t := tensor.New(port.Shape...)
		if port.Layout == tensor.NHWC {
			t = tensor.NewNHWC(port.Shape[0], port.Shape[1], port.Shape[2], port.Shape[3])
		}
		for i := range t.Float32s() {
			t.Float32s()[i] = float32(i*31%255)/127 - 1
		}
		if port.Name == "lr" {
			t.Float32s()[0] = 0.01
		}
		in = append(in, t)
	}
	return in
}

func BenchmarkTrainResNet20(b *testing.B) {
	g, vars := cifarNet(b, 3, 128, true)
	for _, n := range g.Nodes {
		if in, ok := n.Op.(graph.Input); ok && in.Label == "image" {
			in.Layout = tensor.NHWC
			n.Op = in
		}
	}
	p, err := Compile(g, vars, Options{})
	if err != nil {
		b.Fatal(err)
	}
	in := cifarInputs(p)
	if err := p.Run(in, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := p.Run(in, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*128/b.Elapsed().Seconds(), "images/s")
	b.StopTimer()
	profile(b, p, in)
}

// profile logs the time by operator, best of three runs.
func profile(b *testing.B, p *Plan, in []*tensor.Tensor) {
	best := map[string]time.Duration{}
	flops := map[string]int64{}
	var total time.Duration
	for i := 0; i < 3; i++ {
		times, err := p.Profile(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		now, sum := map[string]time.Duration{}, time.Duration(0)
		f := map[string]int64{}
		for _, s := range times {
			key := s.Name
			if at := strings.LastIndex(key, "("); at >= 0 {
				key = key[at:]
			}
			now[key] += s.Time
			f[key] += s.FLOPs
			sum += s.Time
		}
		if total == 0 || sum < total {
			total, best, flops = sum, now, f
		}
	}
	keys := make([]string, 0, len(best))
	for k := range best {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return best[keys[i]] > best[keys[j]] })
	for _, k := range keys {
		b.Logf("%-40s %9.3f ms %5.1f%% %7.1f GFLOP/s", k, best[k].Seconds()*1e3, 100*best[k].Seconds()/total.Seconds(), float64(flops[k])/best[k].Seconds()/1e9)
	}
	b.Logf("arena %.1f MB, %d steps", float64(p.ArenaBytes())/1e6, len(p.steps))
}

func TestSameBitsAtAnyThreadCount(t *testing.T) {
	var want map[string]*tensor.Tensor
	for _, workers := range []int{1, 2, 8} {
		g, vars := cifarNet(t, 1, 6, true)
		p, err := Compile(g, vars, Options{Threads: workers})
		if err != nil {
			t.Fatal(err)
		}
		in := cifarInputs(p)
		for step := 0; step < 3; step++ {
			if err := p.Run(in, nil); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]*tensor.Tensor{}
		for _, name := range vars.Names() {
			got[name], _ = vars.Get(name)
		}
		if want == nil {
			want = got
			continue
		}
		for name, w := range want {
			for i, v := range w.Float32s() {
				if got[name].Float32s()[i] != v {
					t.Fatalf("%d workers: %s[%d] is %g, with one worker %g", workers, name, i, got[name].Float32s()[i], v)
				}
			}
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	g, vars := cifarNet(t, 1, 4, true)
	p, err := Compile(g, vars, Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := cifarInputs(p)
	if n := testing.AllocsPerRun(5, func() {
		if err := p.Run(in, nil); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per run", n)
	}
}
