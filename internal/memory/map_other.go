//go:build !unix

package memory

// mapAnonymous returns nil: the heap serves.
func mapAnonymous(int) []byte { return nil }

func unmap([]byte) {}
