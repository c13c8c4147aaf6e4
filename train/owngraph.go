package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// ownNetwork returns the network of a model file that describes it by its graph: a
// network of somebody's own, which package models does not have. Its classes and the
// size of its pictures are parts of the graph, so that the data must have them.
func (j *job) ownNetwork(r *modelfile.Result, model string) (nn.Module, error) {
	fail := func(format string, args ...any) (nn.Module, error) {
		return nil, fmt.Errorf("model %s describes its network by a graph, %s", model, fmt.Sprintf(format, args...))
	}
	if j.rec.SSL != nil {
		return fail("and training without labels begins with a network of resnet models")
	}
	if masks := data.Masks(j.splits.Train) != nil; masks != (r.Task == models.Segmentation) {
		return fail("which is for %s, and that is not what %s is for", r.Task, j.splits.Spec)
	}
	if n := len(j.classes()); r.Classes != n {
		return fail("whose last layer has %d classes, and %s has %d: build it for %d classes in Go, give it the weights by nn.Load and save it", r.Classes, j.splits.Spec, n, n)
	}
	j.notes = append(j.notes, r.Notes...)
	if err := readPreprocess(r, &j.prep); err != nil {
		return nil, fmt.Errorf("model %s: %w", model, err)
	}
	if len(r.File.Preprocess) > 0 || r.Preprocess != nil {
		j.notes = append(j.notes, "pictures are prepared by the model file: "+j.prep.String())
	}
	in := r.Input
	if side := j.rec.Size; side != 0 && (side != in[1] || side != in[2]) {
		return fail("which takes pictures of %dx%d pixels, so that their size cannot be %d", in[2], in[1], side)
	}
	if p := j.prep; p.Channels != in[0] || p.Height != in[1] || p.Width != in[2] {
		return fail("which takes pictures of %d channels and %dx%d pixels, but they are prepared as %s", in[0], in[2], in[1], p)
	}
	// A step is traced here, for an error that names the model.
	t, err := nn.Trace(r.Module, nn.TraceOptions{Input: graph.F32(2, in[0], in[1], in[2]), Training: true})
	if err != nil {
		return fail("which cannot be trained: %v", err)
	}
	if len(t.Inputs) > 0 {
		return fail("which takes the input %q besides pictures, and these data have pictures alone: in Go, resnet.Open(…).Network() and train.Compile train it", t.Inputs[0].Name)
	}
	if len(t.Trainable()) == 0 {
		return fail("which has no parameter that can be trained")
	}
	if have := r.File.Classes; len(have) > 0 && !slices.Equal(have, j.classes()) {
		if j.rec.Finetune == nil {
			return fail("of other classes (%s) than those of %s: to train its last layer for these, use --recipe finetune", strings.Join(have, ", "), j.splits.Spec)
		}
		j.notes = append(j.notes, fmt.Sprintf("the last layer of the graph begins with its weights for %s", strings.Join(have, ", ")))
	}
	if err := j.fitGraph(r.Module); err != nil {
		return nil, err
	}
	return r.Module, j.freeze(r.Module)
}

// fitGraph makes the recipe one for the graph: what needs to know the last layer is
// left out, and noted, where that is not known.
func (j *job) fitGraph(net nn.Module) error {
	if j.rec.Finetune == nil || len(headsOf(net)) > 0 {
		return nil
	}
	rec, ft := *j.rec, *j.rec.Finetune
	if slices.Contains(ft.Freeze, "backbone") {
		return errors.New("finetune.freeze: backbone: the graph does not show which layer is the last: name the modules to freeze")
	}
	if ft.WarmHead > 0 || ft.BackboneLR != 0 && ft.BackboneLR != 1 {
		ft.WarmHead, ft.BackboneLR = 0, 1
		j.notes = append(j.notes, "the graph does not show which layer is the last: all layers learn from the start, at the full rate")
	}
	rec.Finetune, j.rec = &ft, &rec
	return nil
}

// graphNorms freezes the statistics of the batch norms of a graph.
func graphNorms(net nn.Module) {
	if g, ok := net.(*onnx.Model); ok {
		for _, p := range g.Statistics() {
			p.Frozen = true
		}
	}
}

// lastOfGraph returns the path of a graph's last layer, "" if it does not show it.
func lastOfGraph(net nn.Module) string {
	if g, ok := net.(*onnx.Model); ok {
		return g.LastLayer()
	}
	return ""
}

// resumed builds the network of a run with its values.
func (c *checkpoint) resumed() (nn.Module, error) {
	var net nn.Module = c.graph
	if c.graph == nil {
		var err error
		if net, err = c.arch.Build(); err != nil {
			return nil, err
		}
	}
	_, err := nn.Load(net, c.file.Tensors, nn.LoadOptions{})
	return net, err
}

// readArchitecture reads which network a checkpoint is of.
func (c *checkpoint) readArchitecture(path string) (err error) {
	f := c.file
	if onnx.IsArchitecture(f.Architecture) {
		r, err := modelfile.FromFile(path, f) // with moving averages, where there are any
		if err != nil {
			return err
		}
		c.graph, c.classes = r.Module, r.Classes
	} else {
		if c.arch, err = models.ParseConfig(f.Architecture); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		c.classes = c.arch.Classes
	}
	if n := len(f.Classes); n > 0 && n != c.classes {
		return fmt.Errorf("%s: it has names of %d classes, but the network has %d: the file is damaged", path, n, c.classes)
	}
	return nil
}

// architecture returns what a model file says of a network, its name and its number of
// layers, "" and 0 for one of a graph.
func (j *job) architecture(net nn.Module) (arch json.RawMessage, name string, depth int, err error) {
	if known, ok := net.(*models.Model); ok {
		arch, err = json.Marshal(known.Config)
		return arch, known.Config.Name, known.Config.Depth(), err
	}
	return j.meta.Architecture, "", 0, nil
}
