package serve

import (
	"log/slog"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/drift"
	"github.com/resnet-go/resnet/models"
)

// newWatch returns what follows the drift of a model's pictures; nil if the options do not
// want it, or if its file has no reference for it.
func (s *Server) newWatch(in *instance) *drift.Watch {
	if !s.opt.Drift {
		return nil
	}
	log := s.log.With(slog.String("model", in.name), slog.String("version", in.version))
	text := in.model.Meta().Reference
	if in.model.Task() != models.Classification || len(text) == 0 {
		log.Warn("the drift of its pictures is not watched: only classifiers whose file has a reference are, which resnet eval --reference and resnet train --reference write")
		return nil
	}
	ref, err := drift.Parse(text, len(in.model.Classes()))
	if err != nil {
		log.Warn("the drift of its pictures is not watched: the reference in its file cannot be used", slog.Any("error", err))
		return nil
	}
	w := drift.NewWatch(ref)
	if !w.Fits(len(ref.Predicted), in.features) {
		log.Warn("the drift of its pictures is not watched: the reference in its file is of embeddings of another size")
		return nil
	}
	return w
}

// watchDrift adds n answers, which are rows, to what is watched. What is not finite is no
// answer.
func (in *instance) watchDrift(logits, features []float32, n int) {
	if in.drift == nil || n == 0 {
		return
	}
	k, f := len(logits)/n, len(features)/n
	for i := range n {
		z, x := logits[i*k:(i+1)*k], features[i*f:(i+1)*f]
		notFinite := func(v float32) bool { return v != v || math.IsInf(float64(v), 0) }
		if in.drift.Fits(k, f) && !slices.ContainsFunc(z, notFinite) && !slices.ContainsFunc(x, notFinite) {
			in.drift.Add(z, x)
		}
	}
}
