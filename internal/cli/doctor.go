package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/cli/doctor"
	"github.com/resnet-go/resnet/internal/term"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check results on this machine, and measure speed",
		Long: `doctor prints which instruction set is used and how fast matrix products are. It
computes two networks and compares their outputs with PyTorch's, which are stored
in the program, and measures the speed of the model inside the program.

The exit code is 1 if an output is wrong.`,
		Example: `  resnet doctor
  resnet doctor --threads 1 --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

// doctorReport is what doctor --json prints.
type doctorReport struct {
	versionInfo
	*doctor.Report
}

func (a *app) doctor(ctx context.Context) error {
	m, err := resnet.Open("", resnet.Options{Threads: a.threads})
	if err != nil && !errors.Is(err, embedded.ErrNoModel) {
		return err
	}
	r, err := doctor.Run(ctx, a.threads, m)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(doctorReport{version(), r})
	} else {
		err = a.printDoctor(r)
	}
	if err != nil {
		return err
	}
	if !r.OK() {
		return errors.New("outputs differ from PyTorch's: do not trust results on this machine")
	}
	return nil
}

func (a *app) printDoctor(r *doctor.Report) error {
	v := version()
	a.printf("resnet       %s %s\n", v.Version, v.Go)
	if v.CGO {
		a.printf("build        with cgo: it needs this system's C library; CGO_ENABLED=0 go install ./cmd/resnet makes a static program\n")
	}
	a.printf("system       %s, %d CPUs, %d threads used\n", r.Platform, r.CPUs, r.Threads)
	a.printf("kernels      %s\n", r.ISA)
	if len(r.Features) > 0 {
		a.printf("features     %s\n", strings.Join(r.Features, " "))
	}
	if r.PeakGFLOPS > 0 {
		a.printf("FMA peak     %.1f GFLOP/s per core\n", r.PeakGFLOPS)
	}
	switch {
	case !r.BF16:
		a.printf("bfloat16     no AVX512-BF16, which --bf16 needs\n")
	case r.BF16PeakGFLOPS < r.PeakGFLOPS:
		a.printf("bfloat16     %.1f GFLOP/s per core: --bf16 is slower than float32 here\n", r.BF16PeakGFLOPS)
	default:
		a.printf("bfloat16     %.1f GFLOP/s per core\n", r.BF16PeakGFLOPS)
	}
	share := ""
	if r.PeakGFLOPS > 0 {
		share = fmt.Sprintf(" (%s of the peak)", term.Percent(r.GEMMGFLOPS/r.PeakGFLOPS))
	}
	a.printf("GEMM         %.1f GFLOP/s on one thread%s, %.1f on %d\n", r.GEMMGFLOPS, share, r.GEMMAllGFLOPS, r.Threads)
	for _, c := range r.Checks {
		verdict := "ok"
		if !c.OK {
			verdict = "WRONG"
		}
		a.printf("%-13s%s: differs from PyTorch by %.1e of the largest output (allowed %.0e)\n", verdict, c.Model, c.Difference, c.Tolerance)
	}
	if r.ImagesPerSecond > 0 {
		a.printf("model inside %.0f images/s, batch 16\n", r.ImagesPerSecond)
	} else {
		a.printf("model inside none in this build\n")
	}
	return nil
}
