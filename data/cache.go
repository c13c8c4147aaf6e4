package data

import (
	"sync/atomic"

	"github.com/resnet-go/resnet/data/imaging"
)

// cache keeps decoded pictures in memory, so that later epochs do not decode
// them again.
type cache struct {
	Dataset
	pictures []atomic.Pointer[imaging.Image]
	free     atomic.Int64 // bytes that may still be used
}

// newCache returns a cache of up to limit bytes in front of ds, or nil if a cache
// would be useless: the dataset is in memory already, or only a small part would
// fit. It estimates the size from a few samples.
func newCache(ds Dataset, limit int64) *cache {
	if limit <= 0 || ds.Len() == 0 || inMemory(ds) {
		return nil
	}
	var seen, bytes int64
	var m imaging.Image
	for i := 0; i < ds.Len(); i += max(1, ds.Len()/8) {
		if ds.Decode(i, &m) == nil { // a bad sample is reported when it is used
			seen++
			bytes += int64(len(m.Pix))
		}
	}
	if seen == 0 || bytes/seen*int64(ds.Len()) > limit {
		return nil
	}
	c := &cache{Dataset: ds, pictures: make([]atomic.Pointer[imaging.Image], ds.Len())}
	c.free.Store(limit)
	return c
}

// get returns sample i, which the caller must not change. A picture that is not
// kept is decoded into spare.
func (c *cache) get(i int, spare *imaging.Image) (*imaging.Image, error) {
	if m := c.pictures[i].Load(); m != nil {
		return m, nil
	}
	if err := c.Decode(i, spare); err != nil {
		return nil, err
	}
	size := int64(len(spare.Pix))
	if c.free.Add(-size) < 0 {
		c.free.Add(size)
		return spare, nil
	}
	kept := spare.Clone()
	c.pictures[i].Store(kept)
	return kept, nil
}
