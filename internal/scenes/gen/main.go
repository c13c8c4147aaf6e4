// Command gen writes generated pictures of objects with boxes and masks, for
// training detectors and segmenters without a download.
//
//	go run ./internal/scenes/gen scenes
//	go run ./internal/scenes/gen -objects cifar10:cifar-10-batches-bin -backgrounds folder:photos -train 500 scenes
//	resnet data check coco:scenes
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/scenes"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	var o scenes.Options
	flag.IntVar(&o.Train, "train", 0, "training pictures (default 300)")
	flag.IntVar(&o.Val, "val", 0, "validation pictures (default 100)")
	flag.IntVar(&o.MinSide, "min", 0, "shortest side of a picture in pixels (default 128)")
	flag.IntVar(&o.MaxSide, "max", 0, "longest side of a picture in pixels (default 256)")
	flag.IntVar(&o.MaxObjects, "objects-max", 0, "most objects in a picture (default 6)")
	flag.Uint64Var(&o.Seed, "seed", 0, "random seed")
	objects := flag.String("objects", "", "dataset whose pictures are the objects, such as cifar10:DIR (default the sample of Fashion-MNIST inside)")
	clothes := flag.String("clothes", "", "with the sample inside, the classes to take, such as Bag,Trouser (default all)")
	backgrounds := flag.String("backgrounds", "", "dataset of photographs to put them on, such as folder:photos (default textures)")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: gen [flags] DIR")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if *clothes != "" {
		s, err := scenes.Clothes(strings.Split(*clothes, ",")...)
		if err != nil {
			return err
		}
		o.Objects = s
	}
	if *objects != "" {
		s, err := data.Open(*objects, data.Options{})
		if err != nil {
			return err
		}
		defer s.Close()
		o.Objects = s
	}
	if *backgrounds != "" {
		s, err := data.Open(*backgrounds, data.Options{ValFraction: -1})
		if err != nil {
			return err
		}
		defer s.Close()
		o.Backgrounds = s.Train
	}
	return scenes.Write(flag.Arg(0), o)
}
