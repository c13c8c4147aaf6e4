package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Program starts a process that measures a configuration.
type Program struct {
	Name string
	// Command is the program and its first arguments; the configuration
	// follows as --model, --batch, --threads, --mode and --size.
	Command []string
	Env     []string // additions to the environment, NAME=VALUE
	// ONNX is set when the program runs ONNX files, so that it does any network but
	// no training; others build the networks that they know by name.
	ONNX bool
	// Install is how to install what the program needs.
	Install string
}

// Measurement is what one program did of one configuration.
type Measurement struct {
	Program   string  `json:"program"`
	Version   string  `json:"version"`
	Variant   string  `json:"variant"`
	Steps     int     `json:"steps"`
	MedianMS  float64 `json:"median_ms"` // of a step
	LowMS     float64 `json:"low_ms"`    // 10th percentile
	HighMS    float64 `json:"high_ms"`   // 90th
	ImagesPS  float64 `json:"images_per_s"`
	GFLOPS    float64 `json:"gflops"`         // of the network's products, a second
	PeakShare float64 `json:"peak_share"`     // 0 if unknown; of the FMA peak of the threads, measured in the same run
	PeakMB    float64 `json:"peak_memory_mb"` // most resident memory of the process, see peakMemoryMB
	Ratio     float64 `json:"time_ratio"`     // our time over this program's; 0 for ours
	// Difference is the largest between this peer's outputs and ours, over the
	// largest output: of logits, in training of the first loss.
	Difference float64 `json:"difference"`
}

// Comparison is one configuration, measured by ours and the peers in alternation.
type Comparison struct {
	Config
	PeakGFLOPS float64       `json:"peak_gflops"` // FMA peak of a core, median of the turns; 0 if unknown
	Ours       Measurement   `json:"ours"`
	Peers      []Measurement `json:"peers"`
	// LeftOut names the peers that cannot run the configuration, and why.
	LeftOut []string `json:"left_out"`
}

// Run measures a configuration by every program in alternation, ours first: in each
// of the rounds, each program runs for the given seconds, so that a machine whose
// speed drifts treats all alike. Processes run one at a time.
//
// All read the same weights from files, and peers get our input; before anything
// is timed, their outputs must agree with ours. If the model is an ONNX file, peers
// that run such files run it. Peers that cannot do the configuration are left
// out.
func Run(ctx context.Context, cfg Config, ours Program, peers []Program, rounds int, seconds float64) (*Comparison, error) {
	n, err := open(cfg, "", false)
	if err != nil {
		return nil, err
	}
	flops, err := n.flops()
	if err != nil {
		return nil, err
	}
	c := &Comparison{Config: cfg}
	peers = slices.DeleteFunc(slices.Clone(peers), func(p Program) bool {
		why := ""
		switch {
		case p.ONNX && cfg.Mode == Train:
			why = "it does not train"
		case p.ONNX && n.detector():
			why = "an ONNX file of a detector does not give the logits of anchors, by which programs are compared"
		case !p.ONNX && n.peerName() == "":
			why = "it runs networks that it knows by name"
		default:
			return false
		}
		c.LeftOut = append(c.LeftOut, fmt.Sprintf("%s, left out of %s: %s", p.Name, cfg, why))
		return true
	})
	given, err := handOver(n, len(peers) > 0)
	if err != nil {
		return nil, err
	}
	defer given.remove()
	peerName := n.peerName()
	n = nil // its values are memory that the programs may want
	var running []*process
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	differences := make([]float64, len(peers))
	for i, program := range append([]Program{ours}, peers...) {
		as := cfg
		if i > 0 && peerName != "" {
			as.Model = peerName
		}
		p, err := start(ctx, program, as, given.flags(i))
		if err != nil {
			return nil, err
		}
		running = append(running, p)
		if i > 0 {
			if differences[i-1], err = given.compare(i, program.Name); err != nil {
				return nil, err
			}
		}
	}
	for range rounds {
		for _, p := range running {
			if err := p.ask(Request{Seconds: seconds}); err != nil {
				return nil, err
			}
		}
	}
	c.Ours = running[0].measurement(cfg, flops)
	c.PeakGFLOPS = Median(running[0].peaks)
	share := func(m *Measurement) {
		if c.PeakGFLOPS > 0 {
			m.PeakShare = m.GFLOPS / (c.PeakGFLOPS * float64(cfg.Threads))
		}
	}
	share(&c.Ours)
	for i, p := range running[1:] {
		m := p.measurement(cfg, flops)
		share(&m)
		m.Difference = differences[i]
		m.Ratio = c.Ours.MedianMS / m.MedianMS
		c.Peers = append(c.Peers, m)
	}
	return c, nil
}

// process is a running program.
type process struct {
	Program
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errs   *bytes.Buffer
	about  Answer
	ms     []float64
	peaks  []float64
	peakMB float64
}

func start(ctx context.Context, program Program, cfg Config, files []string) (*process, error) {
	args := append(program.Command[1:len(program.Command):len(program.Command)],
		"--model", cfg.Model, "--mode", cfg.Mode, "--batch", fmt.Sprint(cfg.Batch), "--threads", fmt.Sprint(cfg.Threads))
	if cfg.Size > 0 {
		args = append(args, "--size", fmt.Sprint(cfg.Size))
	}
	args = append(args, files...)
	p := &process{Program: program, cmd: exec.CommandContext(ctx, program.Command[0], args...), errs: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), program.Env...)
	p.cmd.Stderr = p.errs
	p.cmd.WaitDelay = 5 * time.Second
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, p.failed(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	p.out.Buffer(nil, 64<<20) // an answer has the time of every step
	if p.about, err = p.answer(); err != nil {
		p.stop()
		return nil, err
	}
	if !p.about.Ready {
		p.stop()
		return nil, p.failed(errors.New("it did not report that it is ready"))
	}
	return p, nil
}

// ask makes the process run steps and keeps what it answers.
func (p *process) ask(r Request) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return p.failed(err)
	}
	a, err := p.answer()
	if err != nil {
		return err
	}
	p.ms = append(p.ms, a.MS...)
	p.peaks = append(p.peaks, a.PeakGFLOPS)
	p.peakMB = max(p.peakMB, a.PeakMB)
	return nil
}

func (p *process) answer() (Answer, error) {
	var a Answer
	if !p.out.Scan() {
		err := p.out.Err()
		if err == nil {
			err = errors.New("it ended")
		}
		p.stop() // to get all of its stderr
		return a, p.failed(err)
	}
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return a, p.failed(fmt.Errorf("not an answer: %.80q", p.out.Text()))
	}
	if a.Error != "" {
		return a, p.failed(errors.New(a.Error))
	}
	return a, nil
}

// failed adds the last line of the process' stderr and how to install it.
func (p *process) failed(err error) error {
	lines := strings.Split(strings.TrimSpace(p.errs.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		err = fmt.Errorf("%w: %s", err, last)
	}
	if p.Install != "" {
		err = fmt.Errorf("%w (%s)", err, p.Install)
	}
	return fmt.Errorf("bench: %s: %w", p.Name, err)
}

func (p *process) stop() {
	_ = p.in.Close() // the process exits at the end of its input
	_ = p.cmd.Wait() // and has reported what went wrong, if anything
}

func (p *process) measurement(cfg Config, flops int64) Measurement {
	m := Measurement{
		Program: p.Name, Version: p.about.Version, Variant: p.about.Variant, Steps: len(p.ms),
		MedianMS: Median(p.ms), LowMS: quantile(p.ms, 0.1), HighMS: quantile(p.ms, 0.9), PeakMB: p.peakMB,
	}
	m.ImagesPS = float64(cfg.Batch) * 1e3 / m.MedianMS
	m.GFLOPS = float64(flops) / m.MedianMS / 1e6
	return m
}
