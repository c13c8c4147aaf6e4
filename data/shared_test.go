package data

import (
	"context"
	"math"
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

func TestFashionMNIST(t *testing.T) {
	const dir = "/usr/share/datasets/fashion-mnist"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no Fashion-MNIST (%v): install Debian's dataset-fashion-mnist", err)
	}
	s, err := Open("idx:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Train.Len() != 60000 || s.Test.Len() != 10000 || s.Classes()[9] != "Ankle boot" {
		t.Errorf("%d and %d samples of %v", s.Train.Len(), s.Test.Len(), s.Classes())
	}
	p, err := Preset("fashion-mnist")
	if err != nil {
		t.Fatal(err)
	}
	mean, std, err := MeanStd(context.Background(), s.Train, p, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(mean[0]-p.Mean[0])) > 1e-4 || math.Abs(float64(std[0]-p.Std[0])) > 1e-4 {
		t.Errorf("mean %v and deviation %v, the preset has %v and %v", mean, std, p.Mean, p.Std)
	}
}

func TestSharedCIFAR(t *testing.T) {
	s, err := Open("cifar10:"+shared(t, "cifar10-lossless"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Train.Len() != 2000 || s.Test.Len() != 1000 || len(s.Classes()) != 10 {
		t.Errorf("%d and %d samples of %d classes, want 2000, 1000 and 10", s.Train.Len(), s.Test.Len(), len(s.Classes()))
	}
}

func TestSharedZip(t *testing.T) {
	s, err := Open("folder:"+shared(t, "cifar10-jpeg.zip"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Train.Len() != 50000 || s.Test.Len() != 10000 || len(s.Classes()) != 10 {
		t.Errorf("%d and %d samples of %d classes, want 50000, 10000 and 10", s.Train.Len(), s.Test.Len(), len(s.Classes()))
	}
}
