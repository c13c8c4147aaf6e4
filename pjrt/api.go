package pjrt

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// The functions that are used, by their places in the table PJRT_Api of
// xla/pjrt/c/pjrt_c_api.h.
const (
	errorDestroy       = 0
	errorMessage       = 1
	pluginInitialize   = 3
	eventDestroy       = 5
	eventAwait         = 8
	clientCreate       = 10
	clientDestroy      = 11
	clientPlatformName = 12
	clientDevices      = 16 // addressable ones
	clientCompile      = 20
	bufferFromHost     = 22
	executableDestroy  = 50
	executableExecute  = 55
	bufferDestroy      = 58
	bufferToHost       = 70

	tableStart = 40 // bytes before the functions
)

// api is the table of functions of a plugin.
type api uintptr

// function returns the address of a function.
func (a api) function(i int) uintptr { return word(uintptr(a) + tableStart + 8*uintptr(i)) }

// word reads memory of the plugin.
func word(at uintptr) uintptr { return **(**uintptr)(unsafe.Pointer(&at)) }

// bytesAt returns a copy of memory of the plugin.
func bytesAt(at, n uintptr) []byte {
	return append([]byte(nil), unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), n)...)
}

// call calls a function with one struct of arguments: words of which the first is the
// size of the struct, which call fills in. The pinner holds everything that the words
// point to.
func (a api) call(i int, args []uintptr) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	args[0] = uintptr(len(args)) * 8
	pin.Pin(&args[0])
	problem, _, _ := purego.SyscallN(a.function(i), uintptr(unsafe.Pointer(&args[0])))
	if problem == 0 {
		return nil
	}
	message := []uintptr{0, 0, problem, 0, 0}
	message[0] = uintptr(len(message)) * 8
	pin.Pin(&message[0])
	purego.SyscallN(a.function(errorMessage), uintptr(unsafe.Pointer(&message[0])))
	text := string(bytesAt(message[3], message[4]))
	destroy := []uintptr{24, 0, problem}
	pin.Pin(&destroy[0])
	purego.SyscallN(a.function(errorDestroy), uintptr(unsafe.Pointer(&destroy[0])))
	return errors.New(text)
}

// wait waits for an event and frees it.
func (a api) wait(event uintptr) error {
	if event == 0 {
		return nil
	}
	err := a.call(eventAwait, []uintptr{0, 0, event})
	return errors.Join(err, a.call(eventDestroy, []uintptr{0, 0, event}))
}

// load opens a plugin and checks that its table has the functions that are used.
func load(path string) (api, error) {
	library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, err
	}
	get, err := purego.Dlsym(library, "GetPjrtApi")
	if err != nil {
		return 0, fmt.Errorf("%s is not a PJRT plugin: %w", path, err)
	}
	table, _, _ := purego.SyscallN(get)
	if table == 0 {
		return 0, fmt.Errorf("%s: GetPjrtApi gives no table of functions", path)
	}
	a := api(table)
	size, version := word(table), word(table+32)
	if major := int32(uint32(version)); major != 0 || size < tableStart+8*(bufferToHost+1) {
		return 0, fmt.Errorf("%s has version %d.%d of the PJRT API with a table of %d bytes, which is not supported: use a plugin of version 0", path, major, version>>32, size)
	}
	if err := a.call(pluginInitialize, make([]uintptr, 2)); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}
