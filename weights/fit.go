package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/tensor"
)

// Want is a tensor that a model has.
type Want struct {
	Name  string
	DType tensor.DType
	Shape tensor.Shape
}

const counter = "num_batches_tracked"

// IsCounter reports whether a tensor is batch norm's num_batches_tracked. Files
// from before PyTorch 0.4.1 and from other programs lack it, so that a model
// does not miss it: it starts at 0.
func IsCounter(name string) bool { return name == counter || strings.HasSuffix(name, "."+counter) }

// Misshapen is a tensor whose shape or type is not the model's.
type Misshapen struct {
	Name string `json:"name"`
	File string `json:"file"` // such as float32[1000 512]
	Want string `json:"model"`
}

// Report lists the differences between the tensors of a file and a model.
type Report struct {
	// Renamed has the rules by which the file's names became the model's, "" for
	// none.
	Renamed    string      `json:"renamed,omitempty"`
	Loaded     int         `json:"loaded"`               // tensors
	Missing    []string    `json:"missing,omitempty"`    // in the model only
	Unexpected []string    `json:"unexpected,omitempty"` // in the file only
	Misshapen  []Misshapen `json:"misshapen,omitempty"`
	near       map[string]string
}

// Complete reports whether file and model have the same tensors.
func (r *Report) Complete() bool {
	return len(r.Missing)+len(r.Unexpected)+len(r.Misshapen) == 0
}

// String lists the differences, a line a kind, with at most six names each.
func (r *Report) String() string {
	var lines []string
	add := func(n int, what string, items []string) {
		if n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s: %s", n, what, strings.Join(items, ", ")))
		}
	}
	var missing, shapes []string
	for _, m := range r.Missing[:min(len(r.Missing), most)] {
		if near := r.near[m]; near != "" {
			m += " (there is " + near + ")"
		}
		missing = append(missing, m)
	}
	add(len(r.Missing), "missing", more(missing, len(r.Missing)))
	add(len(r.Unexpected), "unexpected", more(r.Unexpected, len(r.Unexpected)))
	for _, m := range r.Misshapen[:min(len(r.Misshapen), most)] {
		shapes = append(shapes, fmt.Sprintf("%s is %s, the model has %s", m.Name, m.File, m.Want))
	}
	add(len(r.Misshapen), "of another shape", more(shapes, len(r.Misshapen)))
	return strings.Join(lines, "\n")
}

const most = 6 // names in a list

func more(items []string, n int) []string {
	items = slices.Clone(items[:min(len(items), most)])
	if n > len(items) {
		items = append(items, fmt.Sprintf("and %d more", n-len(items)))
	}
	return items
}

// alike returns the unexpected tensor that a missing one was probably meant by:
// of the same shape and with the same last part of the name (weight, bias), and
// one with something before it, the only one, or one that is spelt nearly the
// same.
func alike(missing Want, unexpected []string, tensors map[string]*tensor.Tensor) string {
	var near []string
	for _, u := range unexpected {
		if _, fits := missing.take(tensors[u]); !fits || lastPart(u) != lastPart(missing.Name) {
			continue
		}
		if strings.HasSuffix(u, "."+missing.Name) || strings.HasSuffix(missing.Name, "."+u) {
			return u
		}
		near = append(near, u)
	}
	if len(near) == 1 {
		return near[0]
	}
	if len(near) > 1000 {
		return ""
	}
	return suggest.Name(missing.Name, near)
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// FitError is the error for tensors that do not fit a model.
type FitError struct {
	Report
	Hint string // how to go on, on a line of its own; "" for none
}

// Error lists the tensors, a line for each kind of difference.
func (e *FitError) Error() string {
	text := "the weights do not fit the model\n" + e.Report.String()
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

// FitOptions are the choices of [Fit].
type FitOptions struct {
	// Partial takes what fits and reports the rest; without it, any difference
	// is a *FitError.
	Partial bool
}

// Fit returns the tensors of a file that a model wants, by the model's names,
// and what differs. Extents of 1 at the end of a shape do not count: a last
// layer may be a 1x1 convolution in the file. Only shapes are compared; tensors
// are shared.
func Fit(want []Want, tensors map[string]*tensor.Tensor, opt FitOptions) (map[string]*tensor.Tensor, Report, error) {
	out, r := compare(want, tensors, Want.take)
	if !r.Complete() && !opt.Partial {
		return nil, r, &FitError{r, "--keys OLD=NEW renames tensors, --partial takes those that fit"}
	}
	if r.Loaded == 0 {
		return nil, r, fmt.Errorf("no tensor of the file fits the model\n%s", r.String())
	}
	return out, r, nil
}

// Compare reports how the tensors go together with a model whose tensors must
// have exactly the wanted types and shapes.
func Compare(want []Want, tensors map[string]*tensor.Tensor) Report {
	_, r := compare(want, tensors, func(w Want, t *tensor.Tensor) (*tensor.Tensor, bool) {
		return t, t.DType() == w.DType && t.Shape().Equal(w.Shape)
	})
	return r
}

func compare(want []Want, tensors map[string]*tensor.Tensor, take func(Want, *tensor.Tensor) (*tensor.Tensor, bool)) (map[string]*tensor.Tensor, Report) {
	out := make(map[string]*tensor.Tensor, len(want))
	var r Report
	known := make(map[string]bool, len(want))
	var missing []Want
	for _, w := range want {
		known[w.Name] = true
		t, ok := tensors[w.Name]
		if !ok {
			if !IsCounter(w.Name) {
				r.Missing = append(r.Missing, w.Name)
				missing = append(missing, w)
			}
			continue
		}
		fitted, ok := take(w, t)
		if !ok {
			r.Misshapen = append(r.Misshapen, Misshapen{w.Name, t.String(), w.DType.String() + w.Shape.String()})
			continue
		}
		out[w.Name] = fitted
	}
	r.Loaded = len(out)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if !known[name] {
			r.Unexpected = append(r.Unexpected, name)
		}
	}
	r.near = make(map[string]string)
	for _, m := range missing[:min(len(missing), most)] { // those that String shows
		r.near[m.Name] = alike(m, r.Unexpected, tensors)
	}
	return out, r
}

// take returns t in the wanted shape.
func (w Want) take(t *tensor.Tensor) (*tensor.Tensor, bool) {
	if t.DType() != w.DType {
		return nil, false
	}
	if t.Shape().Equal(w.Shape) {
		return t, true
	}
	if !trimmed(t.Shape()).Equal(trimmed(w.Shape)) {
		return nil, false
	}
	r, err := t.Reshape(w.Shape...)
	return r, err == nil
}

// trimmed returns s without the extents of 1 at its end.
func trimmed(s tensor.Shape) tensor.Shape {
	for len(s) > 0 && s[len(s)-1] == 1 {
		s = s[:len(s)-1]
	}
	return s
}
