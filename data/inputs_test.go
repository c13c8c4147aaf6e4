package data

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/tensor"
)

// Each row of a batch has the numbers of its own sample, also in subsets, in padding
// and where bad samples are left out.
func TestWithInputs(t *testing.T) {
	var pictures []*imaging.Image
	labels := make([]int, 7)
	age, ids := tensor.New(7, 2), tensor.NewInt64(7)
	for i := range 7 {
		pictures = append(pictures, imaging.New(4, 4, 1))
		age.Float32s()[2*i], age.Float32s()[2*i+1], ids.Int64s()[i] = float32(i), float32(-i), int64(100+i)
	}
	pictures[4] = nil // cannot be decoded
	ds, err := NewImages([]string{"a"}, pictures, labels)
	if err != nil {
		t.Fatal(err)
	}
	with, err := WithInputs(ds, map[string]*tensor.Tensor{"age": age, "ids": ids})
	if err != nil {
		t.Fatal(err)
	}
	if got := Inputs(with); got["ids"].DType != tensor.Int64 || !got["age"].Shape.Equal(tensor.Shape{2}) {
		t.Errorf("%+v", got)
	}
	cfg := LoaderConfig{BatchSize: 3, Last: Pad, SkipBad: true, Preprocess: Preprocess{
		Channels: 1, Width: 4, Height: 4, Squash: true, Interpolation: imaging.Bilinear, Mean: []float32{0}, Std: []float32{1}}}
	check := func(ds Dataset, want []int64) {
		t.Helper()
		l, err := NewLoader(ds, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for b, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for row := range b.N {
				id, a := b.Inputs["ids"].Int64s()[row], b.Inputs["age"].Float32s()[2*row:2*row+2]
				if row >= b.Real {
					if id != 0 || a[0] != 0 || a[1] != 0 {
						t.Errorf("padding has %d, %v", id, a)
					}
					continue
				}
				if a[0] != float32(id-100) || a[1] != -a[0] {
					t.Errorf("row %d of sample %d: %d, %v", row, b.Index[row], id, a)
				}
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	check(with, []int64{100, 101, 102, 103, 105, 106})
	check(Subset(with, []int{6, 4, 2, 1}), []int64{106, 102, 101})

	for want, change := range map[string]func() error{
		"first axis must count them": func() error {
			_, err := WithInputs(ds, map[string]*tensor.Tensor{"age": tensor.New(6, 2)})
			return err
		},
		"mix pictures": func() error {
			mixed := cfg
			mixed.Augment = &Augment{MixUp: 0.2}
			_, err := NewLoader(with, mixed)
			return err
		},
	} {
		if err := change(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
