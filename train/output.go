package train

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// output is what a run leaves behind and reports.
type output struct {
	out     string // folder of the run's files; empty writes none
	log     *logger
	results *results      // nil without out
	saved   time.Time     // when the checkpoint was written last
	unsaved *weights.File // the best model, where it could not be written yet
	lock    *flock.Flock  // of the folder; nil without out, or where files cannot be locked
	// lastDamaged is set until LastFile, which could not be used, is replaced.
	lastDamaged bool
	made        []string // folders that were made for out, the outermost last
}

// lockFile is the file in the folder of a run that its process locks. It stays there:
// to remove it would let two processes hold locks on two files of that name.
const lockFile = ".lock"

// onlyFiles returns an error if a folder holds a named pipe, socket or device: the files of
// a run are opened by name, which would wait for ever.
func onlyFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice|fs.ModeIrregular) != 0 {
			return limitread.Regular(filepath.Join(dir, e.Name()), e.Type())
		}
	}
	return nil
}

// enter makes the folder of the run and locks it, so that no other process trains
// into it. The system frees the lock when the process ends, however it ends. What a
// killed run left behind is removed. A new run needs a folder without a run.
func (s *session) enter(out string, resume bool) error {
	switch {
	case out == "" && resume:
		return errors.New("to resume, name the folder of the run by --out")
	case out == "":
		return nil
	case resume:
		if info, err := os.Stat(out); err != nil || !info.IsDir() {
			return fmt.Errorf("there is no run to resume in %s: %w", out, cmp.Or(err, fs.ErrNotExist))
		}
	default:
		s.made = missing(out)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return fmt.Errorf("output folder: %w", err)
		}
	}
	if err := onlyFiles(out); err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	l := flock.New(filepath.Join(out, lockFile), flock.SetPermissions(0o644))
	switch ok, err := l.TryLock(); {
	case err != nil && !os.IsPermission(err):
		s.notes = append(s.notes, fmt.Sprintf("warning: %s cannot be locked (%v): make sure that no other training writes to it", out, err))
	case err != nil:
		return fmt.Errorf("output folder: %w", err)
	case !ok:
		return fmt.Errorf("another training is writing to %s: wait until it has ended, or name another folder by --out", out)
	default:
		s.lock = l
		if err := atomicfile.RemoveLeftovers(out); err != nil {
			return fmt.Errorf("output folder: %w", err)
		}
	}
	if resume {
		return nil
	}
	for _, name := range []string{LastFile, PreviousFile} {
		if s.existing(name) != "" {
			return fmt.Errorf("%s already holds a run: continue it by --resume, or name another folder by --out", out)
		}
	}
	return nil
}

// missing returns the folders of a path that do not exist, the outermost last.
func missing(path string) []string {
	var dirs []string
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil || at == filepath.Dir(at) {
			return dirs
		}
		dirs = append(dirs, at)
	}
}

// abandon removes the folders that were made for a run which has left nothing in them.
func (o *output) abandon() {
	if len(o.made) == 0 {
		return
	}
	files, err := os.ReadDir(o.out)
	if err != nil || len(files) > 1 || len(files) == 1 && files[0].Name() != lockFile {
		return
	}
	if runtime.GOOS == "windows" { // which does not remove a file that is open
		o.leave()
	}
	os.Remove(filepath.Join(o.out, lockFile))
	for _, dir := range o.made {
		if os.Remove(dir) != nil { // fails, as it should, if anything is in it
			return
		}
	}
}

// leave frees the folder.
func (o *output) leave() {
	if o.lock != nil {
		o.lock.Close() // the lock ends with the process at the latest
	}
}

// existing returns the path of a file of the run, "" if there is none.
func (o *output) existing(name string) string {
	if o.out == "" {
		return ""
	}
	path := filepath.Join(o.out, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// meter measures how fast a session goes.
type meter struct {
	began   time.Time
	trained time.Duration // in training steps and in waiting for their data
	waited  time.Duration // for data, of trained
	images  int           // trained on

	evaluated time.Duration // that the last evaluation took
}

// pace is how fast a session goes. It differs between runs that are the same
// otherwise, so it is in no checkpoint.
type pace struct {
	rate    float64 // images per second of training steps
	wait    float64 // share of the training time spent waiting for data
	elapsed time.Duration
}

func (m *meter) pace() pace {
	p := pace{elapsed: time.Since(m.began)}
	if m.trained > 0 {
		p.rate, p.wait = float64(m.images)/m.trained.Seconds(), float64(m.waited)/float64(m.trained)
	}
	return p
}

// announce logs what the run is.
func (s *session) announce() {
	if !s.splits.MultiLabel() && data.Masks(s.splits.Train) == nil {
		s.log.classes = len(s.splits.Classes())
	}
	for _, n := range s.notes {
		s.log.note("%s", n)
	}
	trainable := 0
	for _, v := range s.step.trainable {
		trainable += v.Value.Shape.Numel()
	}
	all := nn.NumParams(s.module)
	evalN := "no pictures to evaluate on"
	if ev := s.splits.Eval(); s.eval != nil {
		evalN = term.Count(s.readable(s.evalPart(), ev)) + " to evaluate on"
	}
	of := term.Plural(s.step.classes, "class")
	if s.rec.SSL != nil {
		of = "no classes"
	}
	s.log.begin("%s: %d parameters (%d trained), %s; %s: %s to train on, %s; recipe %s: %s of %s of %d, seed %d",
		s.name(), all, trainable, of, s.splits.Spec, term.Plural(s.readable("train", s.splits.Train), "picture"), evalN,
		s.rec.Name, term.Plural(s.epochs-s.start.epoch, "epoch"), term.Plural(s.perEpoch, "step"), s.clock.batch, s.seed)
	st := &s.state
	if g := st.Gate; g != nil && !g.Open {
		s.log.note("%d layers: the learning rate is %g until the training error is below %.0f%%",
			s.depth, s.rec.LR.Gate.LR, 100*s.rec.LR.Gate.UntilError)
	}
	switch {
	case st.Epoch >= s.epochs || st.Stopped != "":
		s.log.note("the run is complete: there is nothing left to do")
	case st.Update > s.start.update:
		s.log.note("resuming in epoch %d after step %d", st.Epoch+1, st.Step)
	case st.Update > 0:
		s.log.note("continuing with epoch %d after %s", st.Epoch+1, term.Plural(st.Update, "step"))
	}
}

func (s *session) name() string {
	if _, ok := s.module.(*onnx.Model); ok {
		return "the network of the model file's graph"
	}
	if n, ok := s.module.(interface{ Kind() string }); ok {
		return n.Kind()
	}
	return fmt.Sprintf("%T", s.module)
}
