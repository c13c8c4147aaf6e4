package data

import (
	"os"
	"path/filepath"
	"testing"
)

// shared returns the path of a file of the shared real data, which CI and
// developers have beside the repository; tests that need it skip elsewhere.
func shared(t testing.TB, name string) string {
	t.Helper()
	root := filepath.Join("..", "..", "shared", "data")
	if dir := os.Getenv("RESNET_SHARED"); dir != "" {
		root = dir
		if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
			root = filepath.Join(dir, "data")
		}
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no shared data (%v); set RESNET_SHARED to the folder that has %s", err, name)
	}
	return path
}
