//go:build !linux

package memory

// adviseHuge does nothing: this system chooses page sizes by itself.
func adviseHuge([]byte) {}
