package infer_test

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// A picture's answer has the same bits in every batch, at any place.
func TestBatchInvariant(t *testing.T) {
	type input struct {
		name string
		side int
	}
	nets, batches := []input{{"resnet20-cifar", 32}, {"resnet18", 64}}, []int{2, 8}
	if os.Getenv("RESNET_NIGHTLY") == "1" {
		nets = append(nets, []input{{"resnet18", 96}, {"resnet50", 64}, {"seresnet18", 56}, {"preresnet20-cifar", 32}, {"wrn-16-4", 32}, {"resnet50", 224}, {"resnext50_32x4d", 160}}...)
		batches = []int{2, 3, 4, 5, 6, 7, 8, 9}
	}
	for _, n := range nets {
		t.Run(fmt.Sprint(n.name, " ", n.side), func(t *testing.T) {
			net, err := models.New(n.name)
			if err != nil {
				t.Fatal(err)
			}
			if err := nn.Init(net, 3); err != nil {
				t.Fatal(err)
			}
			options := []infer.Options{{BatchInvariant: true}, {}}
			if engine.BF16Native.Check() == nil {
				options = append(options, infer.Options{BatchInvariant: true, BF16: engine.BF16Native})
			}
			for _, opt := range options {
				worst := 0.0
				r, err := infer.New(net, nil, opt)
				if err != nil {
					t.Fatal(err)
				}
				const most = 9
				chw := []int{net.Input()[0], n.side, n.side}
				size := chw[0] * n.side * n.side
				all := make([]float32, most*size)
				p := philox.New(5, 0)
				for i := range all {
					all[i] = float32(p.Uniform(-2, 2))
				}
				run := func(first, batch int) []float32 {
					x, err := tensor.FromFloat32(all[first*size:(first+batch)*size], append([]int{batch}, chw...)...)
					if err != nil {
						t.Fatal(err)
					}
					out, err := r.Run(t.Context(), infer.Query{}, infer.Tensors{nn.ImageInput: x})
					if err != nil {
						t.Fatal(err)
					}
					return out[infer.Output].Float32s()
				}
				var alone [][]float32
				for i := range most {
					alone = append(alone, run(i, 1))
				}
				for _, batch := range batches {
					y := run(0, batch)
					classes := len(y) / batch
					for i, v := range y {
						want := alone[i/classes][i%classes]
						if math.Float32bits(v) == math.Float32bits(want) {
							continue
						}
						worst = max(worst, math.Abs(float64(v-want)))
						if opt.BatchInvariant {
							t.Fatalf("batch %d: output %d of picture %d is %v, alone %v", batch, i%classes, i/classes, v, want)
						}
					}
				}
				if !opt.BatchInvariant {
					t.Logf("otherwise, logits differ by up to %.3g", worst)
				}
			}
		})
	}
}
