package pytorch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// preferred are the names under which training programs save state dicts, the
// better one first: moving averages are what was evaluated (timm's order).
var preferred = []string{
	"state_dict_ema", "model_ema", "ema_state_dict", "ema",
	"state_dict", "model_state_dict", "model_state", "model", "net", "network",
	"weights", "params", "module",
	"teacher", "student", // of DINO
}

// notModel are names of dictionaries that hold tensors of the training.
var notModel = []string{"optimizer", "optim", "optimizer_state_dict", "optimizer_state", "lr_scheduler", "scheduler", "scaler", "amp_scaler", "amp", "rng"}

// choose finds the state dict below root and lists its tensors.
func (r *Reader) choose(root any, want string) error {
	top, ok := root.(*dict)
	if !ok {
		return badf("it holds %s, not a dictionary of tensors", describe(root))
	}
	f := finder{has: map[*dict]bool{}}
	type candidate struct {
		name string
		d    *dict
		rank int
	}
	var found []candidate
	for k, v := range top.all() {
		name, ok := k.(string)
		d, isDict := v.(*dict)
		if !ok || !isDict || slices.Contains(notModel, name) || !f.tensors(d, 0) {
			continue
		}
		rank := slices.Index(preferred, name)
		if rank < 0 {
			rank = len(preferred)
		}
		found = append(found, candidate{name, d, rank})
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.rank - b.rank })
	flat := f.direct(top)
	named := len(found) > 0 && found[0].rank < len(preferred)
	if flat && !named {
		// The top is the state dict; dictionaries in it are parts of it.
		found = slices.Insert(found, 0, candidate{"", top, 0})
	}
	for _, c := range found {
		r.dicts = append(r.dicts, c.name)
	}
	switch {
	case want != "":
		d, err := lookup(top, want)
		if err != nil {
			return err
		}
		if !f.tensors(d, 0) {
			return badf("its dictionary %q holds no tensors", want)
		}
		r.dict = want
		return r.take(&f, d)
	case len(found) == 0:
		return badf("it holds no dictionary of tensors")
	case len(found) > 1 && !named && !flat:
		return badf("it holds several dictionaries of tensors: name one of %s", strings.Join(clipAll(r.dicts), ", "))
	}
	r.dict = found[0].name
	return r.take(&f, found[0].d)
}

// lookup follows a dotted name.
func lookup(d *dict, path string) (*dict, error) {
	for _, part := range strings.Split(path, ".") {
		v, ok := d.get(part)
		next, isDict := v.(*dict)
		if !ok || !isDict {
			var names []string
			for k, v := range d.all() {
				if _, isDict := v.(*dict); isDict {
					names = append(names, fmt.Sprint(k))
				}
			}
			return nil, badf("it has no dictionary %q; there are: %s", path, strings.Join(clipAll(names), ", "))
		}
		d = next
	}
	return d, nil
}

func clipAll(names []string) []string {
	const most = 20
	var out []string
	for _, n := range names[:min(len(names), most)] {
		out = append(out, clip(n))
	}
	if len(names) > most {
		out = append(out, fmt.Sprintf("and %d more", len(names)-most))
	}
	return out
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *view:
		return "a single tensor"
	case *list, tuple:
		return "a list"
	case string:
		return "a text"
	case *opaque:
		return v.what
	case *global:
		return v.name
	}
	return "a number"
}

// finder knows which dictionaries have tensors in them. It looks at each once,
// and so ends for a dictionary that holds itself.
type finder struct {
	has map[*dict]bool
}

func (f *finder) direct(d *dict) bool {
	for _, v := range d.all() {
		if _, ok := v.(*view); ok {
			return true
		}
	}
	return false
}

func (f *finder) tensors(d *dict, depth int) bool {
	if has, seen := f.has[d]; seen {
		return has
	}
	f.has[d] = false // until known: a way back to d adds nothing
	has := f.direct(d)
	if depth < maxNesting {
		for _, v := range d.all() {
			if sub, ok := v.(*dict); ok && f.tensors(sub, depth+1) {
				has = true
			}
		}
	}
	f.has[d] = has
	return has
}

// take lists the tensors of d and of dictionaries in it.
func (r *Reader) take(f *finder, d *dict) error {
	w := walker{reader: r, finder: f, room: 1 << 20}
	if err := w.walk(d, "", 0); err != nil {
		return err
	}
	r.views = make(map[string]*view, len(w.views))
	for i, name := range stripWrappers(w.names) {
		if name == "" {
			r.ignored = append(r.ignored, w.names[i])
			continue
		}
		if r.views[name] != nil {
			return badf("two tensors are named %s", clip(name))
		}
		v := w.views[i]
		r.views[name] = v
		r.entries = append(r.entries, Entry{name, v.dtype, v.shape})
	}
	if len(r.entries) == 0 {
		return badf("the dictionary %q holds no tensors that have names", r.dict)
	}
	return nil
}

type walker struct {
	reader *Reader
	finder *finder
	names  []string
	views  []*view
	room   int // bytes that nested names may still take
}

func (w *walker) walk(d *dict, prefix string, depth int) error {
	if depth > maxNesting {
		return badf("dictionaries are nested deeper than %d", maxNesting)
	}
	for k, v := range d.all() {
		name, ok := k.(string)
		if n, isInt := k.(int64); isInt {
			name, ok = strconv.FormatInt(n, 10), true
		}
		if !ok {
			w.reader.ignored = append(w.reader.ignored, prefix+clip(fmt.Sprint(k)))
			continue
		}
		if prefix != "" {
			if w.room -= len(prefix) + len(name) + 64; w.room < 0 {
				return badf("the nested dictionaries are too large")
			}
			name = prefix + name
		}
		switch v := v.(type) {
		case *view:
			w.names = append(w.names, name)
			w.views = append(w.views, v)
		case *dict:
			if w.finder.tensors(v, depth) {
				if err := w.walk(v, name+".", depth+1); err != nil {
					return err
				}
			} else {
				w.reader.ignored = append(w.reader.ignored, name)
			}
		default:
			w.reader.ignored = append(w.reader.ignored, name)
		}
	}
	return nil
}

// averagedCount is the counter that torch.optim.swa_utils.AveragedModel adds.
const averagedCount = "n_averaged"

// stripWrappers returns names without what DataParallel, DistributedDataParallel
// and AveragedModel ("module." before every name) and torch.compile
// ("_orig_mod." before what was compiled) add. The counter of AveragedModel,
// which is not the model's, becomes "".
func stripWrappers(names []string) []string {
	names = slices.Clone(names)
	for range 4 { // wrappers in wrappers; a hostile name may repeat them without end
		for i, n := range names {
			n = strings.ReplaceAll(n, "._orig_mod.", ".")
			names[i] = strings.TrimPrefix(n, "_orig_mod.")
		}
		wrapped := false
		for _, n := range names {
			if !strings.HasPrefix(n, "module.") && n != averagedCount && n != "" {
				return names
			}
			wrapped = wrapped || strings.HasPrefix(n, "module.")
		}
		if !wrapped {
			return names
		}
		for i, n := range names {
			if n == averagedCount {
				names[i] = ""
			}
			names[i] = strings.TrimPrefix(names[i], "module.")
		}
	}
	return names
}
