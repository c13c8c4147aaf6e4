package metrics

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/masks"
)

// COCOConfig is what [EvaluateCOCO] evaluates.
type COCOConfig struct {
	Images     []int64 // ids of all pictures, also those without objects
	Categories []int64 // ids of all categories; others are left out
	// Masks evaluates masks instead of boxes: all objects and detections need one, of
	// the picture's size.
	Masks bool
	// MaxDetections are the numbers of detections with the highest scores that count
	// in each picture and category, rising; zero means COCO's 1, 10 and 100. As in
	// pycocotools, AP is -1 unless 100 is among them.
	MaxDetections [3]int
}

// COCO is the result of [EvaluateCOCO]: the 12 numbers of COCO's table, from 0 to
// 1, and what they are made of. A number without any object to measure it by is -1.
type COCO struct {
	AP       float64 `json:"ap"` // mean over IoU 0.50:0.95
	AP50     float64 `json:"ap50"`
	AP75     float64 `json:"ap75"`
	APSmall  float64 `json:"ap_small"`  // area up to 32 x 32 pixels
	APMedium float64 `json:"ap_medium"` // up to 96 x 96
	APLarge  float64 `json:"ap_large"`
	AR1      float64 `json:"ar1"` // recall with at most 1 detection per picture and category
	AR10     float64 `json:"ar10"`
	AR100    float64 `json:"ar100"`
	ARSmall  float64 `json:"ar_small"`
	ARMedium float64 `json:"ar_medium"`
	ARLarge  float64 `json:"ar_large"`

	PerClass []COCOClass `json:"per_class"` // by rising category id

	// Precision holds [IoU][Recall][category][area][MaxDetections], Scores the
	// detection scores there, Recall [IoU][category][area][MaxDetections], all in
	// one slice, as in pycocotools' eval.
	Precision []float64 `json:"-"`
	Scores    []float64 `json:"-"`
	Recall    []float64 `json:"-"`
}

// COCOClass is the average precision and recall of one category, with the highest of
// MaxDetections.
type COCOClass struct {
	Category int64   `json:"category_id"`
	Objects  int     `json:"objects"` // crowds left out
	AP       float64 `json:"ap"`
	AP50     float64 `json:"ap50"`
	AP75     float64 `json:"ap75"`
	AR       float64 `json:"ar"`
}

// Stats returns the 12 numbers in the order of pycocotools' stats.
func (c *COCO) Stats() [12]float64 {
	return [12]float64{c.AP, c.AP50, c.AP75, c.APSmall, c.APMedium, c.APLarge,
		c.AR1, c.AR10, c.AR100, c.ARSmall, c.ARMedium, c.ARLarge}
}

const (
	thresholds = 10  // IoU 0.50, 0.55, …, 0.95
	recalls    = 101 // recall 0, 0.01, …, 1
	areas      = 4   // all, small, medium, large
)

var areaRanges = [areas][2]float64{{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}

// spaced returns n numbers from lo to hi as NumPy's linspace computes them.
func spaced(lo, hi float64, n int) []float64 {
	s := make([]float64, n)
	step := (hi - lo) / float64(n-1)
	for i := range s {
		s[i] = float64(float64(i)*step) + lo
	}
	s[n-1] = hi
	return s
}

// EvaluateCOCO measures detections by COCO's protocol (Lin et al., arXiv
// 1405.0312; cocodataset.org/#detection-eval). All results equal those of
// pycocotools 2.0.11 on the same objects, with its treatment of crowds, ties and ids:
// an object with the id 0 never counts as found. Detections of categories that are
// not evaluated are left out. It is an error if a detection is in an unknown picture
// or has no number as score, if two objects have the same id, or if a mask is missing
// or of another size than the picture's others.
func EvaluateCOCO(objects []Object, detections []Detection, cfg COCOConfig) (*COCO, error) {
	if cfg.MaxDetections == [3]int{} {
		cfg.MaxDetections = [3]int{1, 10, 100}
	}
	if m := cfg.MaxDetections; m[0] < 1 || m[0] > m[1] || m[1] > m[2] {
		return nil, fmt.Errorf("metrics: MaxDetections %v are not three rising numbers above 0", m)
	}
	if cfg.Masks {
		for _, o := range objects {
			if o.Mask == nil {
				return nil, fmt.Errorf("metrics: object %d in image %d has no mask, but masks are evaluated", o.ID, o.Image)
			}
		}
		for i, d := range detections {
			if d.Mask == nil {
				return nil, fmt.Errorf("metrics: detection %d in image %d has no mask, but masks are evaluated", i, d.Image)
			}
		}
	}
	c, err := group(objects, detections, cfg.Images, cfg.Categories)
	if err != nil {
		return nil, err
	}
	e := &cocoEvaluation{
		cells: c, objects: objects, detections: detections, cfg: cfg,
		iou: spaced(0.5, 0.95, thresholds), recall: spaced(0, 1, recalls),
	}
	k, m := len(c.categories), len(cfg.MaxDetections)
	e.result = &COCO{
		Precision: minusOnes(thresholds * recalls * k * areas * m),
		Scores:    minusOnes(thresholds * recalls * k * areas * m),
		Recall:    minusOnes(thresholds * k * areas * m),
	}
	// Categories have nothing in common, so any order of them gives the same result.
	errs := make([]error, k)
	var wg sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range k {
		turns <- struct{}{}
		wg.Go(func() {
			errs[i] = e.category(i)
			<-turns
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	e.summarize()
	return e.result, nil
}

func minusOnes(n int) []float64 { return slices.Repeat([]float64{-1}, n) }

type cocoEvaluation struct {
	*cells
	objects     []Object
	detections  []Detection
	cfg         COCOConfig
	iou, recall []float64
	result      *COCO
}

// matched is how the detections of one picture and category fare for one range of
// areas.
type matched struct {
	found, ignored [thresholds][]bool // of each detection
	required       int                // objects that are not ignored
}

func (e *cocoEvaluation) category(k int) error {
	var used []int // pictures with objects or detections
	var ious [][]float64
	for i := range e.at[k] {
		c := &e.at[k][i]
		if len(c.objects) == 0 && len(c.detections) == 0 {
			continue
		}
		c.detections = c.detections[:min(len(c.detections), e.cfg.MaxDetections[2])]
		iou, err := e.overlaps(c)
		if err != nil {
			return fmt.Errorf("metrics: image %d: %w", e.images[i], err)
		}
		used = append(used, i)
		ious = append(ious, iou)
	}
	for a, area := range areaRanges {
		ms := make([]matched, len(used))
		for n, i := range used {
			ms[n] = e.match(&e.at[k][i], ious[n], area)
		}
		for m, most := range e.cfg.MaxDetections {
			e.accumulate(k, a, m, most, used, ms)
		}
	}
	return nil
}

// overlaps returns the IoU of [detections][objects].
func (e *cocoEvaluation) overlaps(c *cell) ([]float64, error) {
	crowd := make([]bool, len(c.objects))
	for j, o := range c.objects {
		crowd[j] = e.objects[o].Crowd
	}
	if e.cfg.Masks {
		ds, os := make([]masks.RLE, len(c.detections)), make([]masks.RLE, len(c.objects))
		for i, d := range c.detections {
			ds[i] = *e.detections[d].Mask
		}
		for j, o := range c.objects {
			os[j] = *e.objects[o].Mask
		}
		return masks.IoU(ds, os, crowd)
	}
	ds, os := make([][4]float64, len(c.detections)), make([][4]float64, len(c.objects))
	for i, d := range c.detections {
		ds[i] = e.detections[d].Box
	}
	for j, o := range c.objects {
		os[j] = e.objects[o].Box
	}
	return masks.BoxIoU(ds, os, crowd), nil
}

func outside(area float64, r [2]float64) bool { return area < r[0] || area > r[1] }

// match gives each detection, from the highest score down, the object that it
// overlaps most and that is still free; the later among equal ones.
func (e *cocoEvaluation) match(c *cell, iou []float64, area [2]float64) (m matched) {
	n := len(c.objects)
	order := make([]int, 0, n) // objects that count, then the ignored ones
	for pass := range 2 {
		for j, o := range c.objects {
			if ignored := e.objects[o].Crowd || outside(e.objects[o].Area, area); ignored == (pass == 1) {
				order = append(order, j)
			}
		}
		if pass == 0 {
			m.required = len(order)
		}
	}
	taken := make([]bool, n)
	for t, threshold := range e.iou {
		found, ignored := make([]bool, len(c.detections)), make([]bool, len(c.detections))
		clear(taken)
		for i, d := range c.detections {
			best, at := min(threshold, 1-1e-10), -1
			for g, j := range order {
				if taken[g] && !e.objects[c.objects[j]].Crowd {
					continue
				}
				if at >= 0 && at < m.required && g >= m.required {
					break
				}
				if v := iou[i*n+j]; !(v < best) {
					best, at = v, g
				}
			}
			if at >= 0 {
				taken[at] = true
				ignored[i] = at >= m.required
				found[i] = e.objects[c.objects[order[at]]].ID != 0
			}
			if !found[i] && outside(e.area(&e.detections[d]), area) {
				ignored[i] = true
			}
		}
		m.found[t], m.ignored[t] = found, ignored
	}
	return m
}

func (e *cocoEvaluation) area(d *Detection) float64 {
	if e.cfg.Masks {
		return float64(d.Mask.Area())
	}
	return d.Box[2] * d.Box[3]
}

// accumulate computes precision and recall of a category over all pictures.
func (e *cocoEvaluation) accumulate(k, a, m, most int, used []int, ms []matched) {
	type place struct{ image, at int }
	var order []place
	required := 0
	for n, i := range used {
		required += ms[n].required
		for at := range min(len(e.at[k][i].detections), most) {
			order = append(order, place{n, at})
		}
	}
	if required == 0 {
		return
	}
	score := func(p place) float64 { return e.detections[e.at[k][used[p.image]].detections[p.at]].Score }
	slices.SortStableFunc(order, func(p, q place) int { return cmp.Compare(score(q), score(p)) })
	// eps is the distance from 1 to the next number, which keeps 0/0 out.
	eps := math.Nextafter(1, 2) - 1
	precision, recall := make([]float64, len(order)), make([]float64, len(order))
	for t := range e.iou {
		right, wrong := 0.0, 0.0
		for i, p := range order {
			if !ms[p.image].ignored[t][p.at] {
				if ms[p.image].found[t][p.at] {
					right++
				} else {
					wrong++
				}
			}
			recall[i] = right / float64(required)
			precision[i] = right / (wrong + right + eps)
		}
		envelope(precision)
		last := 0.0
		if len(order) > 0 {
			last = recall[len(order)-1]
		}
		e.result.Recall[e.recallIndex(t, k, a, m)] = last
		for r, want := range e.recall {
			q, s := 0.0, 0.0
			if i, _ := slices.BinarySearch(recall, want); i < len(order) {
				q, s = precision[i], score(order[i])
			}
			at := e.precisionIndex(t, r, k, a, m)
			e.result.Precision[at], e.result.Scores[at] = q, s
		}
	}
}

func (e *cocoEvaluation) recallIndex(t, k, a, m int) int {
	return ((t*len(e.categories)+k)*areas+a)*len(e.cfg.MaxDetections) + m
}

func (e *cocoEvaluation) precisionIndex(t, r, k, a, m int) int {
	return (((t*recalls+r)*len(e.categories)+k)*areas+a)*len(e.cfg.MaxDetections) + m
}

// mean averages the precision (or the recall) over categories and IoU thresholds;
// entries of -1 are left out. A negative category or threshold stands for all.
func (e *cocoEvaluation) mean(precision bool, t, k, a, m int) float64 {
	if m < 0 {
		return -1
	}
	all := func(i, n int) []int {
		if i >= 0 {
			return []int{i}
		}
		s := make([]int, n)
		for i := range s {
			s[i] = i
		}
		return s
	}
	sum, n := 0.0, 0
	add := func(v float64) {
		if v > -1 {
			sum += v
			n++
		}
	}
	for _, t := range all(t, thresholds) {
		for _, k := range all(k, len(e.categories)) {
			if !precision {
				add(e.result.Recall[e.recallIndex(t, k, a, m)])
				continue
			}
			for r := range recalls {
				add(e.result.Precision[e.precisionIndex(t, r, k, a, m)])
			}
		}
	}
	if n == 0 {
		return -1
	}
	return sum / float64(n)
}

func (e *cocoEvaluation) summarize() {
	const (
		all, small, medium, large = 0, 1, 2, 3
		at50, at75                = 0, 5 // thresholds
	)
	c := e.result
	hundred := slices.Index(e.cfg.MaxDetections[:], 100)
	c.AP = e.mean(true, -1, -1, all, hundred)
	c.AP50, c.AP75 = e.mean(true, at50, -1, all, 2), e.mean(true, at75, -1, all, 2)
	c.APSmall, c.APMedium, c.APLarge = e.mean(true, -1, -1, small, 2), e.mean(true, -1, -1, medium, 2), e.mean(true, -1, -1, large, 2)
	c.AR1, c.AR10, c.AR100 = e.mean(false, -1, -1, all, 0), e.mean(false, -1, -1, all, 1), e.mean(false, -1, -1, all, 2)
	c.ARSmall, c.ARMedium, c.ARLarge = e.mean(false, -1, -1, small, 2), e.mean(false, -1, -1, medium, 2), e.mean(false, -1, -1, large, 2)
	for k, id := range e.categories {
		p := COCOClass{Category: id, AP: e.mean(true, -1, k, all, 2), AP50: e.mean(true, at50, k, all, 2),
			AP75: e.mean(true, at75, k, all, 2), AR: e.mean(false, -1, k, all, 2)}
		for _, at := range e.at[k] {
			for _, o := range at.objects {
				if !e.objects[o].Crowd {
					p.Objects++
				}
			}
		}
		c.PerClass = append(c.PerClass, p)
	}
}
