package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// counted are the steps whose instructions are counted: small ones, for they run
// in an emulator. Training is not among them: qemu-x86_64 7.2 hung in it.
var counted = []Config{
	{Model: "resnet20-cifar", Mode: Infer, Batch: 1, Threads: 1},
	{Model: "resnet20-cifar", Mode: Infer, Batch: 1, Threads: 1, Exact: true},
}

// countTolerance is how far a count may be from the table, as a share. The same
// program counts the same to a few parts in 10^4; a newer compiler changes the
// Go code between the kernels by more.
const countTolerance = 0.03

// TestInstructions guards speed without a clock: how many instructions a step
// executes in our own functions, for each instruction set that qemu can run,
// whatever the processor. After an intended change, run it with -update
// and shows the difference in the commit.
func TestInstructions(t *testing.T) {
	if os.Getenv("RESNET_COUNT") == "" {
		t.Skip("set RESNET_COUNT=1 to count instructions, with qemu-user and gcc installed")
	}
	dir := t.TempDir()
	type line struct {
		name  string
		count float64
	}
	var lines []line
	most := map[string]string{}
	for _, m := range []struct{ arch, emulator, isa string }{
		{"amd64", "qemu-x86_64", "avx2"}, {"arm64", "qemu-aarch64", "neon"},
	} {
		program := filepath.Join(dir, m.arch+".test")
		build := exec.Command("go", "test", "-c", "-o", program, ".")
		build.Env = append(os.Environ(), "GOARCH="+m.arch, "GOOS=linux", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building for %s: %v\n%s", m.arch, err, out)
		}
		plugin := buildPlugin(t, dir, m.emulator, program)
		for i, cfg := range counted {
			// Less what it takes to compile the network and to pack weights.
			functions := countFunctions(t, m.emulator, plugin, program, i, 3)
			for f, n := range countFunctions(t, m.emulator, plugin, program, i, 1) {
				functions[f] -= n
			}
			name := fmt.Sprintf("%s %s", m.isa, cfg)
			if cfg.Exact {
				name += " exact"
			}
			total := 0.0
			for _, n := range functions {
				total += n / 2
			}
			lines = append(lines, line{name, total})
			names := slices.SortedFunc(maps.Keys(functions), func(a, b string) int { return cmp.Compare(functions[b], functions[a]) })
			for _, f := range names[:min(12, len(names))] {
				most[name] += fmt.Sprintf("\n%12.0f %s", functions[f]/2, f)
			}
		}
	}
	path := filepath.Join("testdata", "instructions.txt")
	if *update {
		var b strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&b, "%s: %.0f\n", l.name, l.count)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		name, n, _ := strings.Cut(strings.TrimSpace(l), ": ")
		if want[name], err = strconv.ParseFloat(n, 64); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if len(want) != len(lines) {
		t.Errorf("%s has %d lines, there are %d counts", path, len(want), len(lines))
	}
	for _, l := range lines {
		share := l.count/want[l.name] - 1
		t.Logf("%s: %.0f instructions, %+.3f %%", l.name, l.count, 100*share)
		if !(math.Abs(share) <= countTolerance) {
			t.Errorf("%s: %.0f instructions, the table has %.0f; most are in%s", l.name, l.count, want[l.name], most[l.name])
		}
	}
}

// buildPlugin compiles the plugin for an emulator: its interface has had several
// versions, of which each emulator takes some.
func buildPlugin(t *testing.T, dir, emulator, program string) string {
	t.Helper()
	var problems []string
	for version := 1; version <= 5; version++ {
		plugin := filepath.Join(dir, fmt.Sprintf("%s-%d.so", emulator, version))
		out, err := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-Wall", fmt.Sprintf("-DVERSION=%d", version),
			"-o", plugin, filepath.Join("testdata", "instructions.c")).CombinedOutput()
		if err != nil {
			t.Fatalf("gcc: %v\n%s", err, out)
		}
		out, err = exec.Command(emulator, "-plugin", plugin+",out="+filepath.Join(dir, "try"), program, "-test.run=^$").CombinedOutput()
		if err == nil {
			return plugin
		}
		problems = append(problems, fmt.Sprintf("%v\n%s", err, out))
	}
	t.Fatalf("%s takes no version of the plugin: %s", emulator, strings.Join(problems, "\n"))
	return ""
}

// countFunctions returns the instructions by function of a program that does a
// number of steps.
func countFunctions(t *testing.T, emulator, plugin, program string, which, steps int) map[string]float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "counts")
	run := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // takes seconds
		defer cancel()
		cmd := exec.CommandContext(ctx, emulator, "-plugin", plugin+",out="+out, program, "-test.run=^TestStepsToCount$")
		// Nothing of the runtime's that comes and goes with time: collections,
		// signals that take a goroutine off.
		cmd.Env = append(os.Environ(), fmt.Sprintf("RESNET_STEPS=%d/%d", which, steps), "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
		text, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || !strings.Contains(string(text), "PASS") {
			t.Fatalf("%s: %v\n%s", emulator, err, text)
		}
		return nil
	}
	if err := run(); err != nil {
		t.Logf("%s did not end, once more: %v", emulator, err)
		if err := run(); err != nil {
			t.Fatalf("%s did not end: %v", emulator, err)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		n, name, _ := strings.Cut(strings.TrimSpace(l), " ")
		v, err := strconv.ParseFloat(n, 64)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		counts[name] += v
	}
	if len(counts) == 0 {
		t.Fatalf("%s counted nothing", emulator)
	}
	return counts
}

// TestStepsToCount is what TestInstructions runs in the emulator.
func TestStepsToCount(t *testing.T) {
	var which, steps int
	if _, err := fmt.Sscanf(os.Getenv("RESNET_STEPS"), "%d/%d", &which, &steps); err != nil {
		t.Skip("runs in the emulator of TestInstructions")
	}
	if runtime.GOMAXPROCS(0) != 1 {
		t.Fatal("GOMAXPROCS must be 1")
	}
	s, err := newStep(counted[which], "")
	if err != nil {
		t.Fatal(err)
	}
	for range steps {
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
	}
}
