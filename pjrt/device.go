package pjrt

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/tensor"
)

// Accelerator runs plans of package engine on a client's device: give
// engine.NewDevice(a) to engine.Options, infer.Options, resnet.Compute or train.Config.
type Accelerator struct {
	client *Client
	tf32   bool
	// Compiled, if it is not nil, is called after each compilation with its time.
	Compiled func(time.Duration)

	mu       sync.Mutex
	programs map[[sha256.Size]byte]*program // by their text
}

// NewAccelerator returns the accelerator of a client. tf32 allows products with operands
// of 10 bits, where a GPU has them; else they are float32's.
func NewAccelerator(c *Client, tf32 bool) *Accelerator {
	return &Accelerator{client: c, tf32: tf32, programs: map[[sha256.Size]byte]*program{}}
}

// String names the device.
func (a *Accelerator) String() string { return a.client.String() }

// program is an executable, which stays: the evaluation after each epoch asks for the
// same again.
type program struct {
	*Executable
	arguments, results []engine.ProgramValue
}

func (p *program) Arguments() []engine.ProgramValue { return p.arguments }
func (p *program) Results() []engine.ProgramValue   { return p.results }

func (p *program) Run(arguments []engine.Buffer) ([]engine.Buffer, error) {
	in := make([]*Buffer, len(arguments))
	for i, b := range arguments {
		in[i] = b.(*Buffer)
	}
	out, err := p.Executable.Run(in)
	if err != nil {
		return nil, err
	}
	results := make([]engine.Buffer, len(out))
	for i, b := range out {
		results[i] = b
	}
	return results, nil
}

// Compile writes the graph as StableHLO and compiles that. An operator that has no such
// form is an error that names it.
func (a *Accelerator) Compile(g *graph.Graph, opt engine.Options) (engine.Program, error) {
	p, err := stablehlo.Write(g, stablehlo.Options{Donate: true, KeepLayouts: true, BF16: opt.BF16 != engine.BF16Off, Highest: !a.tf32})
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(p.Text)
	a.mu.Lock()
	defer a.mu.Unlock()
	if done := a.programs[key]; done != nil {
		return done, nil
	}
	start := time.Now()
	e, err := a.client.Compile(p)
	if err != nil {
		return nil, err
	}
	if a.Compiled != nil {
		a.Compiled(time.Since(start))
	}
	done := &program{Executable: e}
	for _, v := range p.Arguments {
		done.arguments = append(done.arguments, engine.ProgramValue{Name: v.Name, Variable: v.Variable})
	}
	for _, v := range p.Results {
		done.results = append(done.results, engine.ProgramValue{Name: v.Name, Variable: v.Variable})
	}
	a.programs[key] = done
	return done, nil
}

// Upload copies a tensor to the device, its elements in the order in which they lie.
func (a *Accelerator) Upload(t *tensor.Tensor) (engine.Buffer, error) {
	shape := t.Shape()
	if t.Layout() == tensor.NHWC {
		shape = tensor.Shape{shape[0], shape[2], shape[3], shape[1]}
	}
	b, err := a.client.upload(t, shape)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Close frees the compiled programs. Buffers must be closed before, and the client after.
func (a *Accelerator) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var failed error
	for key, p := range a.programs {
		if err := p.Close(); err != nil {
			failed = fmt.Errorf("pjrt: %w", err)
		}
		delete(a.programs, key)
	}
	return failed
}
