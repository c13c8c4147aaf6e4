package keras

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/resnet-go/resnet/internal/hdf5"
	"github.com/resnet-go/resnet/nn"
)

// This file has the form of weights of Keras 1 and 2, by layers' names, in
// which .h5 files of whole models are to this day
// (keras/src/legacy/saving/legacy_h5_format.py).

// legacyGroup returns the group with the attribute layer_names, nil if the
// file is not of that form.
func legacyGroup(root *hdf5.Group) (*hdf5.Group, error) {
	g := root
	if g.Has("model_weights") {
		var err error
		if g, err = g.Group("model_weights"); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{attrLayerNames, attrLayerNames + "0"} {
		if _, err := g.Attr(name); err == nil {
			return g, nil
		} else if !errors.Is(err, hdf5.ErrNotFound) {
			return nil, err
		}
	}
	return nil, nil
}

// namesAttr reads a list of names, which Keras cuts into several attributes
// where it is long.
func namesAttr(g *hdf5.Group, name string) ([]string, error) {
	a, err := g.Attr(name)
	if err == nil {
		if len(a.Shape) == 1 && a.Shape[0] == 0 { // h5py makes an empty list one of numbers
			return nil, nil
		}
		return a.Strings()
	}
	if !errors.Is(err, hdf5.ErrNotFound) {
		return nil, err
	}
	var all []string
	for i := 0; ; i++ {
		a, err := g.Attr(fmt.Sprintf("%s%d", name, i))
		if errors.Is(err, hdf5.ErrNotFound) && i > 0 {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		s, err := a.Strings()
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
}

// leaf is a layer's variables with its name, at any depth.
type leaf struct {
	name string
	vars []variable
}

// leaves returns the layers with variables of a module, in Keras's order.
func leaves(name string, mod nn.Module) []leaf {
	switch mod := mod.(type) {
	case *Model:
		var all []leaf
		for _, l := range mod.layers {
			all = append(all, leaves(l.name, mod.Modules[l.name])...)
		}
		return all
	case layer:
		if vars := mod.variables(); len(vars) > 0 {
			return []leaf{{name, vars}}
		}
	}
	return nil
}

// loadLegacy reads weights in the form of Keras 1 and 2, by the layers' names.
func (m *Model) loadLegacy(g *hdf5.Group) error {
	names, err := namesAttr(g, attrLayerNames)
	if err != nil {
		return err
	}
	inFile := map[string][]string{}
	for _, name := range names {
		if inFile[name] != nil {
			return fmt.Errorf("the file names the layer %q twice", name)
		}
		lg, err := g.Group(name)
		if err != nil {
			return err
		}
		w, err := namesAttr(lg, attrWeightNames)
		if err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
		if len(w) > 0 {
			inFile[name] = w
		}
	}
	for _, l := range m.layers {
		ls := leaves(l.name, m.Modules[l.name])
		if len(ls) == 0 {
			continue
		}
		weights, ok := inFile[l.name]
		if !ok {
			return fmt.Errorf("the file has no weights of layer %s", l.name)
		}
		delete(inFile, l.name)
		lg, err := g.Group(l.name)
		if err == nil {
			err = loadLeaves(lg, ls, weights)
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.name, err)
		}
	}
	for name := range inFile {
		return fmt.Errorf("the file has weights of %q, which the model has not", name)
	}
	return nil
}

// loadLeaves reads the weights of one layer: in Keras's order, or, for a model
// that is a layer, by the ends of their names ("…/conv1_conv/kernel:0").
func loadLeaves(g *hdf5.Group, ls []leaf, weights []string) error {
	n := 0
	for _, l := range ls {
		n += len(l.vars)
	}
	if n != len(weights) {
		return fmt.Errorf("the file has %d weights, the layer %d", len(weights), n)
	}
	if len(ls) == 1 {
		for i, v := range ls[0].vars {
			if err := readInto(g, weights[i], v); err != nil {
				return err
			}
		}
		return nil
	}
	byEnd := map[string]string{}
	for _, w := range weights {
		parts := strings.Split(strings.TrimSuffix(w, ":0"), "/")
		end := strings.Join(parts[max(len(parts)-2, 0):], "/")
		if byEnd[end] != "" {
			return fmt.Errorf("two weights of the name %q", end)
		}
		byEnd[end] = w
	}
	for _, l := range ls {
		for _, v := range l.vars {
			w, ok := byEnd[l.name+"/"+v.name]
			if !ok && v.form == formDepthwise { // Keras 3 calls it so
				w, ok = byEnd[l.name+"/kernel"]
			}
			if !ok {
				return fmt.Errorf("the file has no weight %s/%s", l.name, v.name)
			}
			if err := readInto(g, w, v); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	return nil
}

func (m *Model) writeLegacy(w io.Writer) error {
	var b hdf5.Builder
	config, err := m.config(true)
	if err != nil {
		return err
	}
	b.Attr("backend", "tensorflow")
	b.Attr("keras_version", kerasVersion)
	b.Attr(attrModelConfig, string(config))
	if err := m.info(&b); err != nil {
		return err
	}
	g := b.Group("model_weights")
	g.Attr("backend", "tensorflow")
	g.Attr("keras_version", kerasVersion)
	var names []string
	for _, l := range m.layers {
		if l.class == "InputLayer" && m.spec.class == classSequential || m.Modules[l.name] == nil {
			continue
		}
		names = append(names, l.name)
		lg := g.Group(l.name)
		var weights []string
		for _, f := range legacyOrder(leaves(l.name, m.Modules[l.name])) {
			data, err := f.v.value()
			if err != nil {
				return fmt.Errorf("keras: layer %s: %s: %w", f.layer, f.v.name, err)
			}
			name := f.layer + "/" + f.v.name
			weights = append(weights, name)
			lg.Dataset(name, f.v.shape(), data)
		}
		putNames(lg, attrWeightNames, weights)
	}
	putNames(g, attrLayerNames, names)
	putNames(g.Group("top_level_model_weights"), attrWeightNames, nil)
	return hdf5.Write(w, &b)
}

type legacyVar struct {
	layer string
	v     variable
}

// legacyOrder lists the variables of a layer, or of all layers of a model that is
// used as a layer. The trained variables come first.
func legacyOrder(ls []leaf) []legacyVar {
	var trained, others []legacyVar
	for _, l := range ls {
		for _, v := range l.vars {
			if v.param.Trainable() {
				trained = append(trained, legacyVar{l.name, v})
			} else {
				others = append(others, legacyVar{l.name, v})
			}
		}
	}
	return append(trained, others...)
}

// maxNames is what Keras puts into one attribute (HDF5_OBJECT_HEADER_LIMIT).
const maxNames = 64512

// putNames adds a list of names as Keras cuts it (legacy_h5_format.py,
// save_attributes_to_hdf5_group): into as few attributes as have room, of
// nearly equal length.
func putNames(b *hdf5.Builder, attr string, names []string) {
	longest := 1
	for _, n := range names {
		longest = max(longest, len(n))
	}
	if longest*len(names) <= maxNames {
		b.Attr(attr, names)
		return
	}
	for parts := 2; ; parts++ {
		size := (len(names) + parts - 1) / parts
		if size*longest > maxNames && size > 1 {
			continue
		}
		for i, at := 0, 0; i < parts; i++ {
			n := len(names) / parts
			if i < len(names)%parts {
				n++
			}
			b.Attr(fmt.Sprintf("%s%d", attr, i), names[at:at+n])
			at += n
		}
		return
	}
}
