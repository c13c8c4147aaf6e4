//go:build !unix

package atomicfile

// syncDir does nothing where folders cannot be flushed.
func syncDir(string) error { return nil }
