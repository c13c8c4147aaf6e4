package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/kernel"
	"github.com/resnet-go/resnet/internal/parallel"
)

var update = flag.Bool("update", false, "write the tables of plans anew")

// The plans of common configurations are those of testdata/plans: which steps
// with which algorithm, how many operations, how many bytes they move, how much
// memory a run needs, and that it allocates nothing. None of it depends on a
// clock or on the machine but for its instruction set, which the file's name
// has. After a change that is meant, write them anew, also with GODEBUG set to
// cpu.avx512f=off, and read the diff:
//
//	go test ./internal/bench -run TestPlans -update
func TestPlans(t *testing.T) {
	if kernel.ISA() == "generic" {
		t.Skip("without assembly these networks take too long")
	}
	pool := parallel.NewPool(2) // scratch memory is counted for two workers
	defer pool.Close()
	for _, cfg := range []Config{
		{Model: "resnet18", Mode: Infer, Batch: 1},
		{Model: "resnet50", Mode: Infer, Batch: 1},
		{Model: "resnet20-cifar", Mode: Infer, Batch: 8},
		{Model: "resnet20-cifar", Mode: Train, Batch: 32},
		{Model: "resnet18", Mode: Train, Batch: 2, Size: 64},
	} {
		cfg.Threads = 2
		name := fmt.Sprintf("%s-%s-b%d.%s.txt", cfg.Model, cfg.Mode, cfg.Batch, kernel.ISA())
		t.Run(name, func(t *testing.T) {
			s, err := newStep(cfg, pool)
			if err != nil {
				t.Fatal(err)
			}
			got := planTable(s)
			path := filepath.Join("testdata", "plans", name)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := diffLines(string(want), got); d != "" {
				t.Errorf("the plan is not that of %s (if this is meant: -update)\n%s", path, d)
			}
			if allocs := allocations(t, s); allocs != 0 {
				t.Errorf("a run allocates %d times", allocs)
			}
		})
	}
}

// allocations counts those of the second and later runs; the lowest of some,
// because the runtime, too, allocates now and then.
func allocations(t *testing.T, s *step) uint64 {
	t.Helper()
	lowest := ^uint64(0)
	for i := range 12 { // a helper that falls asleep may allocate: not in all of them
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if i > 0 {
			lowest = min(lowest, after.Mallocs-before.Mallocs)
		}
	}
	return lowest
}

func planTable(s *step) string {
	var b strings.Builder
	var flops, bytes int64
	steps := s.plan.Steps()
	for _, st := range steps {
		flops += st.FLOPs
		bytes += st.Bytes
	}
	fmt.Fprintf(&b, "steps %d\nflops %d\nbytes %d\narena %d\n\n", len(steps), flops, bytes, s.plan.ArenaBytes())
	for _, st := range steps {
		algorithm := st.Algorithm
		if algorithm == "" {
			algorithm = "-"
		}
		fmt.Fprintf(&b, "%s | %s | flops %d | bytes %d | tasks %d\n", st.Name, algorithm, st.FLOPs, st.Bytes, st.Tasks)
	}
	return b.String()
}

// diffLines returns the lines of want and got that the other lacks, in order,
// by the longest common subsequence; "" if they are equal.
func diffLines(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintf(&out, "- %s\n", a[i])
			i++
		default:
			fmt.Fprintf(&out, "+ %s\n", b[j])
			j++
		}
	}
	return out.String()
}

func TestDiffLines(t *testing.T) {
	if d := diffLines("a\nb\nc\n", "a\nc\nd\n"); d != "- b\n+ d\n" {
		t.Errorf("%q", d)
	}
	if d := diffLines("a\nb\n", "a\nb\n"); d != "" {
		t.Errorf("%q", d)
	}
}
