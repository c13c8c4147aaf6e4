package detection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/data"
)

// Report holds the results of [Check], as plain data for JSON: those of package
// data's check of the pictures, the objects of each part, and what is likely wrong
// with them. Its PerClass counts pictures that have a class.
type Report struct {
	data.Report
	Objects  []PartObjects `json:"objects"`
	Findings []Finding     `json:"findings"`
}

// PartObjects describes the objects of one part.
type PartObjects struct {
	Name      string `json:"name"`
	Objects   int    `json:"objects"`
	PerClass  []int  `json:"per_class"`
	Masks     int    `json:"masks"` // objects that have one
	Crowd     int    `json:"crowd"`
	Difficult int    `json:"difficult"`
	Small     int    `json:"small"`  // area below 32 x 32 pixels
	Medium    int    `json:"medium"` // area below 96 x 96 pixels
	Large     int    `json:"large"`
	Most      int    `json:"most"` // objects in one picture
}

// Check decodes every picture and draws every mask of all parts once. workers is the
// number of goroutines; 0 means one per CPU. The only error is that of ctx.
func Check(ctx context.Context, s *Splits, workers int) (*Report, error) {
	pictures, err := data.Check(ctx, s.Data(), workers)
	if err != nil {
		return nil, err
	}
	r := &Report{Report: *pictures, Findings: slices.Clone(s.Findings)}
	h := sha256.New()
	fmt.Fprintln(h, r.Hash)
	for _, p := range s.parts() {
		r.Objects = append(r.Objects, count(p))
		bad, err := drawMasks(ctx, p, workers)
		if err != nil {
			return nil, err
		}
		r.Findings = append(r.Findings, bad...)
		for i := range p.ds.Pictures {
			for _, o := range p.ds.Pictures[i].Objects {
				fmt.Fprintln(h, p.name, p.ds.Name(i), o.Class, o.Box, o.Area, o.Crowd, o.Difficult, o.polygons, o.instance)
				if o.runs != nil {
					fmt.Fprintln(h, o.runs)
				}
			}
		}
	}
	if r.Hash != "" {
		r.Hash = hex.EncodeToString(h.Sum(nil))
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	return r, nil
}

func count(p part) PartObjects {
	c := PartObjects{Name: p.name, PerClass: make([]int, len(p.ds.classes))}
	for i := range p.ds.Pictures {
		objects := p.ds.Pictures[i].Objects
		c.Most = max(c.Most, len(objects))
		for k := range objects {
			o := &objects[k]
			c.Objects++
			c.PerClass[o.Class]++
			if o.HasMask() {
				c.Masks++
			}
			if o.Crowd {
				c.Crowd++
			}
			if o.Difficult {
				c.Difficult++
			}
			switch {
			case o.Area < 32*32:
				c.Small++
			case o.Area < 96*96:
				c.Medium++
			default:
				c.Large++
			}
		}
	}
	return c
}

// drawMasks returns a finding for the pictures whose masks cannot be drawn. Pictures
// of unknown size are left to the check of the pictures.
func drawMasks(ctx context.Context, p part, workers int) ([]Finding, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	errs := make([]error, p.ds.Len())
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				pic := &p.ds.Pictures[i]
				if pic.W > 0 && pic.H > 0 && slices.ContainsFunc(pic.Objects, func(o Object) bool { return o.HasMask() }) {
					whole := p.ds.Subset([]int{i}) // of the objects with masks
					whole.Pictures[0].Objects = slices.DeleteFunc(slices.Clone(pic.Objects), func(o Object) bool { return !o.HasMask() })
					_, errs[i] = whole.masks(0, pic.W, pic.H)
				}
			}
		})
	}
	for i := range errs {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	found := newFindings(p.name)
	for i, err := range errs {
		if err != nil {
			found.add(BadMask, "%s: %v", p.ds.Name(i), err)
		}
	}
	return found.sorted(), ctx.Err()
}

// Warnings returns one line for each likely mistake that spoils training or
// evaluation.
func (r *Report) Warnings() []string {
	var w []string
	for _, f := range r.Findings {
		if f.Wrong {
			w = append(w, f.String())
		}
	}
	return append(w, r.Report.Warnings()...)
}
