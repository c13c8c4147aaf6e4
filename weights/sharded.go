package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/tensor"
)

const (
	maxIndex  = 16 << 20 // bytes of an index of shards
	maxShards = 1024
)

// openSharded opens the files that an index names, which must be beside it.
func openSharded(path string) (*opened, error) {
	b, err := limitread.File(path, maxIndex)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("%s is no index of a sharded file: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s is no index of a sharded file: it has no weight_map", path)
	}
	shards := map[string]*opened{}
	o := &opened{}
	o.close = func() error {
		var errs []error
		for _, s := range shards {
			errs = append(errs, s.close())
		}
		return errors.Join(errs...)
	}
	fail := func(err error) (*opened, error) {
		o.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, file := range slices.Sorted(maps.Values(index.WeightMap)) {
		if shards[file] != nil {
			continue
		}
		if file != filepath.Base(file) || strings.ContainsAny(file, `/\`) || file == "." || file == ".." {
			return fail(fmt.Errorf("it names the file %q, which is not in its own folder", file))
		}
		if len(shards) == maxShards {
			return fail(fmt.Errorf("it names more than %d files", maxShards))
		}
		s, err := openShard(filepath.Join(filepath.Dir(path), file))
		if err != nil {
			return fail(err)
		}
		shards[file] = s
		for _, e := range s.entries {
			if in := index.WeightMap[e.Name]; in != file {
				return fail(fmt.Errorf("tensor %q is in %s, but the index has it in %q", e.Name, file, in))
			}
			o.entries = append(o.entries, e)
		}
	}
	if len(o.entries) < len(index.WeightMap) {
		has := map[string]bool{}
		for _, e := range o.entries {
			has[e.Name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
			if !has[name] {
				return fail(fmt.Errorf("tensor %q should be in %s, which does not have it", name, index.WeightMap[name]))
			}
		}
	}
	o.tensor = func(name string) (*tensor.Tensor, error) { return shards[index.WeightMap[name]].tensor(name) }
	o.deferred = func(name string) (*tensor.Tensor, error) { return shards[index.WeightMap[name]].deferred(name) }
	return o, nil
}

func openShard(path string) (*opened, error) {
	format, err := Detect(path)
	if err != nil {
		return nil, err
	}
	switch format {
	case Safetensors:
		return openSafetensors(path)
	case PyTorch:
		return openPyTorch(path, LoadOptions{})
	}
	return nil, fmt.Errorf("%s is a file of format %s, not a part of a sharded file", path, format)
}
