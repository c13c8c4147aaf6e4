package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/masks"
)

// Object is a true object in a picture. Boxes are x, y, width, height in pixels,
// from the upper left corner of the picture.
type Object struct {
	ID       int64      `json:"id"` // no two objects have the same
	Image    int64      `json:"image_id"`
	Category int64      `json:"category_id"`
	Box      [4]float64 `json:"bbox"`
	// Area decides whether the object is small, medium or large: COCO's files give
	// the number of pixels of the mask, also for boxes.
	Area float64 `json:"area"`
	// Crowd marks a group of objects: detections inside are neither right nor wrong.
	Crowd bool `json:"iscrowd"`
	// Difficult objects are neither required nor wrong in [EvaluateVOC].
	// [EvaluateCOCO] does not use it.
	Difficult bool `json:"difficult,omitempty"`
	// Mask is used by [EvaluateCOCO] with COCOConfig.Masks.
	Mask *masks.RLE `json:"-"`
}

// Detection is what a model found in a picture, as in COCO's result files.
type Detection struct {
	Image    int64      `json:"image_id"`
	Category int64      `json:"category_id"`
	Box      [4]float64 `json:"bbox"` // x, y, width, height in pixels
	Score    float64    `json:"score"`
	Mask     *masks.RLE `json:"-"`
}

// cell is the objects and detections of one category in one picture: indexes, in
// the given order.
type cell struct {
	objects, detections []int
}

// cells groups objects and detections by category and picture. Categories and
// pictures are sorted and have no doubles; objects of others are left out, and so
// are detections of other categories.
type cells struct {
	images, categories []int64
	at                 [][]cell // [category][image]
}

func group(objects []Object, detections []Detection, images, categories []int64) (*cells, error) {
	c := &cells{images: distinct(images), categories: distinct(categories)}
	if len(c.categories) == 0 {
		return nil, errors.New("metrics: there are no categories to evaluate")
	}
	for range c.categories {
		c.at = append(c.at, make([]cell, len(c.images)))
	}
	ids := make(map[int64]bool, len(objects))
	for i, o := range objects {
		if ids[o.ID] {
			return nil, fmt.Errorf("metrics: two objects have the id %d: give each its own", o.ID)
		}
		ids[o.ID] = true
		image, ok := slices.BinarySearch(c.images, o.Image)
		category, ok2 := slices.BinarySearch(c.categories, o.Category)
		if ok && ok2 {
			at := &c.at[category][image]
			at.objects = append(at.objects, i)
		}
	}
	for i, d := range detections {
		if math.IsNaN(d.Score) {
			return nil, fmt.Errorf("metrics: the score of detection %d, in image %d, is not a number", i, d.Image)
		}
		image, ok := slices.BinarySearch(c.images, d.Image)
		if !ok {
			return nil, fmt.Errorf("metrics: detection %d is in image %d, which is not among the images to evaluate", i, d.Image)
		}
		if category, ok := slices.BinarySearch(c.categories, d.Category); ok {
			at := &c.at[category][image]
			at.detections = append(at.detections, i)
		}
	}
	for _, row := range c.at {
		for _, at := range row { // equal scores keep their order
			slices.SortStableFunc(at.detections, func(a, b int) int { return cmp.Compare(detections[b].Score, detections[a].Score) })
		}
	}
	return c, nil
}

func distinct(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// envelope makes the precisions at rising recall fall: each becomes the highest of
// those to its right.
func envelope(precision []float64) {
	for i := len(precision) - 1; i > 0; i-- {
		precision[i-1] = max(precision[i-1], precision[i])
	}
}
