package bench

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/term"
)

var update = flag.Bool("update", false, "write the tables of plans in testdata anew")

// TestPlans guards speed without a clock: what the plans of the usual networks
// consist of, by which algorithm each convolution is computed, what they move
// and hold in memory. The plans are those of a processor with AVX-512, of one
// that computes such vectors in halves (AMD Zen 4) and of one with AVX2, whatever the processor; NEON's are AVX2's, whose tiles have the same
// shape. After an intended change, run it with -update and show the
// difference in the commit.
func TestPlans(t *testing.T) {
	for name, set := range map[string]isa.Set{
		"avx512": {AVX2: true, AVX512: true, VNNI: true},
		"zen4":   {AVX2: true, AVX512: true, VNNI: true, Core: cpu.Zen4},
		"avx2":   {AVX2: true},
		"neon":   {NEON: true},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "neon" && os.Getenv("RESNET_NIGHTLY") == "" {
				t.Skip("the plans are AVX2's; set RESNET_NIGHTLY=1 to check")
			}
			isa.PlanFor = &set
			defer func() { isa.PlanFor = nil }()
			testPlans(t, strings.Replace(name, "neon", "avx2", 1))
		})
	}
}

func testPlans(t *testing.T, table string) {
	var b strings.Builder
	configs := []Config{
		{Model: "resnet18", Mode: Infer, Batch: 1, Threads: 2},
		{Model: "resnet18", Mode: Infer, Batch: 8, Threads: 2},
		{Model: "resnet50", Mode: Infer, Batch: 1, Threads: 2},
		{Model: "resnet50", Mode: Infer, Batch: 1, Threads: 2, Exact: true},
		{Model: "resnet20-cifar", Mode: Train, Batch: 128, Threads: 2},
		{Model: "resnet18", Mode: Train, Batch: 2, Threads: 2},
		{Model: "resnet50", Mode: Train, Batch: 2, Threads: 2},
	}
	if isa.PlanFor.AVX512 { // emulated products are counted as the processor's
		configs = append(configs,
			Config{Model: "resnet18", Mode: Infer, Batch: 1, Threads: 2, BF16: engine.BF16Emulated.String()},
			Config{Model: "resnet18", Mode: Train, Batch: 2, Threads: 2, BF16: engine.BF16Emulated.String()})
	}
	for _, cfg := range configs {
		s, err := newStep(cfg, "")
		if err != nil {
			t.Fatal(err)
		}
		algorithms := map[string]int{}
		var bytes, flops int64
		steps := s.Plan().Steps()
		for _, st := range steps {
			bytes, flops = bytes+st.Bytes, flops+st.FLOPs
			if st.Algorithm != "" {
				algorithms[st.Algorithm]++
			}
		}
		exact := ""
		if cfg.Exact {
			exact = " exact"
		}
		fmt.Fprintf(&b, "%s%s: %d steps, arena %s, values moved %s, operations %s\n", cfg, exact, len(steps),
			term.Bytes(int64(s.Plan().ArenaBytes())), term.Bytes(bytes), term.Ops(flops))
		for _, a := range slices.Sorted(maps.Keys(algorithms)) {
			fmt.Fprintf(&b, "    %d by %s\n", algorithms[a], a)
		}
		if cfg.Mode == Infer && cfg.Batch == 1 {
			for _, st := range steps {
				if st.Algorithm != "" && st.Algorithm != "direct" {
					fmt.Fprintf(&b, "    %s: %s\n", st.Name, st.Algorithm)
				}
			}
		}
	}
	path := filepath.Join("testdata", "plans."+table+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, now := strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")
	for _, l := range old {
		if !slices.Contains(now, l) {
			t.Errorf("- %s", l)
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			t.Errorf("+ %s", l)
		}
	}
}

// TestRunAllocatesNothing: in the steady state a step of either mode does not
// touch the heap.
func TestRunAllocatesNothing(t *testing.T) {
	for _, cfg := range []Config{ // more threads sleep and wake, which the runtime may allocate for
		{Model: "resnet18", Mode: Infer, Batch: 1, Threads: 1, Size: 64},
		{Model: "resnet50", Mode: Infer, Batch: 2, Threads: 1, Size: 64},
		{Model: "resnet20-cifar", Mode: Train, Batch: 8, Threads: 1},
	} {
		s, err := newStep(cfg, "")
		if err != nil {
			t.Fatal(err)
		}
		var failed error
		if n := testing.AllocsPerRun(3, func() {
			if err := s.Run(); err != nil {
				failed = err
			}
		}); n > 0 || failed != nil {
			t.Errorf("%s: %g allocations a run (%v)", cfg, n, failed)
		}
	}
}
