// Package scenes generates pictures of objects in front of textures, with exact
// boxes and masks: data on which detectors and segmenters can be trained in minutes,
// without a download. The objects are the pictures of a classification dataset, cut
// out, scaled, tinted and partly behind one another.
package scenes

import (
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/masks"
)

// Options are the choices of [Write]. The zero value of a field is the usual choice.
type Options struct {
	Train, Val       int // pictures of each part; 0 means 300 and 100
	MinSide, MaxSide int // of a picture, pixels; 0 means 128 and 256
	MaxObjects       int // in a picture, which has at least one; 0 means 6
	Seed             uint64
	// Objects are the pictures that are cut out: training pictures from its training
	// part, the others from its test or validation part. Nil means the sample of
	// Fashion-MNIST inside the program. A gray picture is cut out where it is not black,
	// one in color by an ellipse.
	Objects *data.Splits
	// Backgrounds are photographs to use instead of textures.
	Backgrounds data.Dataset
}

func (o *Options) fill() error {
	for _, f := range []struct {
		name     string
		v        *int
		def, max int
	}{{"Train", &o.Train, 300, 1 << 20}, {"Val", &o.Val, 100, 1 << 20}, {"MinSide", &o.MinSide, 128, 4096}, {"MaxSide", &o.MaxSide, 256, 4096}, {"MaxObjects", &o.MaxObjects, 6, 100}} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 1 || *f.v > f.max {
			return fmt.Errorf("scenes: %s is %d, must be within 1 to %d", f.name, *f.v, f.max)
		}
	}
	if o.MinSide < 32 || o.MinSide > o.MaxSide {
		return fmt.Errorf("scenes: MinSide is %d, must be within 32 to MaxSide, %d", o.MinSide, o.MaxSide)
	}
	if o.Objects == nil {
		s, err := data.OpenIDX(embedded.Fashion(), data.Options{})
		if err != nil {
			return err
		}
		o.Objects = s
	}
	if o.Objects.Train == nil {
		return errors.New("scenes: the objects have no training part")
	}
	return nil
}

// Streams of random numbers.
const (
	opScene uint32 = iota + 1
	opTexture
)

// object is one object in a scene, of which some pixels can be seen.
type object struct {
	class int
	mask  *masks.Bitmap
}

// scene is a picture and its objects, the hindmost first.
type scene struct {
	m       *imaging.Image
	w, h    int
	objects []object
}

// draw makes picture number i of a part.
func (o *Options) draw(part uint32, i int, objects data.Dataset) (*scene, error) {
	rng := philox.Keyed(o.Seed, opScene, part, uint32(i))
	side := func() int { return o.MinSide + rng.IntN(o.MaxSide-o.MinSide+1) }
	w, h := side(), side()
	m, err := o.background(&rng, part, i, w, h)
	if err != nil {
		return nil, err
	}
	// owner has the object that each pixel shows, from 1.
	owner := make([]uint8, w*h)
	n := 1 + rng.IntN(o.MaxObjects)
	classes := make([]int, n)
	sizes := make([]int, n) // pixels if nothing was in front
	var cut imaging.Image
	for k := range n {
		at := rng.IntN(objects.Len())
		if err := objects.Decode(at, &cut); err != nil {
			return nil, fmt.Errorf("scenes: %s: %w", objects.Name(at), err)
		}
		labels := objects.Labels(at)
		if len(labels) == 0 {
			return nil, fmt.Errorf("scenes: %s has no label", objects.Name(at))
		}
		classes[k] = labels[0]
		sizes[k] = place(&rng, m, owner, &cut, uint8(k+1))
	}
	s := &scene{m: m, w: w, h: h}
	bits := make([]uint8, w*h)
	for k := range n {
		seen := 0
		for p, v := range owner {
			bits[p] = 0
			if int(v) == k+1 {
				bits[p] = 1
				seen++
			}
		}
		// What is nearly hidden is part of the background.
		if seen >= 24 && float64(seen) >= 0.3*float64(sizes[k]) {
			s.objects = append(s.objects, object{classes[k], masks.NewBitmap(bits, h, w)})
		}
	}
	return s, nil
}

// place draws an object at a random place and size into m, marks its pixels in owner,
// and returns how many they are.
func place(rng *philox.Rand, m *imaging.Image, owner []uint8, cut *imaging.Image, number uint8) int {
	alpha := outline(cut)
	// From a fifth of the picture's shorter side to two thirds of it.
	side := float64(min(m.W, m.H)) * math.Exp(rng.Uniform(math.Log(0.2), math.Log(0.65)))
	scale := side / float64(max(cut.W, cut.H))
	w, h := max(int(float64(cut.W)*scale), 8), max(int(float64(cut.H)*scale), 8)
	var pixels, shape imaging.Image
	imaging.Resize(&pixels, cut, w, h, imaging.Bilinear)
	imaging.Resize(&shape, alpha, w, h, imaging.Bilinear)
	if rng.IntN(2) == 1 {
		imaging.FlipH(&pixels)
		imaging.FlipH(&shape)
	}
	tint := [3]float64{rng.Uniform(0.4, 1), rng.Uniform(0.4, 1), rng.Uniform(0.4, 1)}
	x0, y0 := rng.IntN(m.W-w/2)-w/4, rng.IntN(m.H-h/2)-h/4 // up to a quarter is outside
	n := 0
	for y := range h {
		for x := range w {
			px, py := x0+x, y0+y
			if px < 0 || py < 0 || px >= m.W || py >= m.H || shape.Pix[y*w+x] < 128 {
				continue
			}
			owner[py*m.W+px] = number
			n++
			for c := range 3 {
				v := float64(pixels.Pix[(y*w+x)*pixels.C+c%pixels.C])
				if pixels.C == 1 {
					v = tint[c] * (40 + 215*v/255)
				}
				m.Pix[3*(py*m.W+px)+c] = uint8(v)
			}
		}
	}
	return n
}

// outline returns where a picture shows its object: 255 there, else 0.
func outline(cut *imaging.Image) *imaging.Image {
	w, h := cut.W, cut.H
	a := imaging.New(w, h, 1)
	for i := range a.Pix {
		a.Pix[i] = 255
	}
	if cut.C == 3 {
		for y := range h {
			for x := range w {
				dx, dy := (float64(x)+0.5)/float64(w)-0.5, (float64(y)+0.5)/float64(h)-0.5
				if dx*dx+dy*dy > 0.47*0.47 {
					a.Pix[y*w+x] = 0
				}
			}
		}
		return a
	}
	// Black that reaches the edge is outside; dark places inside are not.
	var stack []int
	visit := func(x, y int) {
		if x >= 0 && y >= 0 && x < w && y < h && a.Pix[y*w+x] != 0 && cut.Pix[y*w+x] < 24 {
			a.Pix[y*w+x] = 0
			stack = append(stack, y*w+x)
		}
	}
	for x := range w {
		visit(x, 0)
		visit(x, h-1)
	}
	for y := range h {
		visit(0, y)
		visit(w-1, y)
	}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		visit(p%w-1, p/w)
		visit(p%w+1, p/w)
		visit(p%w, p/w-1)
		visit(p%w, p/w+1)
	}
	return a
}

func (o *Options) background(rng *philox.Rand, part uint32, i, w, h int) (*imaging.Image, error) {
	if o.Backgrounds == nil {
		return texture(philox.Keyed(o.Seed, opTexture, part, uint32(i)), w, h), nil
	}
	var m, rgb imaging.Image
	at := rng.IntN(o.Backgrounds.Len())
	if err := o.Backgrounds.Decode(at, &m); err != nil {
		return nil, fmt.Errorf("scenes: %s: %w", o.Backgrounds.Name(at), err)
	}
	imaging.Convert(&rgb, &m, 3)
	// The largest part of the picture's shape, at a random place.
	scale := min(float64(rgb.W)/float64(w), float64(rgb.H)/float64(h))
	r := imaging.Rect{W: max(int(float64(w)*scale), 1), H: max(int(float64(h)*scale), 1)}
	r.X, r.Y = rng.IntN(rgb.W-r.W+1), rng.IntN(rgb.H-r.H+1)
	out := new(imaging.Image)
	imaging.ResizeRect(out, &rgb, r, w, h, imaging.Bilinear)
	return out, nil
}

// texture draws a mixture of two colors by noise of several scales.
func texture(rng philox.Rand, w, h int) *imaging.Image {
	m := imaging.New(w, h, 3)
	level := make([]float64, w*h)
	for _, octave := range []struct {
		cell   int
		weight float64
	}{{64, 0.45}, {24, 0.25}, {8, 0.2}, {3, 0.1}} {
		gw := w/octave.cell + 2
		grid := make([]float64, gw*(h/octave.cell+2))
		for i := range grid {
			grid[i] = rng.Float64()
		}
		for y := range h {
			gy, fy := y/octave.cell, float64(y%octave.cell)/float64(octave.cell)
			for x := range w {
				gx, fx := x/octave.cell, float64(x%octave.cell)/float64(octave.cell)
				g := grid[gy*gw+gx:]
				top := float64(g[0]*(1-fx)) + float64(g[1]*fx)
				low := float64(g[gw]*(1-fx)) + float64(g[gw+1]*fx)
				level[y*w+x] += float64(octave.weight * (float64(top*(1-fy)) + float64(low*fy)))
			}
		}
	}
	var a, b [3]float64
	for c := range 3 {
		a[c], b[c] = rng.Uniform(0, 200), rng.Uniform(0, 200)
	}
	for i, v := range level {
		noise := float64(rng.IntN(17) - 8)
		for c := range 3 {
			m.Pix[3*i+c] = uint8(min(max(a[c]+float64((b[c]-a[c])*v)+noise, 0), 255))
		}
	}
	return m
}
