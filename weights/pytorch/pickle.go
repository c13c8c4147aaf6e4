package pytorch

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The values of a pickle. None is nil; bool, int64, *big.Int, float64 and
// string are themselves.
type (
	tuple  []any
	list   struct{ items []any }
	rawBuf []byte // bytes
	// dict keeps the order of its keys.
	dict struct{ *entries }
)

// entries are the entries of a dict, nil while it is empty.
type entries struct {
	keys, values []any
	index        map[any]int // of keys that are texts or whole numbers
}

// set adds an entry.
func (d *dict) set(k, v any) error {
	if d.entries == nil {
		d.entries = &entries{index: map[any]int{}}
	}
	switch k := k.(type) {
	case string, int64:
		if _, dup := d.index[k]; dup {
			return badf("a dictionary has the key %s twice", clip(fmt.Sprint(k)))
		}
		d.index[k] = len(d.keys)
	case nil, bool, float64, *big.Int, tuple, *object, *global, rawBuf:
	default:
		return badf("a dictionary has a key that is a list, a dictionary or a tensor")
	}
	d.keys = append(d.keys, k)
	d.values = append(d.values, v)
	return nil
}

// get returns the value of a text key.
func (d *dict) get(k string) (any, bool) {
	if d.entries == nil {
		return nil, false
	}
	i, ok := d.index[k]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *dict) len() int {
	if d.entries == nil {
		return 0
	}
	return len(d.keys)
}

// all yields the entries in order.
func (d *dict) all() iter.Seq2[any, any] {
	return func(yield func(k, v any) bool) {
		for i := range d.len() {
			if !yield(d.keys[i], d.values[i]) {
				return
			}
		}
	}
}

// clip quotes a text of unknown length for a message.
func clip(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q…", s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// unpickler runs the pickles in b. It has no recursion: the stack, the marks
// and the memo are slices and maps, and a value that holds itself is just a
// pointer.
type unpickler struct {
	b      []byte
	at     int
	stack  []any
	marks  []int
	memo   map[uint32]any
	persID func(id any) (any, error)
	others map[string]*global // objects that are not in globals
	copied int                // entries that calls have copied
	steps  int                // done, of all pickles
}

// copying counts entries that a call copies. Honest pickles copy each value at
// most once; recalling one long list again and again would need memory without
// bound.
func (p *unpickler) copying(n int) error {
	if p.copied += n; p.copied > len(p.b) {
		return badf("the pickle copies its values again and again")
	}
	return nil
}

// next runs one pickle and returns its value.
func (p *unpickler) next() (any, error) {
	p.stack, p.marks, p.memo = p.stack[:0], p.marks[:0], map[uint32]any{}
	for {
		op, err := p.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			v, err := p.pop()
			if err == nil && (len(p.stack) > 0 || len(p.marks) > 0) {
				err = badf("the pickle ends with values left over")
			}
			return v, err
		}
		at := p.at - 1
		if p.steps++; p.steps > maxSteps {
			return nil, badf("the pickle has more than %d steps", maxSteps)
		}
		if err := p.step(op[0]); err != nil {
			if f, ok := err.(*FormatError); ok {
				return nil, badf("%s (byte %d of the pickle)", f.Problem, at)
			}
			return nil, err
		}
	}
}

func (p *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(p.b)-p.at) {
		if len(p.b) == maxPickle {
			return nil, badf("the pickle is longer than the limit of %d bytes", maxPickle)
		}
		return nil, badf("the pickle is cut off")
	}
	b := p.b[p.at : p.at+int(n)]
	p.at += int(n)
	return b, nil
}

// sized reads a length n, which is width bytes long, and then n bytes.
func (p *unpickler) sized(width uint64) ([]byte, error) {
	n, err := p.number(width)
	if err != nil {
		return nil, err
	}
	return p.take(n)
}

func (p *unpickler) number(width uint64) (uint64, error) {
	b, err := p.take(width)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// line takes the text up to the next line feed.
func (p *unpickler) line() (string, error) {
	for i := p.at; i < len(p.b) && i-p.at <= 1024; i++ {
		if p.b[i] == '\n' {
			s := string(p.b[p.at:i])
			p.at = i + 1
			return s, nil
		}
	}
	return "", badf("the name of a Python object is cut off or longer than 1024 bytes")
}

func (p *unpickler) push(v any) { p.stack = append(p.stack, v) }

// floor is where the values above the last mark begin.
func (p *unpickler) floor() int {
	if len(p.marks) == 0 {
		return 0
	}
	return p.marks[len(p.marks)-1]
}

func (p *unpickler) pop() (any, error) {
	n := len(p.stack) - 1
	if n < p.floor() {
		return nil, badf("the pickle takes a value from an empty stack")
	}
	v := p.stack[n]
	p.stack[n] = nil
	p.stack = p.stack[:n]
	return v, nil
}

// popN returns a copy of the topmost n values.
func (p *unpickler) popN(n int) (tuple, error) {
	at := len(p.stack) - n
	if at < p.floor() {
		return nil, badf("the pickle takes a value from an empty stack")
	}
	t := append(make(tuple, 0, n), p.stack[at:]...)
	clear(p.stack[at:])
	p.stack = p.stack[:at]
	return t, nil
}

func (p *unpickler) popMark() (tuple, error) {
	if len(p.marks) == 0 {
		return nil, badf("the pickle takes a mark that was not set")
	}
	t, err := p.popN(len(p.stack) - p.floor())
	p.marks = p.marks[:len(p.marks)-1]
	return t, err
}

func (p *unpickler) top() (any, error) {
	if len(p.stack) <= p.floor() {
		return nil, badf("the pickle looks at an empty stack")
	}
	return p.stack[len(p.stack)-1], nil
}

// step does one operation, named as in Python's pickletools.
func (p *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := p.number(1)
		if err == nil && (v < 1 || v > 5) {
			err = badf("pickle protocol %d is not one of 1 to 5", v)
		}
		return err
	case 0x95: // FRAME
		_, err := p.take(8)
		return err
	case '(': // MARK
		p.marks = append(p.marks, len(p.stack))
	case 'N':
		p.push(nil)
	case 0x88:
		p.push(true)
	case 0x89:
		p.push(false)
	case '}':
		p.push(&dict{})
	case ']':
		p.push(&list{})
	case ')':
		p.push(tuple(nil))
	case 0x8f: // EMPTY_SET
		p.push(&list{})
	case 'J', 'K', 'M', 0x8a, 0x8b, 'G': // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
		return p.numeral(op)
	case 'X', 0x8c, 0x8d: // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
		b, err := p.sized(map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8}[op])
		if err == nil && !utf8.Valid(b) {
			err = badf("a text is not UTF-8")
		}
		p.push(string(b))
		return err
	case 'U', 'T': // SHORT_BINSTRING, BINSTRING: texts of Python 2
		b, err := p.sized(map[byte]uint64{'U': 1, 'T': 4}[op])
		p.push(python2Text(b))
		return err
	case 'I', 'L', 'F', 'S', 'V': // INT, LONG, FLOAT, STRING, UNICODE: as lines of text
		return p.lined(op)
	case 'C', 'B', 0x8e, 0x96: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
		b, err := p.sized(map[byte]uint64{'C': 1, 'B': 4, 0x8e: 8, 0x96: 8}[op])
		p.push(rawBuf(append([]byte(nil), b...)))
		return err
	case 0x85, 0x86, 0x87, 't': // TUPLE1 to TUPLE3, TUPLE
		return p.tuple(op)
	case 'l', 'd', 0x91: // LIST, DICT, FROZENSET
		return p.marked(op)
	case '0': // POP
		if len(p.stack) == p.floor() && len(p.marks) > 0 {
			_, err := p.popMark()
			return err
		}
		_, err := p.pop()
		return err
	case '1': // POP_MARK
		_, err := p.popMark()
		return err
	case '2': // DUP
		v, err := p.top()
		p.push(v)
		return err
	case 'a', 'e', 0x90: // APPEND, APPENDS, ADDITEMS
		return p.appends(op)
	case 's', 'u': // SETITEM, SETITEMS
		return p.setItems(op)
	case 'q', 'r', 0x94, 'p', 'h', 'j', 'g': // BINPUT, LONG_BINPUT, MEMOIZE, PUT, BINGET, LONG_BINGET, GET
		return p.memory(op)
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return p.global(op)
	case 'R', 0x81: // REDUCE, NEWOBJ: both call the object here
		return p.reduce()
	case 'i', 'o', 0x92: // INST, OBJ, NEWOBJ_EX
		return p.instance(op)
	case 'b':
		return p.build()
	case 'Q', 'P': // BINPERSID, PERSID
		var id any
		var err error
		if op == 'Q' {
			id, err = p.pop()
		} else {
			id, err = p.line()
		}
		if err != nil {
			return err
		}
		v, err := p.persID(id)
		p.push(v)
		return err
	default:
		return badf("the pickle has the operation 0x%02x (%q), which torch.save does not use", op, rune(op))
	}
	return nil
}

func (p *unpickler) numeral(op byte) error {
	var v any
	switch op {
	case 'G':
		b, err := p.take(8)
		if err != nil {
			return err
		}
		v = math.Float64frombits(binary.BigEndian.Uint64(b))
	case 0x8a, 0x8b:
		b, err := p.sized(map[byte]uint64{0x8a: 1, 0x8b: 4}[op])
		if err != nil {
			return err
		}
		v = long(b)
	default:
		n, err := p.number(map[byte]uint64{'J': 4, 'K': 1, 'M': 2}[op])
		if err != nil {
			return err
		}
		v = int64(n)
		if op == 'J' {
			v = int64(int32(n))
		}
	}
	p.push(v)
	return nil
}

// long decodes a little-endian two's complement number of any length.
func long(b []byte) any {
	if len(b) <= 8 {
		var wide [8]byte
		if len(b) > 0 && b[len(b)-1] >= 0x80 {
			wide = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
		}
		copy(wide[:], b)
		return int64(binary.LittleEndian.Uint64(wide[:]))
	}
	be := make([]byte, len(b))
	for i, x := range b {
		be[len(b)-1-i] = x
	}
	n := new(big.Int).SetBytes(be)
	if be[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

func (p *unpickler) tuple(op byte) error {
	var t tuple
	var err error
	if op == 't' {
		t, err = p.popMark()
	} else {
		t, err = p.popN(int(op - 0x84))
	}
	p.push(t)
	return err
}

func (p *unpickler) appends(op byte) error {
	var items tuple
	var err error
	if op == 'a' {
		items, err = p.popN(1)
	} else {
		items, err = p.popMark()
	}
	if err != nil {
		return err
	}
	v, err := p.top()
	if err != nil {
		return err
	}
	switch l := v.(type) {
	case *list:
		l.items = append(l.items, items...)
	case *object: // a list of a class of its own
	default:
		return badf("the pickle appends to something that is not a list")
	}
	return nil
}

func (p *unpickler) setItems(op byte) error {
	var items tuple
	var err error
	if op == 's' {
		items, err = p.popN(2)
	} else {
		items, err = p.popMark()
	}
	if err != nil {
		return err
	}
	v, err := p.top()
	if err != nil {
		return err
	}
	d, ok := v.(*dict)
	if o, isObject := v.(*object); isObject { // a dictionary of a class of its own
		if o.items == nil {
			o.items = &dict{}
		}
		d, ok = o.items, true
	}
	if !ok || len(items)%2 != 0 {
		return badf("the pickle sets items of something that is not a dictionary, or a key without value")
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *unpickler) memory(op byte) error {
	n := uint64(len(p.memo))
	var err error
	switch op {
	case 'q', 'h':
		n, err = p.number(1)
	case 'r', 'j':
		n, err = p.number(4)
	case 'p', 'g':
		var text string
		if text, err = p.line(); err == nil {
			if n, err = strconv.ParseUint(text, 10, 32); err != nil {
				err = badf("a place in the memo is %s", clip(text))
			}
		}
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' || op == 'g' {
		v, ok := p.memo[uint32(n)]
		if !ok {
			return badf("the pickle recalls value %d, which it did not store", n)
		}
		p.push(v)
		return nil
	}
	v, err := p.top()
	p.memo[uint32(n)] = v
	return err
}

func (p *unpickler) global(op byte) error {
	var module, name string
	if op == 'c' {
		var err error
		if module, err = p.line(); err != nil {
			return err
		}
		if name, err = p.line(); err != nil {
			return err
		}
	} else {
		t, err := p.popN(2)
		if err != nil {
			return err
		}
		var ok1, ok2 bool
		module, ok1 = t[0].(string)
		name, ok2 = t[1].(string)
		if !ok1 || !ok2 {
			return badf("the pickle names a Python object by something that is not a text")
		}
	}
	g, err := p.find(module, name)
	p.push(g)
	return err
}

// find returns the object of a name. Each name has one, so that a pickle that
// names a class again and again takes no memory for it.
func (p *unpickler) find(module, name string) (*global, error) {
	if g, ok := globals[module+"."+name]; ok {
		return g, nil
	}
	if strings.HasPrefix(module, "torch.cuda") && globals["torch."+name] != nil { // torch.cuda.FloatStorage
		return globals["torch."+name], nil
	}
	if g, ok := p.others[module+"."+name]; ok {
		return g, nil
	}
	g, err := unknown(module, name)
	if err != nil {
		return nil, err
	}
	if p.others == nil {
		p.others = map[string]*global{}
	}
	p.others[g.name] = g
	return g, nil
}

func (p *unpickler) reduce() error {
	t, err := p.popN(2)
	if err != nil {
		return err
	}
	args, isTuple := t[1].(tuple)
	if !isTuple {
		return badf("the pickle calls something that cannot be called")
	}
	v, err := p.call(t[0], args)
	p.push(v)
	return err
}

// build sets attributes of an object. Dictionaries have some that are not
// needed (a state dict's _metadata).
func (p *unpickler) build() error {
	state, err := p.pop()
	if err != nil {
		return err
	}
	v, err := p.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *dict, *list:
		return nil
	case *object:
		v.state = state
		return nil
	case *view: // a parameter of PyTorch before 0.4: (requires_grad, …)
		if _, ok := state.(tuple); ok {
			return nil
		}
	case *global: // a class with attributes
		return nil
	}
	return badf("the pickle sets attributes of something that has none")
}
