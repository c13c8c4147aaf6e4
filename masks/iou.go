package masks

import "fmt"

// IoU returns the overlap of each detection with each true object, area of the
// intersection over area of the union, as [detections][objects] in one slice. For
// an object that is a crowd the intersection is divided by the detection's area
// instead, so that a detection inside the crowd overlaps it wholly. crowd is nil or
// has one entry per object. It is an error if the sizes of the masks differ.
func IoU(detections, objects []RLE, crowd []bool) ([]float64, error) {
	db, ob := boxes(detections), boxes(objects)
	iou := BoxIoU(db, ob, crowd)
	for i, d := range detections {
		for j, o := range objects {
			if d.H != o.H || d.W != o.W {
				return nil, fmt.Errorf("masks: masks of %d x %d and %d x %d pixels have no overlap, must be of one size", d.H, d.W, o.H, o.W)
			}
			at := &iou[i*len(objects)+j]
			if !(*at > 0) {
				continue // their boxes do not meet
			}
			var both, any uint32
			walk(d.Counts, o.Counts, func(n uint32, inD, inO bool) {
				if inD || inO {
					any += n
				}
				if inD && inO {
					both += n
				}
			})
			switch {
			case both == 0:
				any = 1
			case crowd != nil && crowd[j]:
				any = uint32(d.Area())
			}
			*at = float64(both) / float64(any)
		}
	}
	return iou, nil
}

func boxes(rs []RLE) [][4]float64 {
	bs := make([][4]float64, len(rs))
	for i, r := range rs {
		bs[i] = r.Box()
	}
	return bs
}

// BoxIoU is [IoU] for boxes of x, y, width, height. Boxes that do not meet have
// overlap 0, also those without area.
func BoxIoU(detections, objects [][4]float64, crowd []bool) []float64 {
	iou := make([]float64, len(detections)*len(objects))
	for i, d := range detections {
		// The conversions keep the compiler from fusing products with sums, so that
		// every machine gives the same bits.
		da := float64(d[2] * d[3])
		for j, o := range objects {
			w := min(d[2]+d[0], o[2]+o[0]) - max(d[0], o[0])
			h := min(d[3]+d[1], o[3]+o[1]) - max(d[1], o[1])
			if !(w > 0 && h > 0) {
				continue
			}
			both := float64(w * h)
			union := da
			if crowd == nil || !crowd[j] {
				union = da + float64(o[2]*o[3]) - both
			}
			iou[i*len(objects)+j] = both / union
		}
	}
	return iou
}
