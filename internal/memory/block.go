package memory

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Block is the memory of arrays that this package has made. When nothing refers
// to it any more, it goes back to the system, even if the arrays are still in
// use: keep the block as long as an array.
type Block struct {
	bytes   []byte // of a map; nil for memory of Go's heap
	cleanup runtime.Cleanup
}

// The garbage collector does not see the memory of blocks that it could free, so
// this package runs it when the memory in use has doubled since its last run.
const minCollect = 256 << 20 // bytes in use below which it is left alone

var inUse, collectAt atomic.Int64

func init() { collectAt.Store(minCollect) }

// large returns n zeros at any address.
func large(n int) ([]float32, *Block) {
	size := int64(n) * 4
	if inUse.Load()+size > collectAt.Load() {
		runtime.GC()
		collectAt.Store(max(minCollect, 2*(inUse.Load()+size)))
	}
	bytes := mapAnonymous(int(size))
	if bytes == nil {
		return make([]float32, n), &Block{}
	}
	inUse.Add(size)
	b := &Block{bytes: bytes}
	b.cleanup = runtime.AddCleanup(b, release, bytes)
	return unsafe.Slice((*float32)(unsafe.Pointer(&bytes[0])), n), b
}

// Free gives the memory back at once. Its arrays must not be used any more.
func (b *Block) Free() {
	if b.bytes != nil {
		b.cleanup.Stop()
		release(b.bytes)
		b.bytes = nil
	}
}

func release(bytes []byte) {
	unmap(bytes)
	collectAt.Store(max(minCollect, 2*inUse.Add(-int64(len(bytes)))))
}
