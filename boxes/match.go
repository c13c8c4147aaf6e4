package boxes

import "math"

// What [Matcher.Match] returns for an anchor without an object.
const (
	Below   = -1 // background: no object overlaps enough
	Between = -2 // neither background nor object
)

// Matcher assigns objects to anchors by their overlap (Ren et al. 2015, section
// 3.1.2).
type Matcher struct {
	// High and Low are the IoU from which an anchor belongs to an object, and under
	// which it is background.
	High, Low float32
	// LowQuality also gives an object the anchors that overlap it most, however
	// little: each such anchor goes to the object that it overlaps most itself, which
	// may be another.
	LowQuality bool
}

// Match returns for each anchor the index of its object, or [Below] or [Between].
// Of objects with equal overlap the first is taken. Without objects all anchors are
// Below.
func (m Matcher) Match(objects, anchors []Box) []int {
	match := make([]int, len(anchors))
	if len(objects) == 0 {
		for i := range match {
			match[i] = Below
		}
		return match
	}
	best := make([]float32, len(objects)) // of each object over the anchors
	for i := range best {
		best[i] = float32(math.Inf(-1))
	}
	value := make([]float32, len(anchors)) // of each anchor over the objects
	for i, a := range anchors {
		for j, o := range objects {
			v := IoU(o, a)
			if j == 0 || v > value[i] || v != v && value[i] == value[i] {
				value[i], match[i] = v, j
			}
			best[j] = max(best[j], v)
		}
	}
	// The rows are computed again instead of kept, because 200,000 anchors by 100
	// objects are 80 MB.
	for i, a := range anchors {
		switch {
		case m.LowQuality && m.ties(a, objects, best):
		case value[i] < m.Low:
			match[i] = Below
		case value[i] < m.High:
			match[i] = Between
		}
	}
	return match
}

// ties reports whether no anchor overlaps one of the objects more than a.
func (m Matcher) ties(a Box, objects []Box, best []float32) bool {
	for j, o := range objects {
		if IoU(o, a) == best[j] {
			return true
		}
	}
	return false
}

// Sampler chooses anchors for a loss, positives and negatives in a balance
// (Girshick 2015, "Fast R-CNN", section 2.3).
type Sampler struct {
	Size     int     // anchors to choose
	Positive float64 // largest part that is positive
}

// Sample returns the chosen indices of positives, whose match is an object, and
// negatives, whose match is [Below], in rising order. permute(n) returns the
// numbers 0 to n-1 in random order.
func (s Sampler) Sample(match []int, permute func(n int) []int) (positives, negatives []int) {
	for i, m := range match {
		switch {
		case m >= 0:
			positives = append(positives, i)
		case m == Below:
			negatives = append(negatives, i)
		}
	}
	positives = choose(positives, int(float64(s.Size)*s.Positive), permute)
	negatives = choose(negatives, s.Size-len(positives), permute)
	return positives, negatives
}

// choose returns n of the indices, or all if there are fewer, in their order.
func choose(indices []int, n int, permute func(n int) []int) []int {
	if len(indices) <= n {
		return indices
	}
	chosen := make([]bool, len(indices))
	for _, i := range permute(len(indices))[:n] {
		chosen[i] = true
	}
	out := make([]int, 0, n)
	for i, c := range chosen {
		if c {
			out = append(out, indices[i])
		}
	}
	return out
}
