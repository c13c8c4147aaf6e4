package keras

import "maps"

// builder makes the spec of a functional model whose layers are called once.
type builder struct {
	s        *spec
	poolings int // that got a counted name
	used     map[string]bool
}

func newBuilder(name string) *builder {
	return &builder{s: &spec{class: classFunctional, name: name}, used: map[string]bool{}}
}

// add adds a layer and its call and returns its name.
func (b *builder) add(class, name string, config object, in ...string) string {
	c := object{"name": name, "trainable": true, "dtype": "float32"}
	maps.Copy(c, config)
	l := &layerSpec{class: class, name: name, config: c.json(), modern: true}
	refs := make([]ref, len(in))
	for i, n := range in {
		refs[i] = ref{n, 0}
	}
	l.calls = [][]ref{refs}
	b.s.layers = append(b.s.layers, l)
	b.used[name] = true
	return name
}

// input adds the input layer; extents of 0 are free.
func (b *builder) input(name string, h, w, c int) string {
	shape := []any{nil, nil, nil, nil}
	for i, d := range []int{h, w, c} {
		if d > 0 {
			shape[i+1] = d
		}
	}
	b.s.input, b.s.shape = name, []int{h, w, c}
	config := object{"batch_shape": shape, "dtype": "float32", "sparse": false, "name": name}
	b.s.layers = append(b.s.layers, &layerSpec{class: "InputLayer", name: name, config: config.json(), modern: true, calls: [][]ref{nil}})
	b.used[name] = true
	return name
}

func (b *builder) finish(output string) *spec {
	b.s.output = ref{output, 0}
	return b.s
}

func (b *builder) pad(name string, n int, x string) string {
	return b.padSides(name, [4]int{n, n, n, n}, x)
}

func (b *builder) padSides(name string, s [4]int, x string) string {
	return b.add("ZeroPadding2D", name, object{"padding": [][]int{{s[0], s[1]}, {s[2], s[3]}}, "data_format": "channels_last"}, x)
}

func (b *builder) conv(name string, filters, kernel, stride int, bias bool, padding, x string) string {
	return b.add("Conv2D", name, object{
		"filters": filters, "kernel_size": []int{kernel, kernel}, "strides": []int{stride, stride}, "padding": padding,
		"data_format": "channels_last", "dilation_rate": []int{1, 1}, "groups": 1, "activation": "linear", "use_bias": bias,
	}, x)
}

// norm is a batch norm with the applications' epsilon.
func (b *builder) norm(name, x string) string {
	return b.add("BatchNormalization", name, object{"axis": -1, "momentum": 0.99, "epsilon": 1.001e-5, "center": true, "scale": true}, x)
}

func (b *builder) relu(name, x string) string {
	return b.add("Activation", name, object{"activation": "relu"}, x)
}
