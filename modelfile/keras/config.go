package keras

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The classes of models. Keras 2 calls a functional model "Model" or
// "Functional".
const (
	classFunctional = "Functional"
	classSequential = "Sequential"
)

// ref names a tensor of a functional model: what the node-th call of a layer
// returns.
type ref struct {
	layer string
	node  int
}

// spec is a model's description: Keras's config, read.
type spec struct {
	class  string
	name   string
	layers []*layerSpec
	input  string // the input layer; "" in a Sequential without one
	output ref    // the answer, one of outputs
	// outputs are all of them, in the file's order; nil stands for output alone.
	outputs []ref
	shape   []int // of the input without the batch, 0 where it is free; nil if unknown
}

// layerSpec describes a layer and its calls.
type layerSpec struct {
	class  string
	name   string
	config json.RawMessage
	modern bool    // the config is in Keras 3's form
	calls  [][]ref // the inputs of each call
	sub    *spec   // of a model used as a layer
	frozen bool
	op     *operation      // of a function called on a tensor; then
	nodes  json.RawMessage // its inbound_nodes
}

// Bounds on untrusted configs.
const (
	maxLayers = 20000
	maxNested = 8
	maxExtent = 1 << 24
)

type rawObject struct {
	Module    *string         `json:"module"`
	ClassName string          `json:"class_name"`
	Config    json.RawMessage `json:"config"`
	Name      string          `json:"name"`
	Inbound   json.RawMessage `json:"inbound_nodes"`
}

type rawModel struct {
	Name            string            `json:"name"`
	Layers          []json.RawMessage `json:"layers"`
	InputLayers     json.RawMessage   `json:"input_layers"`
	OutputLayers    json.RawMessage   `json:"output_layers"`
	BuildInputShape json.RawMessage   `json:"build_input_shape"`
}

// parseSpec reads a config: Keras 3's, or the legacy one of .h5 files.
func parseSpec(b []byte) (*spec, error) {
	b = plainJSON(b)
	// Parts that are kept unchanged and written again must have readable numbers.
	var whole any
	if err := json.Unmarshal(b, &whole); err != nil {
		return nil, fmt.Errorf("keras: the model's config: %w", err)
	}
	var o rawObject
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("keras: the model's config: %w", err)
	}
	layers := 0
	s, err := parseModel(o, 0, &layers)
	if err != nil {
		return nil, fmt.Errorf("keras: the model's config: %w", err)
	}
	return s, nil
}

// unmarshalExact is [json.Unmarshal] for what is written again: its numbers stay as
// they are written. As float64, integers above 2^53 would become others.
func unmarshalExact(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(to)
}

// plainJSON replaces NaN and Infinity, which Python writes and reads, by null. They
// are in initializers, constraints and the like, which nothing here needs.
func plainJSON(b []byte) []byte {
	if !bytes.Contains(b, []byte("NaN")) && !bytes.Contains(b, []byte("Infinity")) {
		return b
	}
	out := make([]byte, 0, len(b))
	inText := false
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case inText && c == '\\' && i+1 < len(b):
			out = append(out, c, b[i+1])
			i += 2
			continue
		case c == '"':
			inText = !inText
		case !inText:
			n := 0
			for _, word := range []string{"NaN", "-Infinity", "Infinity"} {
				if bytes.HasPrefix(b[i:], []byte(word)) {
					n = len(word)
					break
				}
			}
			if n > 0 {
				out = append(out, "null"...)
				i += n
				continue
			}
		}
		out = append(out, c)
		i++
	}
	return out
}

func isModel(class string) bool {
	return class == classFunctional || class == classSequential || class == "Model"
}

func parseModel(o rawObject, depth int, count *int) (*spec, error) {
	if depth > maxNested {
		return nil, errors.New("models are nested too deeply")
	}
	s := &spec{class: o.ClassName}
	if s.class == "Model" {
		s.class = classFunctional
	}
	if !isModel(s.class) {
		return nil, fmt.Errorf("a model of class %q: only Functional and Sequential models describe what they compute", o.ClassName)
	}
	var m rawModel
	if trimmed := bytes.TrimSpace(o.Config); len(trimmed) > 0 && trimmed[0] == '[' { // Sequential of Keras 1 and 2.0
		if err := json.Unmarshal(o.Config, &m.Layers); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(o.Config, &m); err != nil {
		return nil, err
	}
	if s.name = m.Name; s.name == "" {
		s.name = "model"
	}
	names := map[string]*layerSpec{}
	for i, raw := range m.Layers {
		if *count++; *count > maxLayers {
			return nil, fmt.Errorf("more than %d layers", maxLayers)
		}
		l, err := parseLayer(raw, depth, count)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		if l.name == "" || names[l.name] != nil {
			return nil, fmt.Errorf("layer %d (%s): its name %q is empty or taken", i, l.class, l.name)
		}
		names[l.name] = l
		s.layers = append(s.layers, l)
	}
	if len(s.layers) == 0 {
		return nil, errors.New("it has no layers")
	}
	var err error
	if s.class == classSequential {
		err = s.chain(m.BuildInputShape)
	} else {
		err = s.connect(m, names)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.name, err)
	}
	return s, nil
}

func parseLayer(raw json.RawMessage, depth int, count *int) (*layerSpec, error) {
	var o rawObject
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	l := &layerSpec{class: o.ClassName, name: o.Name, config: o.Config, modern: o.Module != nil}
	var common struct {
		Name      string `json:"name"`
		Trainable *bool  `json:"trainable"`
	}
	if isModel(o.ClassName) {
		var err error
		if l.sub, err = parseModel(o, depth+1, count); err != nil {
			return nil, err
		}
		common.Name = l.sub.name
		var t struct {
			Trainable *bool `json:"trainable"`
		}
		if json.Unmarshal(o.Config, &t) == nil { // a list has none
			common.Trainable = t.Trainable
		}
	} else if err := json.Unmarshal(o.Config, &common); err != nil {
		return nil, fmt.Errorf("%s %s: %w", l.class, l.name, err)
	}
	if l.name == "" {
		l.name = common.Name
	}
	l.frozen = common.Trainable != nil && !*common.Trainable
	var err error
	if l.sub == nil && isOperation(o) {
		var refs []ref
		if l.op, refs, err = parseOperation(o); err != nil {
			return nil, fmt.Errorf("%s %s: %w", l.class, l.name, err)
		}
		l.calls, l.nodes = [][]ref{refs}, o.Inbound
		return l, nil
	}
	if l.calls, err = parseNodes(o.Inbound); err != nil {
		return nil, fmt.Errorf("%s %s: %w", l.class, l.name, err)
	}
	return l, nil
}

// parseNodes reads inbound_nodes of either form: [[["name", 0, 0, {}], …], …],
// or [{"args": […], "kwargs": {}}, …].
func parseNodes(raw json.RawMessage) ([][]ref, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var nodes []json.RawMessage
	if err := json.Unmarshal(raw, &nodes); err != nil {
		return nil, fmt.Errorf("inbound_nodes: %w", err)
	}
	var calls [][]ref
	for _, n := range nodes {
		var call struct {
			Args   json.RawMessage            `json:"args"`
			Kwargs map[string]json.RawMessage `json:"kwargs"`
		}
		var refs []ref
		if n = bytes.TrimSpace(n); n[0] == '{' {
			if err := json.Unmarshal(n, &call); err != nil {
				return nil, fmt.Errorf("inbound_nodes: %w", err)
			}
			if err := tensorsIn(call.Args, &refs); err != nil {
				return nil, fmt.Errorf("inbound_nodes: %w", err)
			}
			for k, v := range call.Kwargs {
				if k != "training" && k != "mask" || bytes.Contains(v, []byte("__keras_tensor__")) {
					return nil, fmt.Errorf("a call with the argument %q is not supported", k)
				}
			}
		} else {
			var inputs []json.RawMessage
			if err := json.Unmarshal(n, &inputs); err != nil {
				return nil, fmt.Errorf("inbound_nodes: %w", err)
			}
			if len(inputs) > 0 && bytes.HasPrefix(bytes.TrimSpace(inputs[0]), []byte(`"`)) {
				inputs = []json.RawMessage{n} // a single input without its list
			}
			for _, in := range inputs {
				r, err := parseRef(in)
				if err != nil {
					return nil, fmt.Errorf("inbound_nodes: %w", err)
				}
				refs = append(refs, r)
			}
		}
		if len(refs) > maxLayers {
			return nil, errors.New("inbound_nodes: too many inputs")
		}
		calls = append(calls, refs)
	}
	return calls, nil
}

// parseRef reads ["name", node, tensor] or, with arguments, ["name", node,
// tensor, {}].
func parseRef(raw json.RawMessage) (ref, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return ref{}, err
	}
	var r ref
	var tensor int
	if len(parts) < 3 || len(parts) > 4 {
		return r, fmt.Errorf("%d parts name a tensor, want 3 or 4", len(parts))
	}
	for i, to := range []any{&r.layer, &r.node, &tensor} {
		if err := json.Unmarshal(parts[i], to); err != nil {
			return r, err
		}
	}
	if tensor != 0 || r.node < 0 {
		return r, fmt.Errorf("layer %s: only the first output of a call is supported", r.layer)
	}
	if len(parts) == 4 && bytes.Contains(parts[3], []byte(`[`)) {
		return r, fmt.Errorf("layer %s: calls with further tensors are not supported", r.layer)
	}
	return r, nil
}

// tensorsIn collects the tensors in the arguments of a call: one, or a list.
func tensorsIn(raw json.RawMessage, refs *[]ref) error {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return nil
	case raw[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		for _, v := range list {
			if err := tensorsIn(v, refs); err != nil {
				return err
			}
		}
		return nil
	}
	var t struct {
		ClassName string `json:"class_name"`
		Config    struct {
			History json.RawMessage `json:"keras_history"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &t); err != nil || t.ClassName != "__keras_tensor__" {
		return fmt.Errorf("an argument that is no tensor: %.60s", raw)
	}
	r, err := parseRef(t.Config.History)
	*refs = append(*refs, r)
	return err
}

// refsOf reads input_layers or output_layers: one tensor, a list of them, or, of a
// model with named ones, an object.
func refsOf(raw json.RawMessage, what string) ([]ref, error) {
	raw = bytes.TrimSpace(raw)
	var list []json.RawMessage
	if len(raw) > 0 && raw[0] == '{' {
		named := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &named); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		for _, k := range slices.Sorted(maps.Keys(named)) {
			list = append(list, named[k])
		}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(list) > 0 && bytes.HasPrefix(bytes.TrimSpace(list[0]), []byte(`"`)) {
		list = []json.RawMessage{raw}
	}
	if len(list) == 0 || len(list) > maxLayers {
		return nil, fmt.Errorf("it has %d %s", len(list), what)
	}
	out := make([]ref, len(list))
	for i, l := range list {
		var err error
		if out[i], err = parseRef(l); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return out, nil
}

// connect checks the references of a functional model.
func (s *spec) connect(m rawModel, names map[string]*layerSpec) error {
	ins, err := refsOf(m.InputLayers, "inputs")
	if err != nil {
		return err
	}
	if len(ins) != 1 {
		return fmt.Errorf("it has %d inputs, only models with one are supported: save the part that takes the picture as a model of its own", len(ins))
	}
	in := ins[0]
	if s.outputs, err = refsOf(m.OutputLayers, "outputs"); err != nil {
		return err
	}
	l := names[in.layer]
	if l == nil || l.class != "InputLayer" {
		return fmt.Errorf("its input %q is no InputLayer", in.layer)
	}
	s.input = in.layer
	l.calls = [][]ref{nil}
	if s.shape, err = inputShape(l.config); err != nil {
		return fmt.Errorf("InputLayer %s: %w", l.name, err)
	}
	// A model used as a layer counts its own making as node 0 in some
	// versions: then its calls are 1, 2, …
	var refs []*ref
	for i := range s.outputs {
		refs = append(refs, &s.outputs[i])
	}
	last := map[string]int{}
	for _, l := range s.layers {
		for _, call := range l.calls {
			if len(call) == 0 && l.name != s.input {
				return fmt.Errorf("layer %s is called without inputs", l.name)
			}
			for i := range call {
				refs = append(refs, &call[i])
			}
		}
	}
	for _, r := range refs {
		if names[r.layer] == nil {
			return fmt.Errorf("a call takes the output of %q, which is no layer", r.layer)
		}
		last[r.layer] = max(last[r.layer], r.node)
	}
	for _, r := range refs {
		l := names[r.layer]
		if l.sub != nil && last[r.layer] >= len(l.calls) {
			r.node--
		}
		if r.node < 0 || r.node >= len(l.calls) {
			return fmt.Errorf("call %d of layer %s does not exist", r.node, r.layer)
		}
	}
	s.output = s.outputs[0]
	return nil
}

// ends are all outputs.
func (s *spec) ends() []ref {
	if len(s.outputs) == 0 {
		return []ref{s.output}
	}
	return s.outputs
}

// chain connects the layers of a Sequential.
func (s *spec) chain(build json.RawMessage) error {
	var err error
	first := s.layers[0]
	switch {
	case first.class == "InputLayer":
		s.input = first.name
		s.shape, err = inputShape(first.config)
	case first.sub != nil:
		s.shape = first.sub.shape
	default:
		s.shape, err = inputShape(first.config)
	}
	if err == nil && s.shape == nil && len(build) > 0 {
		s.shape, err = parseShape(build)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", first.class, first.name, err)
	}
	var before []ref
	for _, l := range s.layers {
		l.calls = [][]ref{before}
		before = []ref{{l.name, 0}}
	}
	s.output = before[0]
	if s.input == "" { // the first layer takes the model's input
		first.calls = [][]ref{{}}
	}
	return nil
}

func inputShape(config json.RawMessage) ([]int, error) {
	var c struct {
		Shape      json.RawMessage `json:"batch_shape"`
		InputShape json.RawMessage `json:"batch_input_shape"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if len(c.Shape) == 0 {
		c.Shape = c.InputShape
	}
	if len(c.Shape) == 0 {
		return nil, nil
	}
	return parseShape(c.Shape)
}

// parseShape reads [null, 224, 224, 3] as [224 224 3], with 0 for null.
func parseShape(raw json.RawMessage) ([]int, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil
	}
	var tuple struct {
		Items []*int `json:"items"`
	}
	shape := &tuple.Items
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		err = json.Unmarshal(raw, &tuple)
	} else {
		err = json.Unmarshal(raw, shape)
	}
	if err != nil {
		return nil, fmt.Errorf("the shape of the input: %w", err)
	}
	if len(*shape) < 2 || len(*shape) > 5 {
		return nil, fmt.Errorf("an input of rank %d", len(*shape))
	}
	if batch := (*shape)[0]; batch != nil && (*batch < 1 || *batch > maxExtent) {
		return nil, fmt.Errorf("an input with a batch of %d", *batch)
	}
	out := make([]int, len(*shape)-1)
	for i, d := range (*shape)[1:] {
		if d == nil {
			continue
		}
		if *d < 1 || *d > maxExtent {
			return nil, fmt.Errorf("an input with an extent of %d", *d)
		}
		out[i] = *d
	}
	return out, nil
}

// ints reads one number, or a list or tuple of numbers.
type ints []int

// UnmarshalJSON implements [json.Unmarshaler].
func (v *ints) UnmarshalJSON(b []byte) error {
	switch b = bytes.TrimSpace(b); {
	case b[0] == '[':
		return json.Unmarshal(b, (*[]int)(v))
	case b[0] == '{':
		var t struct {
			Items []int `json:"items"`
		}
		err := json.Unmarshal(b, &t)
		*v = t.Items
		return err
	}
	var n int
	err := json.Unmarshal(b, &n)
	*v = ints{n}
	return err
}

// pair returns two numbers of at least least, the second being the first if
// there is only one, or a default if there is none.
func (v ints) pair(what string, least, fallback int) (h, w int, err error) {
	switch len(v) {
	case 0:
		h, w = fallback, fallback
	case 1:
		h, w = v[0], v[0]
	case 2:
		h, w = v[0], v[1]
	default:
		return 0, 0, fmt.Errorf("%s has %d numbers", what, len(v))
	}
	if h < least || w < least || h > maxExtent || w > maxExtent {
		return 0, 0, fmt.Errorf("%s is %dx%d", what, h, w)
	}
	return h, w, nil
}
