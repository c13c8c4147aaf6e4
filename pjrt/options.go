package pjrt

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
)

// compileOptions returns a CompileOptionsProto (xla/pjrt/proto/compile_options.proto): one
// replica of one partition, and options of the compiler by name in its map
// env_option_overrides.
func compileOptions(named map[string]any) ([]byte, error) {
	out := []byte{0x1a, 4, 0x20, 1, 0x28, 1} // executable_build_options {num_replicas, num_partitions}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		var value []byte // an OptionOverrideProto
		switch v := named[name].(type) {
		case string:
			value = field(1, []byte(v))
		case bool:
			value = []byte{2 << 3, 0}
			if v {
				value[1] = 1
			}
		default:
			return nil, fmt.Errorf("the option %s of the compiler is %v of type %T, must be a string or a bool", name, v, v)
		}
		out = append(out, field(7, append(field(1, []byte(name)), field(2, value)...))...)
	}
	return out, nil
}

// field returns a field of bytes of a protocol buffer.
func field(number int, content []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(content))), content...)
}

// namedValueWords is the size of PJRT_NamedValue: its size, an extension, the name and
// its length, the type, the value, and the number of its elements.
const namedValueWords = 7

// namedValues returns options as an array of PJRT_NamedValue, and pins what it points to.
func namedValues(pin *runtime.Pinner, named map[string]any) ([]uintptr, error) {
	var out []uintptr
	for _, name := range slices.Sorted(maps.Keys(named)) {
		var kind, value, size uintptr
		switch v := named[name].(type) {
		case string:
			kind, value, size = 0, address(pin, []byte(v)), uintptr(len(v))
		case int64:
			kind, value, size = 1, uintptr(v), 1
		case []int64:
			kind, value, size = 2, address(pin, v), uintptr(len(v))
		case float32:
			kind, value, size = 3, uintptr(math.Float32bits(v)), 1
		case bool:
			kind, size = 4, 1
			if v {
				value = 1
			}
		default:
			return nil, fmt.Errorf("the option %s of the plugin is %v of type %T, must be a string, bool, int64, []int64 or float32", name, v, v)
		}
		out = append(out, 8*namedValueWords, 0, address(pin, []byte(name)), uintptr(len(name)), kind, value, size)
	}
	return out, nil
}
