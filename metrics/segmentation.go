package metrics

import (
	"fmt"
	"math"
)

// SegmentationReport holds the quality of the classes of pixels, as plain data for
// JSON.
type SegmentationReport struct {
	Classes []string `json:"classes"`
	// Confusion has, for each true class, how many of its pixels got each class.
	Confusion [][]int64 `json:"confusion"`
	Pixels    int64     `json:"pixels"`  // that count
	Ignored   int64     `json:"ignored"` // that do not
	// MeanIoU is the mean of IoU over the classes that occur.
	MeanIoU float64 `json:"mean_iou"`
	// PixelAccuracy is the share of the pixels whose class is right.
	PixelAccuracy float64 `json:"pixel_accuracy"`
	// MeanAccuracy is the mean of Accuracy over the true classes that occur.
	MeanAccuracy float64 `json:"mean_accuracy"`
	// PerClass has a row for each class.
	PerClass []ClassIoU `json:"per_class"`
}

// ClassIoU is how well one class is found.
type ClassIoU struct {
	Class string `json:"class"`
	// IoU is intersection over union of the true and the found pixels; nil if
	// there are neither.
	IoU *float64 `json:"iou"`
	// Accuracy is the share of the true pixels that are found; nil without true ones.
	Accuracy *float64 `json:"accuracy"`
	Dice     *float64 `json:"dice"`   // 2·intersection / (true + found); nil if there are neither
	Pixels   int64    `json:"pixels"` // true ones
}

// PixelConfusion counts pixels by their true and their found class, over any number
// of pictures.
type PixelConfusion struct {
	Classes int
	Counts  []int64 // [true found]
	Ignored int64   // pixels that do not count
}

// NewPixelConfusion returns counts of zero.
func NewPixelConfusion(classes int) *PixelConfusion {
	return &PixelConfusion{Classes: classes, Counts: make([]int64, classes*classes)}
}

// Add counts the pixels of a picture. A true class that is none of the classes does
// not count. It panics if the numbers of pixels differ or a found class is none.
func (c *PixelConfusion) Add(truth, found []uint8) {
	if len(truth) != len(found) {
		panic(fmt.Sprintf("metrics: %d true classes of pixels and %d found ones", len(truth), len(found)))
	}
	for i, t := range truth {
		if int(t) >= c.Classes {
			c.Ignored++
			continue
		}
		c.Counts[int(t)*c.Classes+int(found[i])]++
	}
}

// Plus adds the counts of other pictures. It panics if they have other classes.
func (c *PixelConfusion) Plus(o *PixelConfusion) {
	if o.Classes != c.Classes {
		panic(fmt.Sprintf("metrics: counts of %d classes are added to those of %d", o.Classes, c.Classes))
	}
	for i, n := range o.Counts {
		c.Counts[i] += n
	}
	c.Ignored += o.Ignored
}

// Report returns the figures, as torchvision's reference evaluation computes them
// from the counts of all pictures together: IoU is the diagonal over row plus column
// minus diagonal. Classes that occur neither in the masks nor in the answers, which
// are NaN there, are left out of the mean, and nil here.
func (c *PixelConfusion) Report(classes []string) (*SegmentationReport, error) {
	if len(classes) != c.Classes {
		return nil, fmt.Errorf("metrics: there are names for %d classes, must be %d", len(classes), c.Classes)
	}
	r := &SegmentationReport{Classes: classes, Ignored: c.Ignored}
	n := c.Classes
	rows, columns := make([]int64, n), make([]int64, n)
	right := int64(0)
	for i := range n {
		row := c.Counts[i*n : (i+1)*n : (i+1)*n]
		r.Confusion = append(r.Confusion, row)
		for j, k := range row {
			rows[i] += k
			columns[j] += k
			r.Pixels += k
		}
		right += row[i]
	}
	if r.Pixels == 0 {
		return nil, fmt.Errorf("metrics: no pixel counts: all of them are ignored")
	}
	share := func(a, b int64) *float64 {
		if b == 0 {
			return nil
		}
		x := float64(a) / float64(b)
		return &x
	}
	var ious, accuracies []float64
	for i, class := range classes {
		hit := r.Confusion[i][i]
		row := ClassIoU{Class: class, Pixels: rows[i], IoU: share(hit, rows[i]+columns[i]-hit), Accuracy: share(hit, rows[i]), Dice: share(2*hit, rows[i]+columns[i])}
		if row.IoU != nil {
			ious = append(ious, *row.IoU)
		}
		if row.Accuracy != nil {
			accuracies = append(accuracies, *row.Accuracy)
		}
		r.PerClass = append(r.PerClass, row)
	}
	r.MeanIoU, r.MeanAccuracy, r.PixelAccuracy = mean(ious), mean(accuracies), float64(right)/float64(r.Pixels)
	return r, nil
}

func mean(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
