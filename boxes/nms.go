package boxes

import (
	"cmp"
	"slices"
)

// NMS is non-maximum suppression: it returns the indices of the boxes that no
// other box of a higher score overlaps with an IoU above threshold, the highest
// score first. Of equal scores the first box counts as the higher. scores must have
// as many elements as boxes.
func NMS(boxes []Box, scores []float32, threshold float64) []int {
	order := make([]int, len(boxes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return descending(scores[a], scores[b]) })
	area := make([]float32, len(boxes))
	for i, b := range boxes {
		area[i] = b.Area()
	}
	suppressed := make([]bool, len(boxes))
	var keep []int
	for n, i := range order {
		if suppressed[i] {
			continue
		}
		keep = append(keep, i)
		for _, j := range order[n+1:] {
			if suppressed[j] {
				continue
			}
			inter := intersection(boxes[i], boxes[j])
			// Two boxes without an area give NaN, which suppresses nothing.
			if iou := inter / (area[i] + area[j] - inter); float64(iou) > threshold {
				suppressed[j] = true
			}
		}
	}
	return keep
}

// descending orders from high to low, NaN first, as PyTorch sorts.
func descending(a, b float32) int {
	if a != a || b != b {
		return cmp.Compare(isNaN(b), isNaN(a))
	}
	return cmp.Compare(b, a)
}

func isNaN(x float32) int {
	if x != x {
		return 1
	}
	return 0
}

// offsetLimit is the number of boxes up to which [BatchedNMS] shifts groups apart.
const offsetLimit = 1000

// BatchedNMS is [NMS] for each group of boxes, such as those of one class: boxes of
// different groups do not suppress each other. The indices of all groups come with
// the highest score first.
//
// As in torchvision on a CPU, up to 1000 boxes are handled at once, each group
// shifted to a place of its own, which rounds coordinates; more are handled group
// by group.
func BatchedNMS(boxes []Box, scores []float32, groups []int, threshold float64) []int {
	if len(boxes) == 0 {
		return nil
	}
	if len(boxes) <= offsetLimit {
		return NMS(apart(boxes, groups), scores, threshold)
	}
	members := map[int][]int{}
	for i, g := range groups {
		members[g] = append(members[g], i)
	}
	keep := make([]bool, len(boxes))
	var b []Box
	var s []float32
	for _, m := range members {
		b, s = b[:0], s[:0]
		for _, i := range m {
			b, s = append(b, boxes[i]), append(s, scores[i])
		}
		for _, i := range NMS(b, s, threshold) {
			keep[m[i]] = true
		}
	}
	var kept []int
	for i, k := range keep {
		if k {
			kept = append(kept, i)
		}
	}
	slices.SortStableFunc(kept, func(a, b int) int { return descending(scores[a], scores[b]) })
	return kept
}

// apart returns the boxes with each group shifted by more than the largest
// coordinate.
func apart(boxes []Box, groups []int) []Box {
	largest := boxes[0].X1
	for _, b := range boxes {
		largest = max(largest, b.X1, b.Y1, b.X2, b.Y2)
	}
	out := make([]Box, len(boxes))
	for i, b := range boxes {
		d := float32(float32(groups[i]) * (largest + 1))
		out[i] = Box{b.X1 + d, b.Y1 + d, b.X2 + d, b.Y2 + d}
	}
	return out
}

// TopK returns the indices of the k highest scores, the highest first, or of all
// scores if there are fewer. Of equal scores the first is taken.
func TopK(scores []float32, k int) []int {
	if k < 1 {
		return nil
	}
	best := make([]int, 0, min(len(scores), 2*k))
	byScore := func(a, b int) int { return cmp.Or(descending(scores[a], scores[b]), cmp.Compare(a, b)) }
	cut := -1 // the k-th best of those seen at the last sort, -1 before
	for i, s := range scores {
		if cut >= 0 && descending(s, scores[cut]) >= 0 {
			continue
		}
		if len(best) == 2*k { // only now and then, so that most scores cost a comparison
			slices.SortFunc(best, byScore)
			best = best[:k]
			cut = best[k-1]
		}
		best = append(best, i)
	}
	slices.SortFunc(best, byScore)
	return best[:min(k, len(best))]
}
