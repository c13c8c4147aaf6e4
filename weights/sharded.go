package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/tensor"
)

// MaxIndex is the limit of the bytes of an index of shards.
const MaxIndex = 16 << 20

const maxShards = 1024

// ParseIndex reads an index of shards, as Hugging Face's libraries write it
// (model.safetensors.index.json): the file of each tensor.
func ParseIndex(b []byte) (map[string]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("it is no index of a sharded file: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("it is no index of a sharded file: it has no weight_map")
	}
	return index.WeightMap, nil
}

// openSharded opens the files that an index names, which must be beside it.
func (h *Handle) openSharded(opt LoadOptions) (_ *opened, err error) {
	if h.Size() > MaxIndex {
		return nil, fmt.Errorf("it is larger than the limit of %d bytes for an index", MaxIndex)
	}
	b := make([]byte, h.Size())
	if _, err := h.ReadAt(b, 0); err != nil {
		return nil, err
	}
	index, err := ParseIndex(b)
	if err != nil {
		return nil, err
	}
	o := &opened{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	shards := map[string]*opened{}
	for _, file := range slices.Sorted(maps.Values(index)) {
		if shards[file] != nil {
			continue
		}
		if file != filepath.Base(file) || strings.ContainsAny(file, `/\`) || file == "." || file == ".." {
			return nil, fmt.Errorf("it names the file %q, which is not in its own folder", file)
		}
		if len(shards) == maxShards {
			return nil, fmt.Errorf("it names more than %d files", maxShards)
		}
		s, err := o.openShard(filepath.Join(filepath.Dir(h.Path()), file), opt)
		if err != nil {
			return nil, err
		}
		shards[file] = s
		for _, e := range s.entries {
			if in := index[e.Name]; in != file {
				return nil, fmt.Errorf("tensor %q is in %s, but the index has it in %q", e.Name, file, in)
			}
			o.entries = append(o.entries, e)
		}
	}
	if len(o.entries) < len(index) {
		has := map[string]bool{}
		for _, e := range o.entries {
			has[e.Name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(index)) {
			if !has[name] {
				return nil, fmt.Errorf("tensor %q should be in %s, which does not have it", name, index[name])
			}
		}
	}
	o.tensor = func(name string) (*tensor.Tensor, error) { return shards[index[name]].tensor(name) }
	o.deferred = func(name string) (*tensor.Tensor, error) { return shards[index[name]].deferred(name) }
	return o, nil
}

// openShard opens one of the files. A shard that is an index is refused, so an
// index cannot name itself.
func (o *opened) openShard(path string, opt LoadOptions) (*opened, error) {
	h, err := Open(path)
	if err != nil {
		return nil, err
	}
	o.files, o.parts = append(o.files, h), append(o.parts, h)
	if h.format != Safetensors && h.format != PyTorch {
		return nil, fmt.Errorf("%s is a file of format %s, not a part of a sharded file", path, h.format)
	}
	return h.open(LoadOptions{SkipChecksums: opt.SkipChecksums})
}
