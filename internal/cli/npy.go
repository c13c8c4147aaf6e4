package cli

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// writeNPY writes an array of float32 in NumPy's format 1.0: magic, version, length of
// the header, header padded to 64 bytes, the elements. parts are the elements in order.
func writeNPY(w io.Writer, parts [][]float32, shape ...int) error {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprint(d)
	}
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", strings.Join(dims, ", "))
	const before = 10 // bytes before the header
	head += strings.Repeat(" ", 63-(before+len(head))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	out := bufio.NewWriter(w)
	out.Write(b)
	out.WriteString(head)
	var number [4]byte
	for _, values := range parts {
		for _, v := range values {
			binary.LittleEndian.PutUint32(number[:], math.Float32bits(v))
			out.Write(number[:])
		}
	}
	return out.Flush() // returns the error of any write
}
