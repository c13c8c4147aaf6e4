package keras

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// This file reads the calls of operations in configs.

// isOperation reports whether an object of a config is an operation. Layers and
// operations share names, such as Add: a layer has "trainable" in its config.
func isOperation(o rawObject) bool {
	switch o.ClassName {
	case "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer":
		return true
	}
	if o.Module != nil {
		return len(*o.Module) >= 9 && (*o.Module)[:9] == "keras.src" && bytes.Contains([]byte(*o.Module), []byte(".ops"))
	}
	var c struct {
		Trainable json.RawMessage `json:"trainable"`
		DType     json.RawMessage `json:"dtype"`
	}
	if json.Unmarshal(o.Config, &c) != nil || len(c.Trainable) > 0 || len(c.DType) > 0 || len(o.Inbound) < 3 {
		return false
	}
	return bytes.Contains(o.Inbound, []byte(`"args"`))
}

// parseOperation reads the only call of an operation.
func parseOperation(o rawObject) (*operation, []ref, error) {
	op := &operation{name: o.ClassName, named: map[string]operand{}}
	var config struct {
		Function string `json:"function"`
	}
	all := map[string]any{} // with arguments that the operation itself has, such as axes
	if len(o.Config) > 0 {
		if err := json.Unmarshal(o.Config, &config); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal(o.Config, &all); err != nil {
			return nil, nil, err
		}
	}
	switch o.ClassName {
	case "TFOpLambda":
		name, ok := lambdas[config.Function]
		if !ok {
			return nil, nil, fmt.Errorf("the function tf.%s inside the model is not supported: save the model without it, and give pictures to it as it wants them", config.Function)
		}
		op.name = name
	case "SlicingOpLambda":
		op.name = "GetItem"
	}
	var nodes []json.RawMessage
	if err := json.Unmarshal(o.Inbound, &nodes); err != nil {
		return nil, nil, fmt.Errorf("inbound_nodes: %w", err)
	}
	if len(nodes) != 1 {
		return nil, nil, fmt.Errorf("an operation with %d calls", len(nodes))
	}
	r := &operands{op: op}
	var err error
	if n := bytes.TrimSpace(nodes[0]); len(n) > 0 && n[0] == '{' {
		err = r.modern(n)
	} else {
		err = r.legacy(n)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("inbound_nodes: %w", err)
	}
	if len(r.refs) == 0 {
		return nil, nil, errors.New("inbound_nodes: an operation without tensors")
	}
	for k, v := range all {
		if _, given := op.named[k]; !given && k != "name" && k != "dtype" && k != "function" {
			op.named[k] = operand{tensor: -1, value: v}
		}
	}
	return op, r.refs, nil
}

// operands collects the tensors of a call.
type operands struct {
	op   *operation
	refs []ref
}

func (r *operands) tensor(at ref) operand {
	r.refs = append(r.refs, at)
	return operand{tensor: len(r.refs) - 1}
}

func (r *operands) modern(n json.RawMessage) error {
	var call struct {
		Args   []any          `json:"args"`
		Kwargs map[string]any `json:"kwargs"`
	}
	if err := json.Unmarshal(n, &call); err != nil {
		return err
	}
	for _, a := range call.Args {
		list, isList := a.([]any)
		if isList && hasTensor(list) { // Concatenate([a, b])
			for _, e := range list {
				if err := r.add(e); err != nil {
					return err
				}
			}
			continue
		}
		if err := r.add(a); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(call.Kwargs)) {
		o, err := r.operand(call.Kwargs[k])
		if err != nil {
			return err
		}
		r.op.named[k] = o
	}
	return nil
}

func (r *operands) add(v any) error {
	o, err := r.operand(v)
	r.op.operands = append(r.op.operands, o)
	return err
}

func hasTensor(list []any) bool {
	return slices.ContainsFunc(list, func(v any) bool {
		m, ok := v.(map[string]any)
		return ok && m["class_name"] == "__keras_tensor__"
	})
}

// operand reads a value, or a tensor of Keras 3.
func (r *operands) operand(v any) (operand, error) {
	m, ok := v.(map[string]any)
	if !ok || m["class_name"] != "__keras_tensor__" {
		return operand{tensor: -1, value: v}, nil
	}
	config, _ := m["config"].(map[string]any)
	h, err := json.Marshal(config["keras_history"])
	if err != nil {
		return operand{}, err
	}
	at, err := parseRef(h)
	return r.tensor(at), err
}

// legacy reads ["name", 0, 0, {"y": 2}], or a list of such tensors.
func (r *operands) legacy(n json.RawMessage) error {
	var parts []any
	if err := json.Unmarshal(n, &parts); err != nil {
		return err
	}
	if len(parts) > 0 {
		if _, one := parts[0].(string); one {
			parts = []any{parts}
		}
	}
	for _, p := range parts {
		list, ok := p.([]any)
		if !ok || len(list) < 3 {
			return errors.New("an operation's input is not described as Keras does")
		}
		if list[0] == "_CONSTANT_VALUE" {
			r.op.operands = append(r.op.operands, operand{tensor: -1, value: list[2]})
		} else {
			at, ok := legacyRef(list[:3])
			if !ok {
				return errors.New("an operation's input is not described as Keras does")
			}
			r.op.operands = append(r.op.operands, r.tensor(at))
		}
		if len(list) < 4 {
			continue
		}
		kwargs, _ := list[3].(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(kwargs)) {
			o := operand{tensor: -1, value: kwargs[k]}
			if list, ok := kwargs[k].([]any); ok && len(list) == 3 {
				if at, ok := legacyRef(list); ok {
					o = r.tensor(at)
				}
			}
			r.op.named[k] = o
		}
	}
	return nil
}

// legacyRef reads ["name", node, tensor].
func legacyRef(list []any) (ref, bool) {
	name, ok1 := list[0].(string)
	node, ok2 := list[1].(float64)
	out, ok3 := list[2].(float64)
	return ref{name, int(node)}, ok1 && ok2 && ok3 && out == 0 && node >= 0 && node < maxLayers
}
