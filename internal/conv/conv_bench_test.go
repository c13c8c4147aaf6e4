package conv

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// benchLayer is a layer of a network as it is trained.
type benchLayer struct {
	name string
	conv Conv
}

var benchLayers = []benchLayer{
	{"stem7x7", conv(4, 224, 224, 3, 64, 7, 2, 3)},
	{"56x56x64_3x3", conv(4, 56, 56, 64, 64, 3, 1, 1)},
	{"28x28x128_3x3", conv(8, 28, 28, 128, 128, 3, 1, 1)},
	{"14x14x256_3x3", conv(8, 14, 14, 256, 256, 3, 1, 1)},
	{"7x7x512_3x3", conv(8, 7, 7, 512, 512, 3, 1, 1)},
	{"56x56x64-128_3x3s2", conv(8, 56, 56, 64, 128, 3, 2, 1)},
	{"28x28x128-256_3x3s2", conv(8, 28, 28, 128, 256, 3, 2, 1)},
	{"14x14x256-512_3x3s2", conv(8, 14, 14, 256, 512, 3, 2, 1)},
	{"56x56x64-128_1x1s2", conv(8, 56, 56, 64, 128, 1, 2, 0)},
	{"14x14x256-512_1x1s2", conv(8, 14, 14, 256, 512, 1, 2, 0)},
	{"56x56x64-256_1x1", conv(4, 56, 56, 64, 256, 1, 1, 0)},
	{"56x56x256-64_1x1", conv(4, 56, 56, 256, 64, 1, 1, 0)},
	{"28x28x512-128_1x1", conv(8, 28, 28, 512, 128, 1, 1, 0)},
	{"28x28x128-512_1x1", conv(8, 28, 28, 128, 512, 1, 1, 0)},
	{"14x14x1024-256_1x1", conv(8, 14, 14, 1024, 256, 1, 1, 0)},
	{"14x14x256-1024_1x1", conv(8, 14, 14, 256, 1024, 1, 1, 0)},
	{"7x7x2048-512_1x1", conv(8, 7, 7, 2048, 512, 1, 1, 0)},
	{"7x7x512-2048_1x1", conv(8, 7, 7, 512, 2048, 1, 1, 0)},
	{"b1_14x14x256_3x3", conv(1, 14, 14, 256, 256, 3, 1, 1)},
	{"b1_7x7x512_3x3", conv(1, 7, 7, 512, 512, 3, 1, 1)},
	{"b1_7x7x512-2048_1x1", conv(1, 7, 7, 512, 2048, 1, 1, 0)},
	{"cifar_32x32x3-16", conv(64, 32, 32, 3, 16, 3, 1, 1)},
	{"cifar_32x32x16", conv(32, 32, 32, 16, 16, 3, 1, 1)},
	{"cifar_16x16x32", conv(64, 16, 16, 32, 32, 3, 1, 1)},
	{"cifar_8x8x64", conv(128, 8, 8, 64, 64, 3, 1, 1)},
	{"cifar_32x32x16-32_s2", conv(32, 32, 32, 16, 32, 3, 2, 1)},
	{"cifar_16x16x32-64_s2", conv(64, 16, 16, 32, 64, 3, 2, 1)},
	{"linear_b1_2048-1000", Linear(1, 2048, 1000)},
	{"linear_b64_512-1000", Linear(64, 512, 1000)},
}

// measure runs op, all of it on this goroutine, again and again, in alternation
// with the FMA peak, and reports the best rate and its share of the best peak.
// Short runs in alternation and their best are what a machine shared with other
// programs still measures fairly.
func measure(b *testing.B, flops int64, op func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	measureBy(b, isatest.ThreadTime, flops, op)
}

// measureBy is measure by another clock.
func measureBy(b *testing.B, clock func() time.Duration, flops int64, op func()) {
	op()
	b.ReportAllocs()
	var rate, peak float64
	b.ResetTimer()
	for b.Loop() {
		start := clock()
		op()
		rate = max(rate, float64(flops)/float64((clock()-start).Nanoseconds()))
		for range 3 {
			start := clock()
			n := isa.FmaPeak()
			peak = max(peak, float64(n)/float64((clock()-start).Nanoseconds()))
		}
	}
	b.ReportMetric(rate, "GFLOP/s")
	if peak > 0 {
		b.ReportMetric(100*rate/peak, "%peak")
	}
}

func benchConv(b *testing.B, f func(b *testing.B, p *parallel.Pool, c Conv)) {
	p := parallel.NewPool(1)
	defer p.Close()
	for _, l := range benchLayers {
		b.Run(l.name, func(b *testing.B) { f(b, p, l.conv) })
		if isa.HaveBF16 {
			c := l.conv
			c.Precision = gemm.BF16
			b.Run(l.name+"/bf16", func(b *testing.B) { f(b, p, c) })
		}
	}
}

func BenchmarkConvForward(b *testing.B) { benchAlgorithm(b, directForward, Want{}) }

func BenchmarkConvForwardStats(b *testing.B) { benchAlgorithm(b, directForward, Want{Stats: true}) }

func BenchmarkConvInputGrad(b *testing.B) { benchAlgorithm(b, directInputGrad, Want{Op: InputGrad}) }

func BenchmarkConvWeightGrad(b *testing.B) {
	benchAlgorithm(b, directWeightGrad, Want{Op: WeightGrad})
}

func benchAlgorithm(b *testing.B, a algorithm, w Want) {
	benchConv(b, func(b *testing.B, p *parallel.Pool, c Conv) {
		measure(b, c.FLOPs(), preparedRandom(p, planned(b, a, c, w), c, w.Op))
	})
}

// preparedRandom is prepared with random arrays.
func preparedRandom(p *parallel.Pool, plan *Plan, c Conv, op Op) func() {
	x, y, w := isatest.RandomFloats(1, c.XLen()), isatest.RandomFloats(2, c.YLen()), make([]float32, c.WLen())
	a := Args{X: x, Y: y, Mean: make([]float32, c.K), Variance: make([]float32, c.K)}
	switch op {
	case InputGrad:
		a.X, a.Y = y, x
	case WeightGrad:
		a.DY, a.Y = y, w
	}
	if plan.Packed != nil {
		a.Packed = isatest.RandomFloats(3, plan.Packed.Len)
	}
	return prepared(p, plan, a)
}

func BenchmarkConvPack(b *testing.B) {
	for _, grad := range []bool{false, true} {
		for _, c := range []Conv{conv(1, 56, 56, 64, 64, 3, 1, 1), conv(1, 7, 7, 512, 512, 3, 1, 1), conv(1, 14, 14, 256, 512, 3, 2, 1)} {
			k := c.forwardPacking()
			if grad {
				k = c.inputGradPacking()
			}
			b.Run(fmt.Sprintf("grad=%v/%v", grad, c), func(b *testing.B) {
				w, dst := isatest.RandomFloats(1, c.WLen()), make([]float32, k.Len)
				b.SetBytes(int64(4 * c.WLen()))
				for b.Loop() {
					for t := range k.Tasks {
						k.Pack(t, dst, Weights{Data: w})
					}
				}
			})
		}
	}
}

// networkConvs returns the convolutions of a torchvision ResNet at 224x224, or
// of a CIFAR ResNet of 6*blocks[0]+2 layers at 32x32.
func networkConvs(name string, n int) (list []Conv) {
	add := func(size, c, k, rs, stride int) int {
		list = append(list, conv(n, size, size, c, k, rs, stride, rs/2))
		return list[len(list)-1].OutH()
	}
	if name == "resnet20" {
		size, c := add(32, 3, 16, 3, 1), 16
		for stage := range 3 {
			for block := range 3 {
				k, stride := 16<<stage, 1
				if stage > 0 && block == 0 {
					stride = 2
				}
				size = add(size, c, k, 3, stride)
				c = k
				add(size, c, k, 3, 1)
			}
		}
		return list
	}
	blocks, wide := []int{2, 2, 2, 2}, 1
	if name == "resnet50" {
		blocks, wide = []int{3, 4, 6, 3}, 4
	}
	add(224, 3, 64, 7, 2)
	size, c := 56, 64
	for stage, count := range blocks {
		for block := range count {
			k, stride := 64<<stage, 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			if block == 0 && (stride > 1 || wide > 1) {
				add(size, c, k*wide, 1, stride)
			}
			if wide > 1 {
				add(size, c, k, 1, 1)
				size = add(size, k, k, 3, stride)
				add(size, k, k*wide, 1, 1)
			} else {
				size = add(size, c, k, 3, stride)
				add(size, k, k, 3, 1)
			}
			c = k * wide
		}
	}
	return list
}

// BenchmarkNetworkConvs runs all convolutions of a network one after another:
// the forward pass, or all of a training step's.
func BenchmarkNetworkConvs(b *testing.B) {
	for _, v := range []struct {
		name    string
		batch   int
		workers int
		train   bool
	}{
		{"resnet18", 1, 1, false}, {"resnet18", 1, 2, false}, {"resnet18", 8, 2, false},
		{"resnet50", 1, 1, false}, {"resnet50", 1, 2, false}, {"resnet50", 8, 2, false},
		{"resnet20", 128, 1, true}, {"resnet20", 128, 2, true},
		{"resnet18", 16, 1, true}, {"resnet18", 16, 2, true},
	} {
		b.Run(fmt.Sprintf("%s/batch=%d/train=%v/workers=%d", v.name, v.batch, v.train, v.workers), func(b *testing.B) {
			pool := parallel.NewPool(v.workers)
			defer pool.Close()
			var steps []func()
			var flops int64
			add := func(c Conv, a algorithm, w Want) {
				flops += c.FLOPs()
				plan := planned(b, a, c, w)
				steps = append(steps, preparedRandom(pool, plan, c, w.Op))
				if k := plan.Packed; v.train && k != nil {
					packed, weights := make([]float32, k.Len), make([]float32, c.WLen())
					task := func(task, _ int) { k.Pack(task, packed, Weights{Data: weights}) }
					steps = append(steps, func() { pool.Run(k.Tasks, task) })
				}
			}
			for i, c := range networkConvs(v.name, v.batch) {
				add(c, directForward, Want{Stats: v.train})
				if v.train {
					add(c, directWeightGrad, Want{Op: WeightGrad})
				}
				if v.train && i > 0 { // nobody asks for the gradient of the picture
					add(c, directInputGrad, Want{Op: InputGrad})
				}
			}
			all := func() {
				for _, s := range steps {
					s()
				}
			}
			if v.workers > 1 {
				start := time.Now()
				measureBy(b, func() time.Duration { return time.Since(start) }, flops, all)
				return
			}
			measure(b, flops, all)
		})
	}
}
