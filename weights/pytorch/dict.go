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
	f := finder{has: map[*dict]bool{}, made: map[*object]*dict{}}
	top, ok := f.dict(root)
	if !ok {
		top, ok = listed(root)
	}
	if !ok {
		return badf("it holds %s, not a dictionary of tensors", describe(root))
	}
	type candidate struct {
		name string
		d    *dict
		rank int
	}
	var found []candidate
	for k, v := range top.all() {
		name, ok := k.(string)
		d, isDict := f.dict(v)
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
	_, isModule := root.(*object)
	flat := isModule || f.direct(top)
	named := len(found) > 0 && found[0].rank < len(preferred)
	if isModule || flat && !named {
		// The top is the state dict; dictionaries in it are parts of it.
		found = slices.Insert(found, 0, candidate{"", top, 0})
	}
	for _, c := range found {
		r.dicts = append(r.dicts, c.name)
	}
	switch {
	case want != "":
		d, err := f.lookup(top, want)
		if err != nil {
			return err
		}
		if !f.tensors(d, 0) {
			return badf("its dictionary %q holds no tensors", want)
		}
		r.dict = want
		return r.take(&f, d)
	case len(found) == 0:
		if f.needs != nil {
			return f.needs
		}
		return badf("it holds no dictionary of tensors")
	case len(found) > 1 && !named && !flat:
		return badf("it holds several dictionaries of tensors: name one of %s", strings.Join(clipAll(r.dicts), ", "))
	}
	r.dict = found[0].name
	return r.take(&f, found[0].d)
}

// lookup follows a dotted name.
func (f *finder) lookup(d *dict, path string) (*dict, error) {
	for _, part := range strings.Split(path, ".") {
		v, ok := d.get(part)
		next, isDict := f.dict(v)
		if !ok || !isDict {
			var names []string
			for k, v := range d.all() {
				if _, isDict := f.dict(v); isDict {
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
	case *object:
		return "an object of the class " + clip(v.class)
	case *global:
		return v.name
	}
	return "a number"
}

// finder knows which dictionaries have tensors in them. It looks at each once,
// and so ends for a dictionary that holds itself.
type finder struct {
	has   map[*dict]bool
	made  map[*object]*dict
	needs error // a function that would have to make a tensor
}

// dict returns a value as a dictionary: one, or an object that holds others, such
// as a whole module.
func (f *finder) dict(v any) (*dict, bool) {
	switch v := v.(type) {
	case *dict:
		return v, true
	case *object:
		d, ok := f.made[v]
		if !ok {
			d = v.contents()
			f.made[v] = d
		}
		return d, d.len() > 0
	}
	return nil, false
}

// listed returns a list of objects, such as (state dict, epoch), as a dictionary
// by their places.
func listed(v any) (*dict, bool) {
	var items []any
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	}
	d := &dict{}
	for i, item := range items {
		d.set(strconv.Itoa(i), item) // cannot fail: each place is there once
	}
	return d, len(items) > 0
}

// tensor returns a value as a tensor, nil if it is none.
func (f *finder) tensor(v any) *view {
	switch v := v.(type) {
	case *view:
		return v
	case *object:
		if v.made != nil && f.needs == nil {
			f.needs = unbuilt(v.made.name)
		}
		return v.array()
	}
	return nil
}

// unbuilt is the error for a tensor that an unknown function makes.
func unbuilt(name string) error {
	i := strings.LastIndexByte(name, '.')
	switch name[i+1:] {
	case "_rebuild_qtensor":
		return badf("its tensors are quantized integers: load the file in PyTorch and save the state dict of the network before quantization, or call dequantize() on each")
	case "_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor":
		return badf("its tensors are sparse: load the file in PyTorch, call to_dense() on each and save them")
	}
	return &GlobalError{Module: name[:max(i, 0)], Name: name[i+1:]}
}

func (f *finder) direct(d *dict) bool {
	for _, v := range d.all() {
		if f.tensor(v) != nil {
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
			if sub, ok := f.dict(v); ok && f.tensors(sub, depth+1) {
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
		t := w.finder.tensor(v)
		switch o, _ := v.(*object); {
		case t != nil && t.dtype.converts():
			w.names = append(w.names, name)
			w.views = append(w.views, t)
			continue
		case o != nil && o.made != nil: // its value cannot be known
			return unbuilt(o.made.name)
		}
		if sub, ok := w.finder.dict(v); ok && t == nil && w.finder.tensors(sub, depth) {
			if err := w.walk(sub, name+".", depth+1); err != nil {
				return err
			}
			continue
		}
		w.reader.ignored = append(w.reader.ignored, name)
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
