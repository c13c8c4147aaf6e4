package keras

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/answer"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Outputs lists the model's outputs by the names of the layers that give them, the
// one first that [Model.Forward] computes.
func (m *Model) Outputs() []string {
	names := []string{m.spec.output.layer}
	for _, r := range m.spec.ends() {
		if r != m.spec.output {
			names = append(names, r.layer)
		}
	}
	return names
}

// SetOutput makes [Model.Forward] compute the output of the layer of that name.
func (m *Model) SetOutput(name string) error { return m.choose(name) }

// choose makes an output the answer: the one of that name, or, for "", the one that
// most likely has the scores of the classes, see package answer.
func (m *Model) choose(name string) error {
	ends := slices.Clone(m.spec.ends())
	if name != "" {
		i := slices.IndexFunc(ends, func(r ref) bool { return r.layer == name })
		if i < 0 {
			return fmt.Errorf("keras: the model has no output %q%s", name, suggest.Phrase(name, m.Outputs()))
		}
		if m.Final != "" && ends[i] != m.spec.output {
			m.giveFinal()
		}
		m.spec.output = ends[i]
	} else if len(ends) > 1 {
		slices.SortStableFunc(ends, func(a, b ref) int { return cmp.Compare(m.score(b), m.score(a)) })
		m.spec.output = ends[0]
	}
	if m.Final == "" {
		m.Final = m.takeFinal()
	}
	return nil
}

// score weighs how likely an output is the answer.
func (m *Model) score(r ref) int {
	end := ""
	switch a := m.finalAct(r); {
	case a == nil:
	case a.kind == actSoftmax:
		end = "softmax"
	case a.kind == actUnary && a.unary.Fn == graph.Sigmoid:
		end = "sigmoid"
	}
	return answer.Score(r.layer, end, len(m.shapes[r]))
}

// finalAct is the activation at the end of a layer, nil if it has none of its own.
func (m *Model) finalAct(r ref) *act {
	switch l := m.Modules[r.layer].(type) {
	case *dense:
		return &l.act
	case *activation:
		return &l.act
	case *Model:
		return l.finalAct(l.spec.output)
	}
	return nil
}

// giveFinal puts the activation back that takeFinal has taken.
func (m *Model) giveFinal() {
	a := m.finalAct(m.spec.output)
	switch m.Final {
	case "softmax":
		*a = act{kind: actSoftmax}
	case "sigmoid":
		*a = activations["sigmoid"]
	}
	m.Final = ""
}
