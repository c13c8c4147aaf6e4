package data_test

import (
	"context"
	"fmt"
	"os"
	"testing/fstest"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// photos stands for a folder of pictures: six of the test pictures, in two
// classes.
func photos() fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, name := range []string{"scene.png", "scene_hflip.png", "scene_grayscale.png", "noise.png", "patch.png", "tall.png"} {
		b, err := os.ReadFile("testdata/transforms/" + name)
		if err != nil {
			panic(err)
		}
		fsys[[]string{"train/scene/", "train/pattern/"}[i/3]+name] = &fstest.MapFile{Data: b}
	}
	return fsys
}

// An image folder whose training part also gives the validation part.
// From a path, data.Open("folder:photos", …) does the same.
func ExampleOpenFolder() {
	s, err := data.OpenFolder(photos(), data.Options{ValFraction: 0.34})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(s.Classes(), s.Train.Len(), "+", s.Val.Len())
	fmt.Println(s.Notes[0])
	// Output:
	// [pattern scene] 4 + 2
	// no validation part: held out 2 of 6 training samples, class by class (share 0.34, seed 0)
}

// Batches for training: every epoch in another order with other variations, but the
// same for a seed on every machine.
func ExampleLoader() {
	s, err := data.OpenFolder(photos(), data.Options{ValFraction: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := data.Preset("cifar10")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := data.NewLoader(s.Train, data.LoaderConfig{
		BatchSize: 2, Preprocess: p, Shuffle: true, Seed: 1,
		Augment: &data.Augment{PadCrop: 4, HFlip: 0.5},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for b, err := range l.Epoch(context.Background(), 0, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("step %d of %d: %d x %d x %d x %d\n", b.Step, l.Steps(), b.N, b.H, b.W, b.C)
	}
	// Output:
	// step 0 of 3: 2 x 32 x 32 x 3
	// step 1 of 3: 2 x 32 x 32 x 3
	// step 2 of 3: 2 x 32 x 32 x 3
}

// A picture of any size as the input of an ImageNet network.
func ExamplePreprocess_Apply() {
	file, err := os.ReadFile("testdata/transforms/scene.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	picture, err := imaging.Decode(file, imaging.DecodeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := data.Preset("imagenet")
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := p.Apply(picture)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(picture.W, picture.H, x.Shape())
	// Output: 72 50 [1 3 224 224]
}

// What to look at before training.
func ExampleCheck() {
	fsys := photos()
	fsys["val/scene/again.png"] = fsys["train/scene/scene.png"]
	fsys["val/pattern/broken.png"] = &fstest.MapFile{Data: []byte("not a picture")}
	s, err := data.OpenFolder(fsys, data.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := data.Check(context.Background(), s, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range r.Warnings() {
		fmt.Println(w)
	}
	// Output:
	// val: pictures that cannot be decoded: 1 of 2, such as val/pattern/broken.png (imaging: not a JPEG, PNG, GIF, WebP, BMP, TIFF or PPM picture (starts with "not a pi"))
	// pictures that are in more than one part, so that the evaluation sees training pictures: 1, such as train train/scene/scene.png and val val/scene/again.png
}
