package isa

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The committed assembly is what the generator writes. The generator is a
// separate module with its own dependencies, so this runs in CI only.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("set CI=true to run the generator in _asm, which needs its modules")
	}
	if os.Getenv("GOARCH") != "" {
		t.Skip("GOARCH is set, so that the generator would not run here; the run for this machine's architecture checks it")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", ".", "-out", dir)
	cmd.Dir = "../_asm"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go run . in internal/simd/_asm: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(made) == 0 {
		t.Fatalf("the generator wrote nothing (%v)", err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what _asm writes: run go generate ./internal/simd/isa and commit the result", name)
		}
	}
}
