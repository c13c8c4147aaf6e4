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

// photoFolder returns a folder with the shared photographs in two classes.
func photoFolder(t testing.TB) string {
	t.Helper()
	from, to := shared(t, "imagenet-samples"), t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		class := filepath.Join(to, []string{"even", "odd"}[i%2])
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		// Lower-case .jpg, so that the ending is one that is known.
		if err := os.WriteFile(filepath.Join(class, e.Name()+".jpg"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
