//go:build unix

package data

import (
	"path/filepath"
	"syscall"
	"testing"
)

// makePipe makes a named pipe and returns its name.
func makePipe(t *testing.T, dir, name string) []string {
	if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
		t.Log(err)
		return nil
	}
	return []string{name}
}
