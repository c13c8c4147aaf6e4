package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Request asks a process to run a number of steps, or steps for a time.
type Request struct {
	Steps   int     `json:"steps,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Answer is a process's message: that it is ready, or how long steps took.
type Answer struct {
	Ready   bool      `json:"ready,omitempty"`
	Error   string    `json:"error,omitempty"`
	Peer    string    `json:"peer"`
	Version string    `json:"version"`
	Variant string    `json:"variant,omitempty"`
	MS      []float64 `json:"ms,omitempty"`          // of each step
	PeakMB  float64   `json:"peak_rss_mb,omitempty"` // memory of the whole process at its highest
	// PeakGFLOPS is the FMA peak of a core, measured in the same answer; ours alone.
	PeakGFLOPS float64 `json:"peak_gflops,omitempty"`
}

// Serve is our side of the protocol: it builds the network, of the weights in a
// file unless that is empty, writes the outputs of its first step to the file
// output unless that is empty, warms up, and answers requests until in ends.
func Serve(cfg Config, weights, output string, in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(cfg.Threads)
	s, err := newRun(cfg, weights)
	if err != nil {
		return err
	}
	if output != "" {
		y, err := s.outputs()
		if err == nil {
			err = writeFloats(output, y)
		}
		if err != nil {
			return err
		}
	}
	if _, err := timed(s.run, Request{Steps: 2}); err != nil {
		return err
	}
	say := json.NewEncoder(out)
	about := Answer{Peer: "resnet", Version: runtime.Version(), Variant: isa.ISA()}
	if cfg.On != nil {
		about.Variant = cfg.On.String()
	}
	ready := about
	ready.Ready = true
	if err := say.Encode(ready); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		answer := about
		var r Request
		err := json.Unmarshal(lines.Bytes(), &r)
		if err == nil {
			answer.MS, err = timed(s.run, r)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		answer.PeakMB = peakMemoryMB()
		if cfg.On == nil {
			answer.PeakGFLOPS = isa.PeakGFLOPS()
		}
		if err := say.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// timed runs the steps that a request asks for and returns their milliseconds.
func timed(step func() error, r Request) ([]float64, error) {
	if (r.Steps > 0) == (r.Seconds > 0) {
		return nil, fmt.Errorf("a request has either steps or seconds, above 0")
	}
	var ms []float64
	begin := time.Now()
	for len(ms) == 0 || r.Steps > 0 && len(ms) < r.Steps || r.Seconds > 0 && time.Since(begin).Seconds() < r.Seconds {
		start := time.Now()
		if err := step(); err != nil {
			return nil, err
		}
		ms = append(ms, float64(time.Since(start).Nanoseconds())/1e6)
	}
	return ms, nil
}

// peakMemoryMB returns the most resident memory of this process since its
// program was started, as the system has counted it: its own memory and the
// pages in use of programs, libraries and files that it has mapped, be they
// shared with other processes or not. Peers are measured in the same way
// (peers/protocol.py). Where the system has no such count, it is the memory that Go
// has taken from the system.
func peakMemoryMB() float64 {
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				if kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64); err == nil {
					return kb / 1024
				}
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}

// Median returns the median of values, or NaN if there are none.
func Median(values []float64) float64 {
	return quantile(values, 0.5)
}

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 == len(s) {
		return s[i]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}
