package train

import (
	"cmp"
	"slices"
)

// Gradients are added up and sent in buckets: those of the last layers, which the
// backward pass has first, are on their way while it computes those of the layers before.

// mostBuckets is about the number of buckets of a large network. More of them could be
// sent earlier, and cost more messages.
const mostBuckets = 8

// leastBucket is the fewest numbers of a bucket, but for the last: below, the time of a
// message hardly depends on its length. Tests change it.
var leastBucket = 1 << 16

// bucket is a slice of a vector.
type bucket struct{ lo, hi int }

func (b bucket) of(v *vector) []float32 { return v.all[b.lo:b.hi] }

// fillBuckets gives the step's parts their places in a vector, in the order of the graph,
// which is alike on all ranks.
func (s *Step) fillBuckets() {
	slices.SortStableFunc(s.parts, func(a, b sharedPart) int { return cmp.Compare(a.node, b.node) })
	s.shared, s.buckets = 0, nil
	for _, p := range s.parts {
		s.shared += p.shape.Numel()
	}
	full := max(leastBucket, s.shared/mostBuckets)
	at, lo := 0, 0
	for i := range s.parts {
		p := &s.parts[i]
		p.at, p.bucket = at, len(s.buckets)
		at += p.shape.Numel()
		if at-lo >= full || i == len(s.parts)-1 {
			s.buckets = append(s.buckets, bucket{lo, at})
			lo = at
		}
	}
}

// summing adds up the contributions of a rank's shards to an update, and of all ranks.
type summing struct {
	group group
	step  *Step
	own   span
	root  span

	nodes []node // whose sums are known and not part of another's yet, in order
	free  []*vector
	sums  []tally // of the shards
	hits  []int
	got   [][][]float32 // by bucket and rank: room for what the ranks send
}

type node struct {
	span
	sum *vector
}

func newSumming(g group, step *Step, shards int) *summing {
	return &summing{group: g, step: step, own: spanOf(g.rank(), g.size(), shards), root: span{0, shards}}
}

func (m *summing) vector() (*vector, error) {
	if n := len(m.free); n > 0 {
		v := m.free[n-1]
		m.free = m.free[:n-1]
		return v, nil
	}
	return m.step.newVector()
}

// next returns the number of the shard whose turn it is.
func (m *summing) next() int { return m.own.lo + len(m.sums) }

// add computes the next shard by a step, that of its input. With the last one of this
// rank, it makes the means over all shards, together with the other ranks, whether or
// not there is an error: all must have their shard.
func (m *summing) add(step *Step, in StepInput, b batch) error {
	v, err := m.vector()
	if err != nil {
		return err
	}
	last := m.next() == m.own.hi-1
	sums := m.grow(v)
	done := make([]chan struct{}, len(m.step.buckets)) // each is closed when the bucket is summed
	for i := range done {
		done[i] = make(chan struct{})
	}
	ready := func(i int) {
		for _, s := range sums {
			addTo(m.step.buckets[i].of(s.to), m.step.buckets[i].of(s.from))
		}
		close(done[i])
	}
	sent := make(chan error, 1)
	send := func() { sent <- m.average(done) }
	// Batch norms that are synchronized send messages during the step, and those of two
	// goroutines could meet on one rank in another order than on the next.
	during := last && m.step.synchronized == nil
	if during {
		go send()
	}
	r, err := step.runShard(in, v, ready)
	for i := range done {
		select {
		case <-done[i]:
		default:
			close(done[i]) // after an error: the others wait for it
		}
	}
	if last {
		if !during {
			go send()
		}
		if failed := <-sent; failed != nil {
			return lost(failed)
		}
	}
	if err != nil {
		return err
	}
	var t tally
	hits, _ := step.task.count(&t, r, b, step.classes)
	t.Loss, t.Batches = r.Loss, 1
	m.sums, m.hits = append(m.sums, t), append(m.hits, hits)
	return nil
}

// sum is an addition of vectors that a node of the tree stands for.
type sum struct{ to, from *vector }

// grow puts the next shard's vector, which is empty yet, at the end of the nodes. It
// returns what is to be added up when it is full, and takes this as done.
func (m *summing) grow(v *vector) []sum {
	var sums []sum
	k := m.next()
	m.nodes = append(m.nodes, node{span{k, k + 1}, v})
	for n := len(m.nodes); n > 1; n = len(m.nodes) {
		a, b := m.nodes[n-2], m.nodes[n-1]
		whole, ok := parent(m.root, a.span, b.span)
		if !ok {
			break
		}
		sums = append(sums, sum{a.sum, b.sum})
		m.free = append(m.free, b.sum)
		m.nodes = append(m.nodes[:n-2], node{whole, a.sum})
	}
	return sums
}

// clear forgets what was computed.
func (m *summing) clear() {
	for _, n := range m.nodes {
		m.free = append(m.free, n.sum)
	}
	m.nodes, m.sums, m.hits = m.nodes[:0], nil, nil
}

// means returns the means over all shards after the last one. They hold until clear.
func (m *summing) means() *vector { return m.nodes[0].sum }

// average turns each bucket of the first node, when it is done, into the mean over all
// shards of all ranks.
func (m *summing) average(done []chan struct{}) error {
	for i := range m.step.buckets {
		<-done[i]
		if m.group.alone() {
			m.scale(m.step.buckets[i].of(m.means()))
		} else if err := m.gather(i); err != nil {
			return err
		}
	}
	return nil
}

// scale turns a sum over the shards into their mean.
func (m *summing) scale(sum []float32) {
	share := 1 / float32(m.root.hi)
	for i := range sum {
		sum[i] *= share
	}
}

// gather is average for one bucket of several ranks: each gets the same slice of all
// nodes, adds them up, and sends the mean to all.
func (m *summing) gather(i int) error {
	ranks, rank := m.group.size(), m.group.rank()
	slice := func(v *vector, r int) []float32 {
		all := m.step.buckets[i].of(v)
		return all[len(all)*r/ranks : len(all)*(r+1)/ranks]
	}
	width := len(slice(m.means(), rank))
	if m.got == nil {
		m.got = make([][][]float32, len(m.step.buckets))
	}
	if m.got[i] == nil {
		m.got[i] = make([][]float32, ranks)
	}
	send, recv := make([][]float32, ranks), m.got[i]
	known := map[span][]float32{}
	for r := range ranks {
		if len(m.nodes) == 1 {
			send[r] = slice(m.means(), r)
		} else {
			for _, n := range m.nodes {
				send[r] = append(send[r], slice(n.sum, r)...)
			}
		}
		nodes := spanOf(r, ranks, m.root.hi).nodes(m.root)
		if recv[r] == nil {
			recv[r] = make([]float32, width*len(nodes))
		}
		for i, n := range nodes {
			known[n] = recv[r][i*width : (i+1)*width]
		}
	}
	if err := m.group.x.AllToAll(send, recv); err != nil {
		return err
	}
	mean := sumOf(known, m.root)
	m.scale(mean)
	all := make([][]float32, ranks)
	for r := range ranks {
		send[r], all[r] = mean, slice(m.means(), r)
	}
	return m.group.x.AllToAll(send, all)
}

// sumOf adds up the nodes below one, in the order of the tree, into one of theirs.
func sumOf(known map[span][]float32, of span) []float32 {
	if v, ok := known[of]; ok {
		return v
	}
	x, y := of.halves()
	a := sumOf(known, x)
	addTo(a, sumOf(known, y))
	return a
}

// addTo adds w to v.
func addTo(v, w []float32) {
	for i, x := range w {
		v[i] += x
	}
}
