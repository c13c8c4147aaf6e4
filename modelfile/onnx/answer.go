package onnx

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	score "github.com/resnet-go/resnet/internal/answer"
	"github.com/resnet-go/resnet/internal/suggest"
)

// answer is an output of the file from which a picture's class can be told: where
// the scores of the classes are computed, which is the output itself, or, behind
// operators that turn scores into labels, what these take.
type answer struct {
	output string   // the file's name
	value  string   // that has the scores
	labels []string // of the classes, if the file has them
	score  int      // how likely this is what users mean by the model's answer
}

// Answers lists the outputs of the file by name, the one first that most likely
// has the scores of the classes. [Model.SetAnswer] chooses another.
func (m *Model) Answers() []string {
	var names []string
	for _, a := range m.answers {
		names = append(names, a.output)
	}
	return names
}

// Answer returns the output that [Model.Forward] computes.
func (m *Model) Answer() string { return m.answers[0].output }

// SetAnswer makes [Model.Forward] compute the output of that name.
func (m *Model) SetAnswer(output string) error {
	i := slices.IndexFunc(m.answers, func(a *answer) bool { return a.output == output })
	if i < 0 {
		return fmt.Errorf("onnx: the model has no output %q%s", output, suggest.Phrase(output, m.Answers()))
	}
	a := m.answers[i]
	m.answers = append([]*answer{a}, slices.Delete(slices.Clone(m.answers), i, i+1)...)
	m.head = m.findHead()
	return m.refuse()
}

// ClassNames returns the names of the classes that the file has behind the scores,
// as the operators of ai.onnx.ml give them; nil if it has none.
func (m *Model) ClassNames() []string { return m.answers[0].labels }

// findAnswers lists the outputs in the order of [Model.Answers].
func (m *Model) findAnswers() []*answer {
	maker := m.makers()
	var all []*answer
	for _, o := range m.proto.graph.outputs {
		a := &answer{output: o.name, value: o.name}
		a.behind(m, maker, o)
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b *answer) int { return cmp.Compare(b.score, a.score) })
	return all
}

// makers maps each name to the node that makes it.
func (m *Model) makers() map[string]*nodeProto {
	maker := map[string]*nodeProto{}
	for _, n := range m.proto.graph.nodes {
		for _, o := range n.out {
			maker[o] = n
		}
	}
	return maker
}

// key is an operator's name in the table of operators.
func (p *nodeProto) key() string { return domainPrefix(p.domain) + p.op }

// behind looks from an output back through what turns scores into labels, and
// weighs what it finds.
func (a *answer) behind(m *Model, maker map[string]*nodeProto, o *valueProto) {
	label := false
	at := o.name
	for range 16 {
		n := maker[at]
		if n == nil || len(n.in) == 0 {
			break
		}
		next := n.in[0]
		switch n.key() {
		case "ai.onnx.ml.ZipMap":
			a.names(n, "classlabels_strings", "classlabels_int64s", "classlabels_ints")
		case "ArgMax", "TopK":
			label = true
		case "ai.onnx.ml.LabelEncoder":
			a.names(n, "values_strings", "values_int64s", "")
			label = true
		case "ai.onnx.ml.ArrayFeatureExtractor":
			if len(n.in) < 2 {
				return
			}
			if names := m.texts[n.in[0]]; names != nil {
				a.labels = names
			}
			next, label = n.in[1], true
		case "Identity":
		case "Cast":
			if label = label || labelCast(n); !label {
				next = ""
			}
		case "Reshape", "Squeeze", "Unsqueeze", "Flatten":
			if !label {
				next = ""
			}
		default:
			next = ""
		}
		if next == "" {
			break
		}
		at = next
		a.value = at
	}
	if label {
		a.score -= 3
	} else if o.other == "" && o.elem != 0 && !o.elem.isFloat() {
		a.score -= 50 // numbers that are no scores
	}
	end := ""
	if n := endOf(maker, a.value); n != nil {
		end = map[string]string{"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "sigmoid"}[n.op]
	}
	axes := -1
	if o.known && o.other == "" {
		axes = 0
		for _, d := range o.dims[min(1, len(o.dims)):] {
			if d != 1 {
				axes++
			}
		}
	}
	a.score += score.Score(o.name, end, axes)
}

// labelCast reports whether a Cast makes texts or whole numbers.
func labelCast(n *nodeProto) bool {
	for _, a := range n.attrs {
		if a.name == "to" {
			return !elemType(a.i).isFloat()
		}
	}
	return false
}

// endOf returns the node that computes a value, before operators that only give it
// another form.
func endOf(maker map[string]*nodeProto, at string) *nodeProto {
	n := maker[at]
	for range 16 {
		if n == nil || len(n.in) == 0 {
			break
		}
		switch n.op {
		case "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Clip", "Dropout", "Transpose":
			n = maker[n.in[0]]
			continue
		}
		break
	}
	return n
}

// names reads the labels of classes in an attribute: texts, or whole numbers.
func (a *answer) names(n *nodeProto, texts, numbers, older string) {
	for _, attr := range n.attrs {
		switch {
		case attr.name == texts && len(attr.strs) > 0:
			a.labels = nil
			for _, s := range attr.strs {
				a.labels = append(a.labels, string(s))
			}
		case (attr.name == numbers || attr.name == older && older != "") && len(attr.ints) > 0:
			a.labels = nil
			for _, i := range attr.ints {
				a.labels = append(a.labels, strconv.FormatInt(i, 10))
			}
		}
	}
}

// live returns the nodes that the wanted values depend on.
func live(nodes []*nodeProto, wanted []string) map[*nodeProto]bool {
	needed := map[string]bool{}
	for _, w := range wanted {
		needed[w] = true
	}
	out := map[*nodeProto]bool{}
	var need func(n *nodeProto)
	need = func(n *nodeProto) {
		for _, name := range n.in {
			needed[name] = true
		}
		for _, a := range n.attrs {
			if a.g == nil {
				continue
			}
			for _, inner := range a.g.nodes {
				need(inner)
			}
			for _, o := range a.g.outputs {
				needed[o.name] = true
			}
		}
	}
	for _, n := range slices.Backward(nodes) {
		if slices.ContainsFunc(n.out, func(o string) bool { return o != "" && needed[o] }) {
			out[n] = true
			need(n)
		}
	}
	return out
}
