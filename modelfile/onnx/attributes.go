package onnx

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/graph"
)

//go:embed attributes.txt
var attributesText string

// attributeSet is the attributes of an operator from an opset on.
type attributeSet struct {
	since int64
	names []string
}

// attributeSets returns the attributes of ONNX's own operators, in the order of the
// opsets in which they changed.
var attributeSets = sync.OnceValue(func() map[string][]attributeSet {
	sets := map[string][]attributeSet{}
	for line := range strings.Lines(attributesText) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		since, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			panic(fmt.Sprintf("onnx: attributes.txt: %v", err))
		}
		sets[words[0]] = append(sets[words[0]], attributeSet{since, words[2:]})
	}
	return sets
})

// checkAttributes returns an error for an attribute that the node's operator does not have
// in its opset: it would change nothing, as if the file did not have it. Such are bounds
// or axes that became inputs in a later opset, and mistyped names.
func (m *Model) checkAttributes(nodes []*nodeProto) error {
	sets := attributeSets()
	for _, n := range nodes {
		opset := m.version(n)
		var set *attributeSet
		for i, s := range sets[n.op] {
			if s.since <= opset && isONNX(n.domain) {
				set = &sets[n.op][i]
			}
		}
		for _, a := range n.attrs {
			if set != nil && !slices.Contains(set.names, a.name) {
				return &graph.Error{Path: n.name, Op: "ONNX " + n.op, Err: fmt.Errorf("opset %d: it has the attribute %q, which the operator does not have in this opset (it has %s)", opset, a.name, listed(set.names))}
			}
			if a.g != nil {
				if err := m.checkAttributes(a.g.nodes); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
