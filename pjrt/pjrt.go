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
	index    int
	platform string
	options  []byte // a CompileOptionsProto
}

// Options are the choices of [Open].
type Options struct {
	Device int // number of the device among those of the plugin
	// Create are the plugin's own options by name, such as preallocate: values of type
	// string, bool, int64, []int64 or float32.
	Create map[string]any
	// Compile are options of XLA's compiler by name, such as xla_gpu_deterministic_ops:
	// values of type string or bool.
	Compile map[string]any
}

var (
	loaded   = map[string]api{}
	loadLock sync.Mutex
)

// Open loads the plugin in the file at path, such as xla_cuda_plugin.so, and opens one of
// its devices. Close the client when done; the plugin itself stays loaded.
func Open(path string, opt Options) (*Client, error) {
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
	options, err := compileOptions(opt.Compile)
	if err != nil {
		return nil, fmt.Errorf("pjrt: %w", err)
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	values, err := namedValues(&pin, opt.Create)
	if err != nil {
		return nil, fmt.Errorf("pjrt: %w", err)
	}
	create := make([]uintptr, 11)
	create[2], create[3] = address(&pin, values), uintptr(len(values)/namedValueWords)
	if err := a.call(clientCreate, create); err != nil {
		return nil, fmt.Errorf("pjrt: %s: opening its devices: %w", path, err)
	}
	c := &Client{api: a, client: create[8], index: opt.Device, options: options}
	name := []uintptr{0, 0, c.client, 0, 0}
	if err := a.call(clientPlatformName, name); err != nil {
		return nil, errors.Join(fmt.Errorf("pjrt: %s: %w", path, err), c.Close())
	}
	c.platform = string(bytesAt(name[3], name[4]))
	devices := []uintptr{0, 0, c.client, 0, 0}
	if err := a.call(clientDevices, devices); err != nil {
		return nil, errors.Join(fmt.Errorf("pjrt: %s: %w", path, err), c.Close())
	}
	if n := int(devices[4]); opt.Device < 0 || opt.Device >= n {
		return nil, errors.Join(fmt.Errorf("pjrt: %s has %d devices, numbered from 0, and no device %d", path, n, opt.Device), c.Close())
	}
	c.device = word(devices[3] + 8*uintptr(opt.Device))
	return c, nil
}

// String names the device, such as cuda:0.
func (c *Client) String() string { return fmt.Sprintf("%s:%d", c.platform, c.index) }

// Platform returns the plugin's name for its devices, such as cpu or cuda.
func (c *Client) Platform() string { return c.platform }

// Close frees the devices. Buffers and executables must be closed before.
func (c *Client) Close() error { return c.api.call(clientDestroy, []uintptr{0, 0, c.client}) }

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
	args := []uintptr{0, 0, c.client, address(&pin, program), address(&pin, c.options), uintptr(len(c.options)), 0}
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

// Run starts the program on its arguments and returns its results, which may not be
// there yet: [Buffer.Download] waits for them, and has the error of a run that failed.
// Arguments whose memory the program takes over (see [stablehlo.Options].Donate) must not
// be used afterwards, except that they must be closed; others may be closed at once.
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
	inList, outList := []uintptr{address(&pin, in)}, []uintptr{address(&pin, out)}
	args := []uintptr{0, 0, e.handle, address(&pin, options), address(&pin, inList), 1, uintptr(len(in)), address(&pin, outList), 0, 0}
	if err := e.client.api.call(executableExecute, args); err != nil {
		return nil, fmt.Errorf("pjrt: running: %w", err)
	}
	results := make([]*Buffer, len(out))
	for i, h := range out {
		results[i] = newBuffer(e.client, h)
	}
	return results, nil
}

// Buffer is a tensor on the device. Close frees it; what is not closed is freed some time
// after nothing refers to it.
type Buffer struct {
	client  *Client
	handle  uintptr
	cleanup runtime.Cleanup
}

func newBuffer(c *Client, handle uintptr) *Buffer {
	b := &Buffer{client: c, handle: handle}
	b.cleanup = runtime.AddCleanup(b, func(handle uintptr) {
		_ = c.api.call(bufferDestroy, []uintptr{0, 0, handle})
	}, handle)
	return b
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
	return c.upload(t, t.Shape())
}

// upload copies the elements of t, which lie in the order of shape.
func (c *Client) upload(t *tensor.Tensor, shape tensor.Shape) (*Buffer, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	dims := make([]int64, len(shape))
	for i, d := range shape {
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
	b := newBuffer(c, args[14])
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

// Close frees the buffer. It must be called at most once.
func (b *Buffer) Close() error {
	b.cleanup.Stop()
	return b.client.api.call(bufferDestroy, []uintptr{0, 0, b.handle})
}
