package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/tensor"
)

// Exchange connects the ranks of a training on several machines: equal processes that
// each compute some shards of every batch (see Recipe.Shards). All ranks call the
// methods in the same order, each from one goroutine at a time, which is not always the
// same. An error means that another rank has ended or the connection is lost; no method
// is called after it.
type Exchange interface {
	// Rank returns the number of this process, from 0. Rank 0 writes the files and the
	// log.
	Rank() int
	// Size returns the number of ranks.
	Size() int
	// Share gives each rank the messages of all, by rank. Messages can differ in length.
	Share(own []byte) ([][]byte, error)
	// AllToAll sends send[r] to rank r and fills recv[r] with what rank r sends to this
	// one, whose length is that of recv[r]. No element changes.
	AllToAll(send, recv [][]float32) error
}

// RankError is the error of another rank, because of which this one ended, too.
type RankError struct {
	Rank    int
	Message string
}

// Error names the rank.
func (e *RankError) Error() string { return fmt.Sprintf("rank %d: %s", e.Rank, e.Message) }

// ErrRanksLost is wrapped by the error of a run that an error of its [Exchange] has
// ended.
var ErrRanksLost = errors.New("the connection to the other ranks is lost")

func lost(err error) error {
	return &agreed{fmt.Errorf("%w: %w; start all ranks again with --resume to continue from the last checkpoint", ErrRanksLost, err)}
}

// group is the ranks of a run as one of them sees them. The zero group is a run in one
// process.
type group struct{ x Exchange }

func (g group) rank() int {
	if g.x == nil {
		return 0
	}
	return g.x.Rank()
}

func (g group) size() int {
	if g.x == nil {
		return 1
	}
	return g.x.Size()
}

// part returns which batches of an evaluation this rank makes.
func (g group) part() data.Part { return data.Part{Of: g.size(), From: g.rank(), To: g.rank() + 1} }

// turns returns how many of the steps of an evaluation are this rank's.
func (g group) turns(steps int) int { return (steps + g.size() - 1 - g.rank()) / g.size() }

// progress returns what counts the samples of all ranks by those of this one: the others
// are about as far.
func (g group) progress(each func(samples int)) func(int) {
	if each == nil {
		return nil
	}
	return func(samples int) { each(samples * g.size()) }
}

// alone reports whether there is no other rank.
func (g group) alone() bool { return g.size() == 1 }

// envelope is a message of Share: a rank that has failed sends its error instead of what
// the others expect, and so ends them.
type envelope struct {
	Failed string
	Body   []byte
}

// together gives each rank the values of all, by rank. err is this rank's: if any rank has
// one, all get an error, this rank its own.
func together[T any](g group, own T, err error) ([]T, error) {
	if g.alone() {
		return []T{own}, err
	}
	var b bytes.Buffer
	e := envelope{}
	if err != nil {
		e.Failed = err.Error()
	} else if err = gob.NewEncoder(&b).Encode(own); err != nil {
		return nil, err
	}
	e.Body = b.Bytes()
	var m bytes.Buffer
	if failed := gob.NewEncoder(&m).Encode(e); failed != nil {
		return nil, failed
	}
	all, failed := g.x.Share(m.Bytes())
	switch {
	case failed != nil && err != nil:
		return nil, &agreed{err}
	case failed != nil:
		return nil, lost(failed)
	case len(all) != g.size():
		return nil, &agreed{fmt.Errorf("train: the exchange gave the messages of %d ranks, must be %d", len(all), g.size())}
	}
	values := make([]T, len(all))
	for r, text := range all {
		var e envelope
		if failed := gob.NewDecoder(bytes.NewReader(text)).Decode(&e); failed != nil {
			return nil, &agreed{fmt.Errorf("the message of rank %d cannot be read (%w): all ranks must run the same version of the program", r, failed)}
		}
		if e.Failed != "" && err == nil {
			err = &RankError{r, e.Failed}
		}
		if err != nil {
			continue
		}
		if failed := gob.NewDecoder(bytes.NewReader(e.Body)).Decode(&values[r]); failed != nil {
			err = fmt.Errorf("the message of rank %d cannot be read (%w): all ranks must run the same version of the program", r, failed)
		}
	}
	if err != nil {
		return nil, &agreed{err}
	}
	return values, nil
}

// inOrder gives each rank what all have found in the steps of an evaluation, in the order
// of the steps: as if one rank had made them all.
func inOrder[T any](g group, own []T, step func(T) int) ([]T, error) {
	ranks, err := together(g, own, nil)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(ranks...)
	slices.SortStableFunc(all, func(a, b T) int { return step(a) - step(b) })
	return all, nil
}

// agreed is an error that the other ranks know, or cannot be told any more.
type agreed struct{ error }

func (e *agreed) Unwrap() error { return e.error }

// end tells the other ranks how this one ended, unless they know.
func (g group) end(err error) error {
	if known := (*agreed)(nil); errors.As(err, &known) {
		return known.error
	}
	_, told := together(g, struct{}{}, err)
	if known := (*agreed)(nil); errors.As(told, &known) && err == nil {
		return known.error
	}
	return err
}

// Together returns an error on all ranks if any of them has one: its own, or else a
// *[RankError]. It is for what programs do before [Run]. All ranks call it.
func Together(x Exchange, err error) error { return group{x}.end(err) }

// joint returns a context that ends on all ranks at the same step: when [session.report]
// finds that the context of any of them has ended.
func (s *session) joint(ctx context.Context) context.Context {
	if s.step.shards == 0 {
		return ctx
	}
	s.own = ctx
	joint, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	s.stopAll = stop
	return joint
}

// errOtherStopped is the cause of an interruption by a signal to another rank.
var errOtherStopped = errors.New("another rank was interrupted")

// identity is what must be equal on all ranks when training begins or continues.
type identity struct {
	Model, Recipe, Data, Hash string
	Seed                      uint64
	Weights                   [32]byte
}

// sameEverywhere returns an error unless all ranks train the same network on the same
// data.
func (s *session) sameEverywhere() error {
	if s.group.alone() {
		return nil
	}
	text, err := s.rec.YAML()
	own := identity{Model: string(s.meta.Architecture), Recipe: string(text), Data: s.splits.Spec, Hash: s.hash, Seed: s.seed}
	if err == nil {
		own.Weights, err = s.fingerprint()
	}
	all, err := together(s.group, own, err)
	if err != nil {
		return err
	}
	for r, other := range all {
		for _, c := range []struct {
			what string
			same bool
			do   string
		}{
			{"another network", other.Model == all[0].Model, "start all ranks with the same command line"},
			{"another recipe", other.Recipe == all[0].Recipe, "start all ranks with the same command line"},
			{"another seed", other.Seed == all[0].Seed, "start all ranks with the same command line"},
			{"other data", other.Data == all[0].Data && other.Hash == all[0].Hash, "each machine needs the same pictures under the same name"},
			{"other weights", other.Weights == all[0].Weights, "each machine needs the same model file and the same version of the program"},
		} {
			if !c.same {
				return &agreed{fmt.Errorf("rank %d has %s than rank 0: %s", r, c.what, c.do)}
			}
		}
	}
	return nil
}

// fingerprint returns a checksum of everything that training changes.
func (s *session) fingerprint() (sum [32]byte, err error) {
	h := sha256.New()
	for _, name := range s.vars.Names() {
		t, err := s.value(name)
		if err != nil {
			return sum, err
		}
		fmt.Fprintln(h, name, t.Shape())
		if t.DType() == tensor.Int64 {
			err = binary.Write(h, binary.LittleEndian, t.Int64s())
		} else {
			err = binary.Write(h, binary.LittleEndian, t.Float32s())
		}
		if err != nil {
			return sum, err
		}
	}
	return [32]byte(h.Sum(nil)), nil
}

// stillEqual returns an error unless all ranks have the same weights. They can differ
// where processors differ: other instructions may round the optimizer's update in
// another way.
func (s *session) stillEqual() error {
	if s.group.alone() {
		return nil
	}
	own, err := s.fingerprint()
	all, err := together(s.group, own, err)
	if err != nil {
		return err
	}
	for r, sum := range all {
		if sum != all[0] {
			return &agreed{fmt.Errorf("after epoch %d rank %d has other weights than rank 0: machines with different processors need the same GODEBUG settings, such as cpu.avx512f=off", s.state.Epoch+1, r)}
		}
	}
	return nil
}

// readTogether returns the checkpoint that rank 0 has read from the file at path, on all
// ranks: the others may have no access to its folder. err is rank 0's.
func (s *session) readTogether(c *checkpoint, path string, err error) (*checkpoint, error) {
	if s.group.alone() {
		return c, err
	}
	var file []byte
	if s.group.rank() == 0 && err == nil {
		file, err = os.ReadFile(path)
	}
	all, err := together(s.group, file, err)
	if err != nil || s.group.rank() == 0 {
		return c, err
	}
	f, err := os.CreateTemp("", "resnet-*.safetensors")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(all[0])
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return readCheckpoint(f.Name())
}
