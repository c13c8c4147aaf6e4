package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Accelerator computes graphs on other hardware, such as a GPU. The nested module pjrt
// has one. Its methods are safe for concurrent use.
type Accelerator interface {
	// String names the hardware for messages, such as "cuda:0".
	String() string
	// Compile makes a program of g. Of the options, those of our own kernels do not
	// apply: Threads, Fast, Tuning. Errors name the operator that cannot be computed.
	Compile(g *graph.Graph, opt Options) (Program, error)
	// Upload copies a tensor to the hardware, its elements in the order in which they lie.
	Upload(t *tensor.Tensor) (Buffer, error)
}

// Program is a graph that an [Accelerator] has compiled.
type Program interface {
	// Arguments lists what Run takes, in order: inputs, each in the layout that the
	// graph gives it, and variables in row-major order.
	Arguments() []ProgramValue
	// Results lists what Run returns, in order, each in row-major order: the graph's
	// outputs in their order, then the new values of its updated variables.
	Results() []ProgramValue
	// Run computes the program. It may return before the hardware is done, in which
	// case reading a result waits. The buffers of variables that the program updates are
	// used up: their memory may be that of the results.
	Run(arguments []Buffer) ([]Buffer, error)
}

// ProgramValue is an argument or result of a [Program].
type ProgramValue struct {
	Name     string
	Variable bool // else an input or output
}

// Buffer is a tensor on an [Accelerator].
type Buffer interface {
	// Download copies the elements into t, which has the tensor's type and shape.
	Download(t *tensor.Tensor) error
	// Close frees the memory. A program that is running and reads it may go on.
	Close() error
}

// Device is an [Accelerator] on which plans run: see [Options]. The variables of plans
// are copied there once and stay, also while plans update them; [Vars.Get] reads them.
type Device struct {
	acc Accelerator

	mu     sync.Mutex
	staged []stagedTensor // oldest first
}

// stagedTensor is a tensor that was sent ahead.
type stagedTensor struct {
	first *float32 // its elements, as long as which live no other tensor has this address
	shape tensor.Shape
	of    tensor.Layout
	buf   Buffer
	kept  bool
}

// maxStaged bounds the tensors that were sent ahead and perhaps never used.
const maxStaged = 8

// NewDevice returns the device of an accelerator.
func NewDevice(acc Accelerator) *Device { return &Device{acc: acc} }

// String names the hardware.
func (d *Device) String() string { return d.acc.String() }

// Stage sends a float32 tensor to the device ahead of the run that takes it as an input,
// while other runs are in progress. The run must get the same elements, at the same
// place and unchanged, or they are sent again; tensors that no run takes are dropped
// after others.
func (d *Device) Stage(t *tensor.Tensor) error { return d.stage(t, false) }

// Keep is [Device.Stage] for any number of runs, such as those of a measurement.
func (d *Device) Keep(t *tensor.Tensor) error { return d.stage(t, true) }

func (d *Device) stage(t *tensor.Tensor, keep bool) error {
	if t.DType() != tensor.Float32 || t.Numel() == 0 {
		return nil
	}
	b, err := d.acc.Upload(t)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	first := &t.Float32s()[0]
	for i, s := range d.staged {
		if s.first == first || len(d.staged) >= maxStaged {
			d.staged = append(d.staged[:i], d.staged[i+1:]...)
			err = s.buf.Close()
			break
		}
	}
	d.staged = append(d.staged, stagedTensor{first, t.Shape().Clone(), t.Layout(), b, keep})
	return err
}

// input returns the tensor on the device, and whether the buffer is to be closed after
// the run.
func (d *Device) input(t *tensor.Tensor) (b Buffer, once bool, err error) {
	if t.DType() == tensor.Float32 && t.Numel() > 0 {
		if b, kept := d.ahead(t); b != nil {
			return b, !kept, nil
		}
	}
	b, err = d.acc.Upload(t)
	return b, true, err
}

// ahead returns the buffer of a tensor that was sent ahead, nil if it was not.
func (d *Device) ahead(t *tensor.Tensor) (b Buffer, kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, s := range d.staged {
		if s.first == &t.Float32s()[0] && s.shape.Equal(t.Shape()) && s.of == t.Layout() {
			if !s.kept {
				d.staged = append(d.staged[:i], d.staged[i+1:]...)
			}
			return s.buf, s.kept
		}
	}
	return nil, false
}

// onDevice is a plan that an accelerator computes.
type onDevice struct {
	device  *Device
	program Program
	vars    *Vars
	args    []int // for each argument the number of the input; -1 for variables
}

// compileOn is [Compile] for a device.
func compileOn(d *Device, g *graph.Graph, vars *Vars, opt Options) (*Plan, error) {
	if opt.BatchInvariant {
		return nil, fmt.Errorf("engine: %s does not promise the same bits in any batch (BatchInvariant): leave that out, or compute without the device", d)
	}
	if err := vars.belongTo(d, len(g.Updates) > 0); err != nil {
		return nil, err
	}
	program, err := d.acc.Compile(g, opt)
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", d, err)
	}
	p := &Plan{writes: len(g.Updates) > 0, remote: &onDevice{device: d, program: program, vars: vars}}
	index := map[string]int{}
	for _, n := range g.Nodes {
		if op, ok := n.Op.(graph.Input); ok {
			index[op.Label] = len(p.inputs)
			p.inputs = append(p.inputs, Port{op.Label, op.Type, op.Layout})
		}
	}
	for _, o := range g.Outputs {
		p.outputs = append(p.outputs, Port{Name: o.Name, Type: o.Value.Type})
	}
	for _, a := range program.Arguments() {
		at := -1
		if !a.Variable {
			at = index[a.Name]
		}
		p.remote.args = append(p.remote.args, at)
	}
	return p, nil
}

// run computes the plan. Outputs that the caller does not want are not read.
func (o *onDevice) run(in, out []*tensor.Tensor) (err error) {
	var once []Buffer
	defer func() {
		for _, b := range once {
			err = errors.Join(err, b.Close())
		}
	}()
	arguments := make([]Buffer, len(o.args))
	for i, a := range o.program.Arguments() {
		var b Buffer
		if a.Variable {
			b, err = o.vars.bufferOf(a.Name, o.device)
		} else {
			var mine bool
			if b, mine, err = o.device.input(in[o.args[i]]); mine && err == nil {
				once = append(once, b)
			}
		}
		if err != nil {
			return err
		}
		arguments[i] = b
	}
	results, err := o.program.Run(arguments)
	if err != nil {
		return err
	}
	for i, r := range o.program.Results() {
		if r.Variable {
			err = errors.Join(err, o.vars.replace(r.Name, o.device, results[i]))
			continue
		}
		once = append(once, results[i])
		if out != nil && out[i] != nil {
			err = errors.Join(err, results[i].Download(out[i]))
		}
	}
	return err
}

// remote is a variable's value on a device.
type remote struct {
	device *Device
	buf    Buffer
	newer  bool // than the value here
}

// belongTo settles where variables that plans update live: d is nil for this machine.
// Two places would not see each other's updates.
func (v *Vars) belongTo(d *Device, updates bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.home == nil && updates:
		v.home = &home{d}
	case v.home != nil && v.home.device != d && (updates || v.home.device != nil):
		return fmt.Errorf("engine: a plan over the same variables that updates them was compiled for %s: compile all such plans for one device", v.home)
	}
	return nil
}

// home is where plans update variables.
type home struct{ device *Device }

func (h *home) String() string {
	if h.device == nil {
		return "this machine's processor"
	}
	return h.device.String()
}

// bufferOf returns a variable on a device, and copies it there if it is not.
func (v *Vars) bufferOf(name string, d *Device) (Buffer, error) {
	v.away.Lock()
	defer v.away.Unlock()
	x := v.m[name]
	if x.remote.device == d {
		return x.remote.buf, nil
	}
	if err := x.remote.drop(); err != nil {
		return nil, err
	}
	t := x.tensor()
	if t.Deferred() { // read for the copy alone
		t = t.Clone()
	}
	if err := t.Load(); err != nil {
		return nil, fmt.Errorf("engine: variable %q: %w", name, err)
	}
	b, err := d.acc.Upload(t)
	if err != nil {
		return nil, fmt.Errorf("engine: variable %q: %w", name, err)
	}
	x.remote = remote{device: d, buf: b}
	return b, nil
}

// replace gives a variable a new value, which is on a device.
func (v *Vars) replace(name string, d *Device, b Buffer) error {
	v.away.Lock()
	defer v.away.Unlock()
	x := v.m[name]
	err := x.remote.drop()
	x.remote = remote{d, b, true}
	return err
}

// drop frees the value on the device.
func (r *remote) drop() error {
	b := r.buf
	*r = remote{}
	if b == nil {
		return nil
	}
	return b.Close()
}

// FreeDevice frees the copies of variables on a device that are no newer than the values
// here. Plans copy them again when they run.
func (v *Vars) FreeDevice() error {
	v.away.Lock()
	defer v.away.Unlock()
	var err error
	for _, x := range v.m {
		if !x.remote.newer {
			err = errors.Join(err, x.remote.drop())
		}
	}
	return err
}
