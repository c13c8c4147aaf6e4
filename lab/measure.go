package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/lab/probe"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
)

// Numbers of pictures per class for the measurements.
const (
	gradientEach  = 10
	landscapeEach = 20
	deletionEach  = 50
	probeEach     = 100
)

// fresh returns the network of a run as it was before training.
func (s *Study) fresh(r *Run) (*probe.Net, error) {
	net, _, err := s.network(r.Variant)
	if err != nil {
		return nil, err
	}
	if err := nn.Init(net, r.Seed); err != nil {
		return nil, err
	}
	return &probe.Net{Module: net, State: probe.StateOf(net)}, nil
}

// trained returns the network of a run as its training left it.
func (s *Study) trained(r *Run) (*probe.Net, error) {
	net, _, err := s.network(r.Variant)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(r.Dir, train.LastFile)
	f, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	if _, err := nn.Load(net, f.Tensors, nn.LoadOptions{}); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &probe.Net{Module: net, State: probe.StateOf(net)}, nil
}

// pictures prepares the first pictures of each class of the training or test part
// by a variant's preprocessing.
func (s *Study) pictures(ctx context.Context, v *Variant, test bool, each int) (*probe.Pictures, error) {
	sp, err := s.open(s.Data, data.Options{})
	if err != nil {
		return nil, err
	}
	defer sp.Close()
	prep, err := v.Recipe.Input()
	if err != nil {
		return nil, err
	}
	ds := sp.Train
	if test {
		ds = sp.Eval()
	}
	return probe.Load(ctx, ds, prep, each)
}

// usable returns the runs of a variant that have ended with finite numbers.
func (s *Study) usable(v *Variant) []*Run {
	var list []*Run
	for _, r := range s.runs(v) {
		if r.Finished && r.Diverged == "" {
			list = append(list, r)
		}
	}
	return list
}

// kept returns the content of a file in the run's folder, or computes and writes
// it, so that a report that is made again takes no time.
func kept[T any](r *Run, name string, compute func() (T, error)) (T, error) {
	path := filepath.Join(r.Dir, name+".json")
	var v T
	b, err := limitread.File(path, maxRecord)
	if err == nil {
		if err := json.Unmarshal(b, &v); err != nil {
			return v, fmt.Errorf("%s: %w; remove the file to measure again", path, err)
		}
		return v, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	if v, err = compute(); err != nil {
		return v, fmt.Errorf("%s, seed %d: %w", r.Variant.Name, r.Seed, err)
	}
	if b, err = json.Marshal(v); err != nil {
		return v, err
	}
	return v, atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(b); return err })
}
