// Package peer finds the programs that tests compare with: PyTorch, Keras, onnxruntime
// and others, as modules of the Python that RESNET_PEER_PYTHON names.
package peer

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Python returns the path of the Python, and skips a test for which it lacks modules.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	python := os.Getenv("RESNET_PEER_PYTHON")
	if python == "" {
		t.Skip("RESNET_PEER_PYTHON names no Python with " + strings.Join(modules, ", "))
	}
	if lacks := lacking(t, python, modules); lacks != "" {
		t.Skipf("RESNET_PEER_PYTHON, %s, lacks %s", python, lacks)
	}
	return python
}

// Has reports whether the Python is named and has modules, for a test that compares with
// another program beside what it does without.
func Has(t testing.TB, modules ...string) bool {
	t.Helper()
	python := os.Getenv("RESNET_PEER_PYTHON")
	return python != "" && lacking(t, python, modules) == ""
}

// lacking returns those of the modules that cannot be found. They are not imported, which
// takes seconds for some.
func lacking(t testing.TB, python string, modules []string) string {
	t.Helper()
	const script = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if not importlib.util.find_spec(m)], sep=', ')"
	out, err := exec.Command(python, append([]string{"-c", script}, modules...)...).Output()
	if err != nil {
		t.Fatalf("RESNET_PEER_PYTHON, %s, does not run: %v", python, err)
	}
	return strings.TrimSpace(string(out))
}

// Draws returns how many cases a test draws at random, and the seed of the first:
// RESNET_DRAWS, or nightly with RESNET_NIGHTLY=1, or usual; and RESNET_SEED, or 1, or in a
// nightly run one of the day, so that each night has cases of its own.
func Draws(t testing.TB, usual, nightly int) (count, seed int) {
	t.Helper()
	first := 1
	if os.Getenv("RESNET_NIGHTLY") == "1" {
		usual = nightly
		first += int(time.Now().Unix()/86400) * nightly
	}
	count, seed = number(t, "RESNET_DRAWS", usual), number(t, "RESNET_SEED", first)
	t.Logf("%d cases from seed %d on", count, seed)
	return count, seed
}

func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
