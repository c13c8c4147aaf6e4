package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Request is a request for inference.
type Request struct {
	ID      string
	Params  Params
	Inputs  []Tensor
	Outputs []Output // none stands for all
}

// Output is an output that a request asks for.
type Output struct {
	Name   string
	Params Params
}

// BinaryOutput returns whether the data of an output are to be binary.
func (r *Request) BinaryOutput(o Output) (bool, error) {
	if _, given := o.Params["binary_data"]; given {
		return o.Params.Bool("binary_data")
	}
	return r.Params.Bool("binary_data_output")
}

// wireTensor and wireRequest are the JSON of a request.
type wireTensor struct {
	Name     *string                    `json:"name"`
	Shape    []int64                    `json:"shape"`
	DataType DataType                   `json:"datatype"`
	Params   map[string]json.RawMessage `json:"parameters"`
	Data     json.RawMessage            `json:"data"`
}

type wireRequest struct {
	ID      string                     `json:"id"`
	Params  map[string]json.RawMessage `json:"parameters"`
	Inputs  []wireTensor               `json:"inputs"`
	Outputs []wireTensor               `json:"outputs"`
}

// ParseRequest reads the body of a request: JSON, and behind its first jsonSize bytes the
// data of binary tensors; jsonSize -1 means that all is JSON. The tensors share the
// body's memory.
func ParseRequest(body []byte, jsonSize int) (*Request, error) {
	text, binaries := body, []byte(nil)
	if jsonSize >= 0 {
		if jsonSize > len(body) {
			return nil, fmt.Errorf("Inference-Header-Content-Length is %d, but the body has %d bytes", jsonSize, len(body))
		}
		text, binaries = body[:jsonSize], body[jsonSize:]
	}
	if !utf8.Valid(text) {
		return nil, errors.New("the JSON is not valid UTF-8")
	}
	var w wireRequest
	if err := decode(text, &w); err != nil {
		return nil, err
	}
	r := &Request{ID: w.ID}
	var err error
	if r.Params, err = params(w.Params); err != nil {
		return nil, err
	}
	if len(w.Inputs) == 0 {
		return nil, errors.New(`the request has no "inputs"`)
	}
	for i, in := range w.Inputs {
		if in.Name == nil {
			return nil, fmt.Errorf("input %d has no name", i)
		}
		t := Tensor{Name: *in.Name, Type: in.DataType, Shape: in.Shape}
		if in.Shape == nil {
			return nil, fmt.Errorf("input %q has no shape", t.Name)
		}
		if t.Params, err = params(in.Params); err != nil {
			return nil, fmt.Errorf("input %q: %w", t.Name, err)
		}
		size, isBinary, err := t.Params.Int("binary_data_size")
		switch {
		case err != nil:
			return nil, fmt.Errorf("input %q: %w", t.Name, err)
		case isBinary && in.Data != nil:
			return nil, fmt.Errorf(`input %q has both "data" and the parameter binary_data_size: leave out one`, t.Name)
		case isBinary && (size < 0 || size > int64(len(binaries))):
			return nil, fmt.Errorf("input %q: binary_data_size is %d, but %d bytes are left behind the JSON", t.Name, size, len(binaries))
		case isBinary:
			err = t.SetRaw(binaries[:size:size])
			binaries = binaries[size:]
		case in.Data == nil:
			return nil, fmt.Errorf(`input %q has no "data", and no parameter binary_data_size`, t.Name)
		default:
			err = t.setJSON(in.Data)
		}
		if err != nil {
			return nil, err
		}
		r.Inputs = append(r.Inputs, t)
	}
	if len(binaries) > 0 {
		return nil, fmt.Errorf("%d bytes are left behind the data of the inputs", len(binaries))
	}
	for i, o := range w.Outputs {
		if o.Name == nil {
			return nil, fmt.Errorf("output %d has no name", i)
		}
		ps, err := params(o.Params)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", *o.Name, err)
		}
		r.Outputs = append(r.Outputs, Output{*o.Name, ps})
	}
	return r, nil
}

// decode reads one JSON value and nothing behind it.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return fmt.Errorf("the JSON has %s for %q, which must be another kind of value", wrong.Value, wrong.Field)
		}
		return fmt.Errorf("the body is not the JSON of a request: %w", err)
	}
	if rest := bytes.TrimLeft(text[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("%d bytes follow the JSON: with binary tensors the header Inference-Header-Content-Length must have the size of the JSON", len(rest))
	}
	return nil
}

// params reads parameters: texts, numbers, true and false.
func params(raw map[string]json.RawMessage) (Params, error) {
	if raw == nil {
		return nil, nil
	}
	out := Params{}
	for name, text := range raw {
		var v any
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			out[name] = i
			continue
		}
		if err := json.Unmarshal(text, &v); err != nil {
			return nil, fmt.Errorf("the parameter %s: %w", name, err)
		}
		switch v.(type) {
		case string, bool, float64:
			out[name] = v
		case nil:
		default:
			return nil, fmt.Errorf("the parameter %s is %s, must be a text, a number, true or false", name, text)
		}
	}
	return out, nil
}
