package train

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// unreadable is a dataset with one picture that cannot be decoded.
type unreadable struct {
	data.MaskDataset
	bad int
}

func (u unreadable) DecodeMask(i int, dst *imaging.Image) error {
	if i == u.bad {
		return errors.New("no mask")
	}
	return u.MaskDataset.DecodeMask(i, dst)
}

// Evaluations that ranks share have the bits of one process's for every task, and each
// picture is computed by one rank.
func TestRanksShareEvaluation(t *testing.T) {
	network := func(name string, opt ...models.Option) *models.Model {
		net, err := models.New(name, opt...)
		if err == nil {
			err = nn.Init(net, 3)
		}
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	masks := pixelSplits(t, 1, 23).Val
	boxes := objectConfig(t, objectScenes(t, 1, 9, 3), "").Splits.Val
	labels := toySplits(t)
	pixel := pixelConfig(t, "").Recipe
	prep, err := pixel.Preprocess.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	toyPrep, err := toyConfig(t, "").Recipe.Preprocess.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	must := func(e evaluator, err error) evaluator {
		if err != nil {
			t.Error(err)
		}
		return e
	}
	opt := infer.Options{Threads: 1}
	for name, c := range map[string]struct {
		pictures, bad int
		evaluator     func(g group) evaluator
		learned       func(m Metrics) bool // something was measured
	}{
		"labels": {40, 0, func(g group) evaluator {
			net := network("resnet8-cifar", models.Classes(4), models.InChannels(1), models.InputSize(12))
			return must(newEvaluator(net, labels.Val, data.LoaderConfig{BatchSize: 3, Preprocess: toyPrep}, opt, g))
		}, func(m Metrics) bool { return m.Loss > 0 && m.Top1 > 0 }},
		"features": {40, 0, func(g group) evaluator {
			net := network("resnet8-cifar", models.Classes(0), models.InChannels(1), models.InputSize(12))
			e, err := newNeighborEvaluator(net, labels, data.LoaderConfig{BatchSize: 7, Preprocess: toyPrep}, opt, g)
			return must(e, err)
		}, func(m Metrics) bool { return *m.KNN > 0.3 }},
		"pixels": {22, 1, func(g group) evaluator {
			net := network("unet_resnet8-cifar", models.Classes(3))
			bad := unreadable{data.Masks(masks), 5}
			return must(newPixelEvaluator(net, bad, data.LoaderConfig{BatchSize: 4, Preprocess: prep, SkipBad: true}, opt, g))
		}, func(m Metrics) bool { return m.Loss > 0 && m.MeanIoU > 0 }},
		"boxes": {9, 0, func(g group) evaluator {
			net := network("maskrcnn_resnet8-cifar_fpn", models.Classes(3), func(c *models.Config) {
				c.Detection.Channels, c.Detection.BoxFeatures, c.Detection.MinSize, c.Detection.MaxSize = 8, 8, 48, 96
			})
			return must(newEvaluator(net, boxes, data.LoaderConfig{}, opt, g))
		}, func(m Metrics) bool { return m.MAP > 0 && len(m.Detection.Masks) == 12 }},
	} {
		t.Run(name, func(t *testing.T) {
			one := c.evaluator(group{})
			defer one.close()
			want, err := one.run(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want.Samples != c.pictures || one.skipped() != c.bad || !c.learned(want) {
				t.Errorf("one process: %+v, %d bad", want, one.skipped())
			}
			var sets []features.Set
			if e, ok := one.(*neighborEvaluator); ok {
				known, queries, err := e.both(t.Context(), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				sets = append(sets, known, queries)
			}
			for _, n := range []int{1, 2, 3, 4} {
				h := newHall(n)
				var all sync.WaitGroup
				done, bad := make([]int, n), make([]int, n)
				for r := range n {
					all.Go(func() {
						defer h.leave()
						e := c.evaluator(group{&seat{hall: h, rank: r}})
						defer e.close()
						got, err := e.run(context.Background(), nil, func(samples int) { done[r] += samples })
						if err != nil || !reflect.DeepEqual(got, want) {
							t.Errorf("rank %d of %d: %+v, %v; want %+v", r, n, got, err, want)
						}
						if e, ok := e.(*neighborEvaluator); ok {
							known, queries, err := e.both(context.Background(), nil, nil)
							if err != nil || !reflect.DeepEqual([]features.Set{known, queries}, sets) {
								t.Errorf("rank %d of %d has other features than one process: %v", r, n, err)
							}
						}
						bad[r] = e.skipped()
					})
				}
				all.Wait()
				sum, skipped := 0, 0
				for r := range n {
					sum, skipped = sum+done[r]/n, skipped+bad[r]
					if n > 1 && done[r]/n > c.pictures*3/4 {
						t.Errorf("rank %d of %d has computed %d of %d pictures", r, n, done[r]/n, c.pictures)
					}
				}
				if fmt.Sprint(sum, skipped) != fmt.Sprint(c.pictures, c.bad) {
					t.Errorf("%d ranks have computed %d pictures and skipped %d, want %d and %d", n, sum, skipped, c.pictures, c.bad)
				}
			}
		})
	}
}
