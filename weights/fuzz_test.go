package weights_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// FuzzLoad reads any bytes as a file of each format that is told by its
// content, as the commands do.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	whole := filepath.Join(dir, "whole.safetensors")
	if err := weights.Save(whole, random(), weights.SaveOptions{}); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	hostile.Add(f, hostile.Fields(b))
	var foreign bytes.Buffer // found: a text under a name of ours
	if err := safetensors.Write(&foreign, nil, map[string]string{"resnet.preprocess": "not JSON"}); err != nil {
		f.Fatal(err)
	}
	f.Add(foreign.Bytes())
	path := filepath.Join(f.TempDir(), "fuzzed") // of this worker alone
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		var got *weights.File
		used, over := membound.Over(membound.Slack, 256, len(b), func() { got, _ = weights.Load(path) })
		if over {
			t.Errorf("a file of %d bytes took %d", len(b), used)
		}
		if got == nil {
			return
		}
		var again bytes.Buffer
		if err := got.Write(&again, weights.SaveOptions{}); err != nil {
			return // names or metadata that the format cannot hold
		}
		r, err := safetensors.NewReader(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		back, err := weights.Read(r)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(back.Tensors) != len(got.Tensors) {
			t.Errorf("%d tensors, then %d", len(got.Tensors), len(back.Tensors))
		}
	})
}

// FuzzIndex reads an index of shards beside one good shard.
func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	if err := weights.Save(filepath.Join(dir, "a.safetensors"), random(), weights.SaveOptions{}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"metadata": {"total_size": 9}, "weight_map": {"fc.weight": "a.safetensors", "fc.bias": "a.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"conv1.weight": "a.safetensors", "bn1.weight": "a.safetensors", "bn1.running_var": "a.safetensors",
		"bn1.num_batches_tracked": "a.safetensors", "fc.weight": "a.safetensors", "fc.bias": "a.safetensors"}}`))
	hostile.Add(f, hostile.JSON([]byte(`{"metadata": {"total_size": 9}, "weight_map": {"fc.weight": "a.safetensors", "fc.bias": "a.safetensors"}}`)))
	f.Add([]byte(`{"weight_map": {"fc.weight": "../a.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"fc.weight": "model.index.json"}}`))
	path := filepath.Join(dir, "model.index.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		used, over := membound.Over(membound.Slack, 256, len(b), func() { _, _ = weights.Load(path) })
		if over {
			t.Errorf("an index of %d bytes took %d", len(b), used)
		}
	})
}
