package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/drift"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// maxReference is the number of pictures that a reference is made of, spread over the data.
const maxReference = 2000

// checkReference returns an error if no reference can be kept in a model's file.
func checkReference(m *resnet.Model, file string) error {
	if m.Task() != models.Classification {
		return usagef("--reference is for classifiers: %s is a model for %s", m.Name(), m.Task())
	}
	_, err := halfOf(file)
	return err
}

// halfOf reports whether the tensors of a model file of ours are stored as float16. A
// file that could not be written again as it is, but for its metadata, is an error.
func halfOf(file string) (half bool, err error) {
	other := usagef("--reference is kept in a .safetensors file that this program has written, which %q is not: resnet convert makes one", file)
	if !strings.EqualFold(filepath.Ext(file), ".safetensors") {
		return false, other
	}
	meta, entries, err := weights.LoadMeta(file)
	if err != nil {
		return false, err
	}
	types := map[safetensors.DType]int{}
	for _, e := range entries {
		if !weights.IsState(e.Name) {
			types[e.DType]++
		}
	}
	half = types[safetensors.F16] > 0
	floats := types[safetensors.F32] + types[safetensors.F16]
	if !meta.Ours() || half && types[safetensors.F32] > 0 || floats+types[safetensors.I64] != sum(types) {
		return false, other
	}
	return half, nil
}

func sum(counts map[safetensors.DType]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// keepReference computes what a model gives on pictures, and writes it into the model's
// file: what resnet serve --drift compares with.
func (a *app) keepReference(ctx context.Context, m *resnet.Model, file string, ds data.Dataset, batch int) error {
	half, err := halfOf(file)
	if err != nil {
		return err
	}
	var index []int
	n := min(ds.Len(), maxReference)
	for k := range n {
		index = append(index, k*ds.Len()/n)
	}
	loader, err := data.NewLoader(data.Subset(ds, index), data.LoaderConfig{BatchSize: batch, Preprocess: m.Preprocess(), Last: data.Keep, SkipBad: true, Workers: a.threads, CacheBytes: -1})
	if err != nil {
		return err
	}
	progress := term.NewProgress(a.err, a.quiet, "pictures of the reference", n)
	defer progress.Close()
	var b drift.Builder
	for p, err := range loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return err
		}
		x, err := tensor.FromNHWC(p.X[:p.Real*p.H*p.W*p.C], p.Real, p.C, p.H, p.W)
		if err != nil {
			return err
		}
		z, f, err := m.Forward(ctx, x)
		if err != nil {
			return err
		}
		logits, features := z.Float32s(), f.Float32s()
		rows, numbers := len(logits)/p.Real, len(features)/p.Real
		for i := range p.Real {
			zi, fi := logits[i*rows:(i+1)*rows], features[i*numbers:(i+1)*numbers]
			if err := m.CheckFinite(ds.Name(index[p.Index[i]]), zi, fi); err != nil {
				return err
			}
			b.Add(zi, fi)
		}
		progress.Add(p.Real)
	}
	ref := b.Reference()
	if ref.Pictures == 0 {
		return fmt.Errorf("--reference: none of the pictures can be read")
	}
	text, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	content, err := weights.Load(file)
	if err != nil {
		return err
	}
	content.Reference = text
	if err := weights.Save(file, content, weights.SaveOptions{Half: half}); err != nil {
		return err
	}
	progress.Close()
	a.note("%s: now has the reference of %s, for resnet serve --drift", file, term.Plural(ref.Pictures, "picture"))
	return nil
}

// referenceOf keeps the reference of a run's best model, of the pictures that it was
// evaluated on.
func (c *trainCommand) referenceOf(ctx context.Context, r *train.Result) error {
	if r.BestFile == "" {
		return errors.New("--reference: the run has no best model, because it was not evaluated")
	}
	m, err := resnet.Open(r.BestFile, resnet.Options{Threads: c.threads, Batch: 64})
	if err != nil {
		return err
	}
	if err := checkReference(m, r.BestFile); err != nil {
		return err
	}
	meta := m.Meta()
	splits, err := data.OpenSparing(openData, cmp.Or(meta.Data.Val, meta.Data.Spec), train.DataOptions(meta), false)
	if err != nil {
		return err
	}
	defer splits.Close()
	ds := splits.Eval()
	if ds == nil {
		ds = splits.Train // of --val-data, which may have one part
	}
	return c.keepReference(ctx, m, r.BestFile, ds, 64)
}
