package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/data"
)

// look reads the data once before training: for the hash by which a resumed run
// recognizes its data, and to decode every picture. A resumed run decodes them only
// if they have changed since they were decoded.
func (s *session) look(ctx context.Context, cfg Config) error {
	check, bad := !cfg.SkipCheck, (*data.SampleError)(nil)
	switch {
	case check && s.state.Checked != "" && !cfg.SkipHash:
		whole, parts, err := s.splits.Hashes(ctx, cfg.Threads)
		if err != nil && !errors.As(err, &bad) { // inspect reports what cannot be read
			return err
		}
		s.hash = parts["train"]
		check = whole != s.state.Checked
	case !check && !cfg.SkipHash && (!cfg.Resume || s.meta.Data.Hash != ""):
		var err error
		if s.hash, err = s.hashTrain(ctx, cfg); err != nil {
			return err
		}
	}
	if err := s.sameData(); err != nil || !check {
		return err
	}
	if err := s.inspect(ctx, cfg); err != nil {
		return err
	}
	return s.sameData()
}

// sameData refuses to resume with other training pictures than the run began
// with.
func (j *job) sameData() error {
	want := j.meta.Data.Hash
	if want == "" || j.hash == "" || j.hash == want {
		return nil
	}
	return fmt.Errorf("the training part of %s has changed since the run began (hash %.12s, then %.12s), so the run cannot be continued: "+
		"restore the data, or start another run", j.splits.Spec, j.hash, want)
}

// inspect decodes every picture: one that cannot be decoded ends the run now
// rather than in the middle of an epoch, and anything that would mislead the
// evaluation is noted. The hashes come from the same reading.
func (s *session) inspect(ctx context.Context, cfg Config) error {
	r, err := data.Check(ctx, s.splits, cfg.Threads)
	if err != nil {
		return err
	}
	unread, bad := "", map[string]int{}
	for _, p := range r.Parts {
		if len(p.Bad) > 0 && !s.skipBad {
			return fmt.Errorf("%s: pictures of the %s part that cannot be decoded: %d of %d, such as %s: %s; repair them, or leave them out by --skip-bad",
				s.splits.Spec, p.Name, len(p.Bad), p.Images, p.Bad[0].Name, p.Bad[0].Error)
		}
		if len(p.Bad) > 0 {
			bad[p.Name] = len(p.Bad)
		}
		if p.Name == "train" && !cfg.SkipHash {
			if s.hash = p.Hash; s.hash == "" {
				unread = r.Notes[len(r.Notes)-1]
			}
		}
	}
	s.bad, s.state.Bad = bad, bad
	if err := r.Err(); err != nil {
		return err
	}
	for _, w := range r.Warnings() {
		s.notes = append(s.notes, "the data: "+w)
	}
	if unread != "" {
		s.notes = append(s.notes, "the data: "+unread)
	}
	if !cfg.SkipHash {
		s.state.Checked = r.Hash
	}
	return nil
}

// readable returns how many pictures of a part can be decoded, as far as that is known.
func (j *job) readable(part string, ds data.Dataset) int { return ds.Len() - j.bad[part] }

// evalPart is the name of the part that the run is evaluated on; "" if there is none.
func (j *job) evalPart() string {
	switch {
	case j.splits.Val != nil:
		return "val"
	case j.splits.Test != nil:
		return "test"
	}
	return ""
}

// noteTest tells that the test part takes the place of a missing validation part.
func (j *job) noteTest() {
	if j.evalPart() == "test" {
		j.notes = append(j.notes, "no validation part: the test part chooses the best epoch, so its figures are a little better than those of new pictures; --val-split 0.1 holds out a part of the training pictures instead")
	}
}

// hashTrain returns the hash of the training part; "" if bad pictures are skipped
// and one cannot even be read.
func (j *job) hashTrain(ctx context.Context, cfg Config) (string, error) {
	h, err := data.Hash(ctx, j.splits.Train, cfg.Threads)
	var bad *data.SampleError
	if j.skipBad && errors.As(err, &bad) {
		j.notes = append(j.notes, "the data have no hash: "+err.Error())
		return "", nil
	}
	return h, err
}
