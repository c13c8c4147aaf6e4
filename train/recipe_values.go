package train

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkValue compares the value of a key with the type that it will be decoded into.
// The messages of the YAML package name Go's types, which users of recipes do not know.
func checkValue(file, key string, n *yaml.Node, t reflect.Type) error {
	v := reflect.New(t)
	err := n.Decode(v.Interface())
	if err == nil && !cutsFraction(n, v.Elem()) {
		return nil
	}
	return &RecipeError{File: file, Line: n.Line, Key: key, Problem: fmt.Sprintf("%s is not %s", valueText(n), wanted(t))}
}

// cutsFraction reports whether a number with a fraction was decoded into whole numbers,
// which the YAML package does without an error.
func cutsFraction(n *yaml.Node, v reflect.Value) bool {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.CanInt() && n.Kind == yaml.ScalarNode:
		var x float64
		return n.Decode(&x) == nil && x != math.Trunc(x)
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode && v.Len() == len(n.Content):
		for i, c := range n.Content {
			if cutsFraction(c, v.Index(i)) {
				return true
			}
		}
	}
	return false
}

// wanted describes the values of a type.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[ClassWeights]():
		return "balanced, none, a list of numbers, or numbers by class name, such as {cat: 2}"
	case reflect.TypeFor[Preprocess]():
		return "the name of a way to prepare pictures, or " + wantedKeys(t)
	case reflect.TypeFor[Names]():
		return "a name or a list of names, such as [a, b]"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a name or text"
	case reflect.Struct:
		return wantedKeys(t)
	case reflect.Slice:
		return "a list with " + wanted(t.Elem()) + " at each place, such as [1, 2]"
	case reflect.Array:
		return fmt.Sprintf("a list of length %d with %s at each place, such as [1%s]", t.Len(), wanted(t.Elem()), strings.Repeat(", 2", t.Len()-1))
	}
	return "a whole number"
}

func wantedKeys(t reflect.Type) string {
	names, _ := recipeFields(t)
	return "keys with values, as {" + names[0] + ": …}"
}

// wantedAt describes the values of a key; "" if there is no such key.
func wantedAt(names []string) string {
	t := reflect.TypeFor[Recipe]()
	for _, name := range names {
		_, fields := recipeFields(t)
		if t = fields[name]; t == nil {
			return ""
		}
	}
	return wanted(t)
}

// valueText returns a value for a message, cut off if it is long.
func valueText(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return fmt.Sprintf("%.60q", n.Value)
	}
	return fmt.Sprintf("%.60s", flowText(n))
}

func flowText(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			parts = append(parts, flowText(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, flowText(n.Content[i])+": "+flowText(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return n.Value
}
