package pytorch

import (
	"bytes"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file has the operations of pickles that make objects, and those of the text
// protocols, 0 and 1.

// call makes the value that a function or class gives.
func (p *unpickler) call(f any, args tuple) (any, error) {
	switch f := f.(type) {
	case *global:
		if f.call == nil {
			return nil, badf("the pickle calls %s, which is not a function", f.name)
		}
		return f.call(p, args)
	case *object: // what an unknown function gave
		return &object{class: f.class}, nil
	}
	return nil, badf("the pickle calls something that cannot be called")
}

// instance makes an object of a class, in the ways of old protocols and with
// arguments that have names.
func (p *unpickler) instance(op byte) error {
	var class any
	var args tuple
	if op == 0x92 {
		t, err := p.popN(3)
		if err != nil {
			return err
		}
		class = t[0]
		args, _ = t[1].(tuple)
	} else {
		t, err := p.instanceArgs(op)
		if err != nil {
			return err
		}
		class, args = t[0], t[1:]
	}
	v, err := p.call(class, args)
	p.push(v)
	return err
}

// instanceArgs returns the class and what it is made of.
func (p *unpickler) instanceArgs(op byte) (tuple, error) {
	if op == 'i' {
		module, err := p.line()
		if err != nil {
			return nil, err
		}
		name, err := p.line()
		if err != nil {
			return nil, err
		}
		g, err := p.find(module, name)
		if err != nil {
			return nil, err
		}
		args, err := p.popMark()
		return append(tuple{g}, args...), err
	}
	t, err := p.popMark()
	if err == nil && len(t) == 0 {
		err = badf("the pickle makes an object of no class")
	}
	return t, err
}

// lined reads a value that is written as a line of text.
func (p *unpickler) lined(op byte) error {
	line, err := p.line()
	if err != nil {
		return err
	}
	var v any
	switch op {
	case 'I':
		switch line {
		case "00", "01":
			v = line == "01"
		default:
			v, err = strconv.ParseInt(line, 10, 64)
		}
	case 'L':
		n, ok := new(big.Int).SetString(strings.TrimSuffix(line, "L"), 10)
		switch {
		case !ok:
			err = strconv.ErrSyntax
		case n.IsInt64():
			v = n.Int64()
		default:
			v = n
		}
	case 'F':
		v, err = strconv.ParseFloat(line, 64)
	case 'V':
		v = line // with escapes only for letters that no name of ours has
	case 'S':
		n := len(line)
		if n < 2 || line[0] != line[n-1] || line[0] != '\'' && line[0] != '"' {
			err = strconv.ErrSyntax
			break
		}
		v = python2Text([]byte(line[1 : n-1]))
	}
	if err != nil {
		return badf("the value %s cannot be read", clip(line))
	}
	p.push(v)
	return nil
}

// python2Text is a text of Python 2, or bytes if it is none.
func python2Text(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return rawBuf(bytes.Clone(b))
}

// marked makes a list, set or dictionary of the values above the mark.
func (p *unpickler) marked(op byte) error {
	items, err := p.popMark()
	if err != nil {
		return err
	}
	if op != 'd' {
		p.push(&list{items})
		return nil
	}
	d := &dict{}
	if len(items)%2 != 0 {
		return badf("the pickle makes a dictionary with a key without value")
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	p.push(d)
	return nil
}
