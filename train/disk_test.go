package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// A folder that goes away and comes back stands for a disk that is full for a
// while: the run must warn, continue, and end with the same files.
func TestCheckpointThatCannotBeWritten(t *testing.T) {
	whole := t.TempDir()
	mustRun(t, toyConfig(t, whole, "epochs=5", "checkpoint.every_steps=2"))

	out := filepath.Join(t.TempDir(), "run")
	away := out + ".away"
	var log strings.Builder
	cfg := toyConfig(t, out, "epochs=5", "checkpoint.every_steps=2")
	steps := 0
	cfg.Log = Log{W: &log, Event: func(e Event) {
		if e.Kind != "step" {
			return
		}
		steps++
		switch steps {
		case 9: // in the second epoch
			if err := os.Rename(out, away); err != nil {
				t.Error(err)
			}
		case 21: // in the fourth
			if b, err := os.ReadFile(filepath.Join(away, LastFile)); err != nil || len(b) == 0 {
				t.Errorf("the checkpoint before is gone: %v", err)
			}
			if err := os.Rename(away, out); err != nil {
				t.Error(err)
			}
		}
	}}
	mustRun(t, cfg)
	if n := strings.Count(log.String(), "warning: cannot write"); n < 4 || !strings.Contains(log.String(), "continues and will try again") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	sameFiles(t, whole, out, LastFile, BestFile)
	if rows := readCSV(t, filepath.Join(out, ResultsFile)); len(rows) != 6 {
		t.Errorf("results.csv has %d rows", len(rows))
	}
	files, err := filepath.Glob(filepath.Join(out, ".*tmp*"))
	if err != nil || len(files) > 0 {
		t.Errorf("left over: %v, %v", files, err)
	}
}

func TestLastCheckpointMustBeWritten(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	cfg := toyConfig(t, out, "epochs=2")
	steps := 0
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" {
			if steps++; steps == 8 {
				if err := os.Rename(out, out+".away"); err != nil {
					t.Error(err)
				}
			}
		}
	}
	r, err := Run(context.Background(), cfg)
	if err == nil || !strings.Contains(err.Error(), "cannot write "+filepath.Join(out, BestFile)) {
		t.Errorf("result %+v, error %v", r, err)
	}
}

// counted is a dataset that counts how often a sample is read and decoded.
type counted struct {
	*data.Images
	reads, decodes *int
}

func (c counted) Content(i int, buf []byte) ([]byte, error) {
	*c.reads++
	return append(buf[:0], c.Pictures[i].Pix...), nil
}

func (c counted) Decode(i int, dst *imaging.Image) error {
	*c.decodes++
	return c.Images.Decode(i, dst)
}

// The pictures are decoded once at the start of a run, and again on resuming
// only if they are others, or were never looked at.
func TestResumeLooksAtPicturesAsAStartDoes(t *testing.T) {
	out := t.TempDir()
	var decodes int
	start := func(change func(*Config)) (*session, string, error) {
		var log strings.Builder
		decodes = 0
		var reads int
		cfg := toyConfig(t, out, "epochs=1")
		cfg.Threads = 1
		cfg.Log.W = &log
		cfg.Splits.Val = counted{toy(t, 10, 2), &reads, &decodes}
		change(&cfg)
		s, err := prepare(context.Background(), cfg)
		if err == nil {
			s.close()
		}
		return s, log.String(), err
	}
	resume := func(c *Config) { c.Resume, c.Recipe, c.Command = true, nil, nil }
	s, _, err := start(func(*Config) {})
	if err != nil || decodes != 40 || len(s.state.Checked) != 64 || len(s.meta.Data.Hash) != 64 {
		t.Fatalf("start: %d decoded, state %+v, %v", decodes, s.state, err)
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := start(resume); err != nil || decodes != 0 {
		t.Errorf("the same data: %d decoded, %v", decodes, err)
	}
	other := toy(t, 10, 3)
	if s, _, err := start(func(c *Config) { resume(c); c.Splits.Val = counted{other, new(int), &decodes} }); err != nil || decodes != 40 || s.state.Checked == "" {
		t.Errorf("other pictures to evaluate on: %d decoded, %v", decodes, err)
	}
	broken := damaged{counted{other, new(int), &decodes}, 3}
	_, _, err = start(func(c *Config) { resume(c); c.Splits.Val = broken })
	if err == nil || !strings.Contains(err.Error(), "val part that cannot be decoded: 1 of 40, such as image 3") {
		t.Errorf("a damaged picture: %v", err)
	}
	if _, _, err := start(func(c *Config) { resume(c); c.Splits.Val = broken; c.SkipCheck = true }); err != nil || decodes > 8 {
		t.Errorf("a damaged picture without the check: %d decoded, %v", decodes, err)
	}
	s.state.Checked = "" // begun without the check
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := start(resume); err != nil || decodes != 40 {
		t.Errorf("begun without the check: %d decoded, %v", decodes, err)
	}
}
