package metrics

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/masks"
)

// VOCConfig is what [EvaluateVOC] evaluates.
type VOCConfig struct {
	Images     []int64 // ids of all pictures
	Categories []int64 // ids of all categories; others are left out
	// IoU is the overlap above which a detection is right; 0 means 0.5.
	IoU float64
	// ElevenPoints averages the precision at recall 0, 0.1, …, 1, as the challenges up
	// to 2009 did, instead of taking the area under the curve.
	ElevenPoints bool
}

// VOC is the result of [EvaluateVOC].
type VOC struct {
	MAP      float64    `json:"map"` // mean over the categories that have objects; -1 if none has
	PerClass []VOCClass `json:"per_class"`
}

// VOCClass is the average precision of one category, by rising id.
type VOCClass struct {
	Category int64   `json:"category_id"`
	Objects  int     `json:"objects"` // difficult ones left out
	AP       float64 `json:"ap"`      // -1 without objects
}

// EvaluateVOC measures detections by the protocol of the Pascal VOC challenge
// (Everingham et al., "The Pascal Visual Object Classes Challenge", 2010, section
// 4.2), as detectron2 implements it: a detection takes the object that it overlaps
// most and is right if the overlap is above the limit and the object is not taken
// yet; difficult objects neither count nor punish. Crowds are taken as difficult. The
// boxes are [Object]'s and [Detection]'s: a VOC file's inclusive xmin, ymin, xmax, ymax
// are the box xmin-1, ymin-1, xmax-xmin+1, ymax-ymin+1. The errors are those of
// [EvaluateCOCO].
func EvaluateVOC(objects []Object, detections []Detection, cfg VOCConfig) (*VOC, error) {
	if cfg.IoU == 0 {
		cfg.IoU = 0.5
	}
	if !(cfg.IoU > 0 && cfg.IoU < 1) {
		return nil, fmt.Errorf("metrics: IoU is %v, must be between 0 and 1", cfg.IoU)
	}
	c, err := group(objects, detections, cfg.Images, cfg.Categories)
	if err != nil {
		return nil, err
	}
	v := new(VOC)
	n := 0
	for k, id := range c.categories {
		p := VOCClass{Category: id}
		p.Objects, p.AP = c.vocClass(k, objects, detections, cfg)
		if p.Objects > 0 {
			v.MAP += p.AP
			n++
		}
		v.PerClass = append(v.PerClass, p)
	}
	if n == 0 {
		v.MAP = -1
	} else {
		v.MAP /= float64(n)
	}
	return v, nil
}

func (c *cells) vocClass(k int, objects []Object, detections []Detection, cfg VOCConfig) (required int, ap float64) {
	type outcome struct {
		score          float64
		right, ignored bool
	}
	var all []outcome
	for _, at := range c.at[k] {
		boxes := make([][4]float64, len(at.objects))
		difficult := make([]bool, len(at.objects))
		for j, o := range at.objects {
			boxes[j] = objects[o].Box
			difficult[j] = objects[o].Difficult || objects[o].Crowd
			if !difficult[j] {
				required++
			}
		}
		taken := make([]bool, len(at.objects))
		for _, d := range at.detections {
			best, found := cfg.IoU, -1
			for j, v := range masks.BoxIoU([][4]float64{detections[d].Box}, boxes, nil) {
				if v > best {
					best, found = v, j
				}
			}
			o := outcome{score: detections[d].Score}
			if found >= 0 {
				o.ignored = difficult[found]
				o.right = !taken[found]
				taken[found] = true
			}
			all = append(all, o)
		}
	}
	if required == 0 {
		return 0, -1
	}
	slices.SortStableFunc(all, func(a, b outcome) int { return cmp.Compare(b.score, a.score) })
	var recall, precision []float64
	right, wrong := 0, 0
	for _, o := range all {
		switch {
		case o.ignored:
		case o.right:
			right++
		default:
			wrong++
		}
		recall = append(recall, float64(right)/float64(required))
		precision = append(precision, ratio(right, right+wrong))
	}
	envelope(precision)
	if cfg.ElevenPoints {
		step := 0.1
		for i := range 11 {
			if at, _ := slices.BinarySearch(recall, float64(i)*step); at < len(recall) {
				ap += precision[at] / 11
			}
		}
		return required, ap
	}
	last := 0.0
	for i, r := range recall {
		ap += float64((r - last) * precision[i])
		last = r
	}
	return required, ap
}
