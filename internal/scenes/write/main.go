// Command write makes a folder of scenes with masks, for resnet train --data masks:DIR.
//
//	go run ./internal/scenes/write -train 400 -val 100 -size 64 -most 2 DIR
package main

import (
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/segment"
)

func main() {
	train := flag.Int("train", 400, "scenes to train on")
	val := flag.Int("val", 100, "scenes to evaluate on")
	size := flag.Int("size", 64, "width and height")
	most := flag.Int("most", 2, "things in a scene")
	sorts := flag.String("sorts", "", "classes of things, with commas between them; all by default")
	seed := flag.Uint64("seed", 1, "chooses the scenes")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: write [flags] DIR")
		os.Exit(2)
	}
	opt := scenes.Options{Size: *size, Most: *most, Seed: *seed}
	if *sorts != "" {
		opt.Sorts = strings.Split(*sorts, ",")
	}
	for _, part := range []struct {
		name string
		n    int
	}{{"train", *train}, {"val", *val}} {
		opt.Test = part.name == "val"
		if err := write(filepath.Join(flag.Arg(0), part.name), part.n, opt); err != nil {
			fmt.Fprintln(os.Stderr, "write:", err)
			os.Exit(1)
		}
	}
}

func write(dir string, n int, opt scenes.Options) error {
	m, err := scenes.New(opt)
	if err != nil {
		return err
	}
	pictures, masks := filepath.Join(dir, "images"), filepath.Join(dir, "masks")
	for _, d := range []string{pictures, masks} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for i := range n {
		s, err := m.Scene(i)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%05d.png", i)
		if err := save(filepath.Join(pictures, name), s.Picture.RGBA()); err != nil {
			return err
		}
		if err := save(filepath.Join(masks, name), paletted(s.Mask)); err != nil {
			return err
		}
	}
	names := strings.Join(m.Classes(), "\n") + "\n"
	return os.WriteFile(filepath.Join(filepath.Dir(dir), "classes.txt"), []byte(names), 0o644)
}

func paletted(m *imaging.Image) image.Image {
	return (&segment.Mask{W: m.W, H: m.H, Pix: m.Pix}).Paletted()
}

func save(path string, m image.Image) error {
	return atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, m) })
}
