// Package pjrt runs graphs on a PJRT plugin: XLA's compilers for GPUs, TPUs and CPUs,
// which JAX installs. A plugin is a shared library that the user has; it is loaded when
// the program runs, without cgo.
package pjrt

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/tensor"
)

// Client is the devices of a plugin. Its methods are safe for concurrent use.
type Client struct {
	api      api
	client   uintptr
	device   uintptr
	platform string
}

var (
	loaded   = map[string]api{}
	loadLock sync.Mutex
)

// Open loads the plugin in the file at path, such as xla_cuda_plugin.so, and opens its
// first device. Close the client when done; the plugin itself stays loaded.
func Open(path string) (*Client, error) {
	loadLock.Lock()
	a, ok := loaded[path]
	if !ok {
		var err error
		if a, err = load(path); err != nil {
			loadLock.Unlock()
			return nil, fmt.Errorf("pjrt: %w", err)
		}
		loaded[path] = a
	}
	loadLock.Unlock()
	create := make([]uintptr, 11)
	if err := a.call(clientCreate, create); err != nil {
		return nil, fmt.Errorf("pjrt: %s: opening its devices: %w", path, err)
	}
	c := &Client{api: a, client: create[8]}
	name := []uintptr{0, 0, c.client, 0, 0}
	if err := a.call(clientPlatformName, name); err != nil {
		return nil, errors.Join(fmt.Errorf("pjrt: %s: %w", path, err), c.Close())
	}
	c.platform = string(bytesAt(name[3], name[4]))
	devices := []uintptr{0, 0, c.client, 0, 0}
	if err := a.call(clientDevices, devices); err != nil || devices[4] == 0 {
		return nil, errors.Join(fmt.Errorf("pjrt: %s has no device: %w", path, err), c.Close())
	}
	c.device = word(devices[3])
	return c, nil
}

// Platform returns the plugin's name for its devices, such as cpu or cuda.
func (c *Client) Platform() string { return c.platform }

// Close frees the devices. Buffers and executables must be closed before.
func (c *Client) Close() error { return c.api.call(clientDestroy, []uintptr{0, 0, c.client}) }

// compileOptions is a CompileOptionsProto: one replica of one partition.
var compileOptions = []byte{0x1a, 4, 0x20, 1, 0x28, 1}

// Executable is a compiled program.
type Executable struct {
	client  *Client
	handle  uintptr
	results int
}

// Compile compiles a program for the client's device.
func (c *Client) Compile(p *stablehlo.Program) (*Executable, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	format := []byte("mlir")
	program := []uintptr{48, 0, address(&pin, p.Text), uintptr(len(p.Text)), address(&pin, format), uintptr(len(format))}
	args := []uintptr{0, 0, c.client, address(&pin, program), address(&pin, compileOptions), uintptr(len(compileOptions)), 0}
	if err := c.api.call(clientCompile, args); err != nil {
		return nil, fmt.Errorf("pjrt: compiling: %w", err)
	}
	return &Executable{c, args[6], len(p.Results)}, nil
}

// address pins a slice and returns the address of its first element.
func address[T any](pin *runtime.Pinner, s []T) uintptr {
	if len(s) == 0 {
		return 0
	}
	pin.Pin(&s[0])
	return uintptr(unsafe.Pointer(&s[0]))
}

// Close frees the executable.
func (e *Executable) Close() error {
	return e.client.api.call(executableDestroy, []uintptr{0, 0, e.handle})
}

// Run executes the program on its arguments and returns its results. Arguments whose
// memory the program takes over (see [stablehlo.Options].Donate) must not be used
// afterwards, except that they must be closed.
func (e *Executable) Run(arguments []*Buffer) ([]*Buffer, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	in := make([]uintptr, len(arguments))
	for i, b := range arguments {
		in[i] = b.handle
	}
	out := make([]uintptr, e.results)
	options := make([]uintptr, 14)
	options[0] = uintptr(len(options)) * 8
	inList, outList, events := []uintptr{address(&pin, in)}, []uintptr{address(&pin, out)}, []uintptr{0}
	args := []uintptr{0, 0, e.handle, address(&pin, options), address(&pin, inList), 1, uintptr(len(in)), address(&pin, outList), address(&pin, events), 0}
	if err := e.client.api.call(executableExecute, args); err != nil {
		return nil, fmt.Errorf("pjrt: running: %w", err)
	}
	results := make([]*Buffer, len(out))
	for i, h := range out {
		results[i] = &Buffer{e.client, h}
	}
	if err := e.client.api.wait(events[0]); err != nil {
		return nil, errors.Join(fmt.Errorf("pjrt: running: %w", err), closeAll(results))
	}
	return results, nil
}

func closeAll(buffers []*Buffer) error {
	var errs []error
	for _, b := range buffers {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// Buffer is a tensor on the device.
type Buffer struct {
	client *Client
	handle uintptr
}

// The types of elements of PJRT_Buffer_Type.
const (
	typeS64 = 5
	typeF32 = 11
)

// Upload copies a tensor to the device, in N, C, H, W order.
func (c *Client) Upload(t *tensor.Tensor) (*Buffer, error) {
	t, err := t.In(tensor.NCHW)
	if err != nil {
		return nil, fmt.Errorf("pjrt: %w", err)
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	dims := make([]int64, len(t.Shape()))
	for i, d := range t.Shape() {
		dims[i] = int64(d)
	}
	kind, data := uintptr(typeF32), uintptr(0)
	if t.DType() == tensor.Int64 {
		kind, data = typeS64, address(&pin, t.Int64s())
	} else {
		data = address(&pin, t.Float32s())
	}
	// size, extension, client, data, type, dims, number of dims, strides, number of
	// strides, semantics (0: the data are copied during the call), device, memory,
	// layout, event, buffer
	args := []uintptr{0, 0, c.client, data, kind, address(&pin, dims), uintptr(len(dims)), 0, 0, 0, c.device, 0, 0, 0, 0}
	if err := c.api.call(bufferFromHost, args); err != nil {
		return nil, fmt.Errorf("pjrt: copying %v to the device: %w", t, err)
	}
	b := &Buffer{c, args[14]}
	if err := c.api.wait(args[13]); err != nil {
		return nil, errors.Join(fmt.Errorf("pjrt: copying %v to the device: %w", t, err), b.Close())
	}
	return b, nil
}

// Download copies the buffer into a tensor of its shape and type, in N, C, H, W order.
func (b *Buffer) Download(t *tensor.Tensor) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	data, size := uintptr(0), uintptr(0)
	if t.DType() == tensor.Int64 {
		data, size = address(&pin, t.Int64s()), 8*uintptr(len(t.Int64s()))
	} else {
		data, size = address(&pin, t.Float32s()), 4*uintptr(len(t.Float32s()))
	}
	args := []uintptr{0, 0, b.handle, 0, data, size, 0}
	err := b.client.api.call(bufferToHost, args)
	if err == nil {
		err = b.client.api.wait(args[6])
	}
	if err != nil {
		return fmt.Errorf("pjrt: copying %v from the device: %w", t, err)
	}
	return nil
}

// Close frees the buffer.
func (b *Buffer) Close() error {
	return b.client.api.call(bufferDestroy, []uintptr{0, 0, b.handle})
}
