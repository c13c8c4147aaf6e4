package data

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/philox"
)

// entry is one place in an epoch's order.
type entry struct {
	index uint32 // of the sample
	copy  uint32 // how many times the sample came before in this epoch
}

// order writes the samples of an epoch, in order, to dst. It depends only on its
// arguments and the configuration.
func (l *Loader) order(dst []entry, epoch int) []entry {
	n := l.ds.Len()
	if cap(dst) < n {
		dst = make([]entry, n)
	}
	dst = dst[:n]
	switch {
	case l.cfg.Balanced:
		l.balancedOrder(dst, epoch)
	default:
		for i := range dst {
			dst[i] = entry{index: uint32(i)}
		}
		if l.cfg.Shuffle {
			rng := philox.Keyed(l.cfg.Seed, uint32(opShuffle), uint32(epoch), 0)
			if shards := l.shards(); shards != nil {
				shuffleShards(dst, shards, &rng)
			} else {
				rng.Shuffle(n, func(i, j int) { dst[i], dst[j] = dst[j], dst[i] })
			}
		}
		if r := l.cfg.Repeat; r > 1 {
			for i := n - 1; i >= 0; i-- { // downwards: place i/r is read before it is written
				dst[i] = entry{index: dst[i/r].index, copy: uint32(i % r)}
			}
		}
	}
	return dst
}

// balancedOrder draws the class of each place with equal probability, and goes
// through the samples of a class in a random order again and again.
func (l *Loader) balancedOrder(dst []entry, epoch int) {
	rng := philox.Keyed(l.cfg.Seed, uint32(opBalance), uint32(epoch), 0)
	queues := make([][]uint32, len(l.byClass))
	next := make([]int, len(l.byClass))
	for k, members := range l.byClass {
		q := append([]uint32(nil), members...)
		rng.Shuffle(len(q), func(i, j int) { q[i], q[j] = q[j], q[i] })
		queues[k] = q
	}
	for i := range dst {
		k := rng.IntN(len(queues))
		q := queues[k]
		dst[i] = entry{index: q[next[k]%len(q)], copy: uint32(next[k] / len(q))}
		next[k]++
	}
}

// checkLabels returns an error if a sample's labels break the contract of Dataset,
// so that a custom dataset fails here and not in a worker.
func checkLabels(ds Dataset) error {
	classes, multi := len(ds.Classes()), ds.MultiLabel()
	for i := range ds.Len() {
		labels := ds.Labels(i)
		if !multi && len(labels) != 1 {
			return fmt.Errorf("data: %s has %d labels in a dataset with one label per sample", ds.Name(i), len(labels))
		}
		for _, l := range labels {
			if l < 0 || l >= classes {
				return fmt.Errorf("data: %s has label %d, but there are only %d classes", ds.Name(i), l, classes)
			}
		}
	}
	return nil
}

// samplesByClass returns the samples of each class that has any.
func samplesByClass(ds Dataset) ([][]uint32, error) {
	if ds.MultiLabel() {
		return nil, fmt.Errorf("data: balanced sampling needs one label per sample, but the dataset is multi-label")
	}
	all := make([][]uint32, len(ds.Classes()))
	for i := range ds.Len() {
		k := ds.Labels(i)[0]
		all[k] = append(all[k], uint32(i))
	}
	var used [][]uint32
	for _, members := range all {
		if len(members) > 0 {
			used = append(used, members)
		}
	}
	return used, nil
}

// ClassCounts returns the number of samples of each class.
func ClassCounts(ds Dataset) []int {
	counts := make([]int, len(ds.Classes()))
	for i := range ds.Len() {
		for _, k := range ds.Labels(i) {
			counts[k]++
		}
	}
	return counts
}

// ClassWeights returns a weight for each class that gives all classes the same
// share of a mean loss: samples / (classes * samples of the class), so that the
// mean weight over the samples is 1 (scikit-learn's "balanced"). Classes without
// samples get 0 and are not counted. In a multi-label dataset, every label counts
// as a sample.
func ClassWeights(ds Dataset) []float32 {
	counts := ClassCounts(ds)
	total, used := 0, 0
	for _, n := range counts {
		total += n
		if n > 0 {
			used++
		}
	}
	w := make([]float32, len(counts))
	for k, n := range counts {
		if n > 0 {
			w[k] = float32(float64(total) / (float64(used) * float64(n)))
		}
	}
	return w
}
