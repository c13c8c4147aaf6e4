package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/resnet-go/resnet/data"
)

// Folds are the results of [CrossValidate].
type Folds struct {
	Results []*Result `json:"results"` // of each fold
	// Mean and Std are of the best epochs' top-1 (of multi-label data, of the mean
	// average precision); Std is the sample deviation.
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// CrossValidate trains k networks, each on all but one of k parts of the training
// data, and evaluates each on the part that it has not seen. A part that the data
// hold for validation or testing is not used. The files of a run are in
// Config.Out/fold-1 and so on.
func CrossValidate(ctx context.Context, cfg Config, k int) (*Folds, error) {
	switch {
	case k < 2:
		return nil, fmt.Errorf("%d folds are too few: give two or more", k)
	case cfg.Resume || cfg.ValData != "":
		return nil, errors.New("cross-validation makes its own runs and its own data to evaluate on: leave out --resume and --val-data")
	}
	ranks := group{cfg.Exchange}
	cfg, err := Choose(cfg)
	if err != nil {
		return nil, ranks.end(err)
	}
	if cfg.Recipe.SSL != nil {
		return nil, errors.New("cross-validation needs labels to learn from, but the recipe learns without: leave out --folds, or train on the features")
	}
	whole := cfg.Splits
	if whole == nil {
		if whole, err = openSplits(cfg, cfg.Recipe, cfg.Data, "", -1, cfg.Seed); err != nil {
			return nil, ranks.end(err)
		}
		defer whole.Close()
	}
	if whole.Train == nil || whole.Train.Len() < k {
		return nil, fmt.Errorf("%s has too few training pictures for %d folds", whole.Spec, k)
	}
	f := &Folds{}
	out := cfg.Out
	for i, fold := range data.Folds(whole.Train, k, cfg.Seed) {
		fold.Spec, fold.Empty = whole.Spec, whole.Empty
		fold.Notes = append(fold.Notes, fmt.Sprintf("fold %d of %d: %d pictures to train on, %d to evaluate on", i+1, k, fold.Train.Len(), fold.Val.Len()))
		if i == 0 {
			fold.Notes = append(whole.Notes, fold.Notes...)
		}
		cfg.Splits, cfg.fold, cfg.folds = fold, i+1, k
		if out != "" {
			cfg.Out = filepath.Join(out, fmt.Sprintf("fold-%d", i+1))
		}
		r, err := Run(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("fold %d of %d: %w", i+1, k, err)
		}
		f.Results = append(f.Results, r)
	}
	for _, r := range f.Results {
		f.Mean += r.score() / float64(k)
	}
	for _, r := range f.Results {
		f.Std += (r.score() - f.Mean) * (r.score() - f.Mean) / float64(k-1)
	}
	f.Std = math.Sqrt(f.Std)
	return f, nil
}

// score is the best top-1 or mean average precision of a run.
func (r *Result) score() float64 {
	if r.Best == nil || r.Best.Val == nil {
		return 0
	}
	return r.Best.Val.Score()
}
