// Command ssl measures our training step without labels, by the protocol of
// peers/protocol.py: a warm-up, then a line of JSON for each request on stdin. It is the
// counterpart of peers/torch/bench_ssl.py; peers/ssl_steps.py alternates the two.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/ssl"
	"github.com/resnet-go/resnet/train"
)

func main() {
	model := flag.String("model", "resnet20-cifar", "resnet20-cifar, or resnet18 with CIFAR's stem")
	method := flag.String("method", "simsiam", "as of resnet train --method")
	batch := flag.Int("batch", 128, "pictures")
	threads := flag.Int("threads", 1, "")
	flag.Parse()
	call, err := step(*model, ssl.Method(*method), *batch, *threads)
	if err != nil {
		log.Fatal(err)
	}
	say := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(b))
	}
	run := func(steps int) (ms []float64) {
		for range steps {
			began := time.Now()
			if err := call.Run(); err != nil {
				log.Fatal(err)
			}
			ms = append(ms, time.Since(began).Seconds()*1e3)
		}
		return ms
	}
	run(2)
	say(map[string]any{"peer": "ours", "ready": true, "pid": os.Getpid()})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var r struct {
			Steps int `json:"steps"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Steps < 1 {
			log.Fatalf("%s: a request has the number of steps", lines.Text())
		}
		ms := run(r.Steps)
		sorted := slices.Sorted(slices.Values(ms))
		say(map[string]any{"peer": "ours", "ms": ms, "images_per_s": 1e3 * float64(*batch) / sorted[len(ms)/2]})
	}
}

// step compiles the step on fixed views.
func step(model string, method ssl.Method, batch, threads int) (*infer.Call, error) {
	opts := []models.Option{models.Classes(0), models.InputSize(32)}
	if model == "resnet18" {
		opts = append(opts, models.Stem(models.StemCIFAR))
	}
	backbone, err := models.New(model, opts...)
	if err != nil {
		return nil, err
	}
	if err := nn.Init(backbone, 1); err != nil {
		return nil, err
	}
	net, err := ssl.New(backbone, ssl.Config{Method: method}.Complete())
	if err != nil {
		return nil, err
	}
	if err := net.Start(1); err != nil {
		return nil, err
	}
	rows := net.Pretext().Rows() * batch
	s, err := train.NewStep(net, train.StepOptions{
		Input: []int{rows, 3, 32, 32}, Compute: infer.Options{Threads: threads},
		Optimizer: train.OptimizerRecipe{Kind: "sgd", Momentum: 0.9, WeightDecay: 5e-4, DecayNorm: true, DecayBias: true},
	})
	if err != nil {
		return nil, err
	}
	b := &data.Batch{X: make([]float32, rows*3*32*32), N: rows, Real: rows, Views: net.Pretext().Rows(), H: 32, W: 32, C: 3, Labels: make([]int64, rows)}
	r := philox.New(1, 0)
	for i := range b.X {
		b.X[i] = float32(r.Norm())
	}
	return s.Bind(train.StepInput{Batch: b, LR: 1e-3, Update: 1, TargetDecay: 0.99})
}
