package train

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// slowData takes a second for each picture once training has begun.
type slowData struct {
	data.Dataset
	began *atomic.Bool
}

func (s slowData) Decode(i int, dst *imaging.Image) error {
	if s.began.Load() {
		time.Sleep(time.Second)
	}
	return s.Dataset.Decode(i, dst)
}

// The limit of time also ends an evaluation that would take much longer.
func TestMaxTimeBoundsTheEvaluation(t *testing.T) {
	cfg := toyConfig(t, t.TempDir())
	cfg.SkipCheck = true
	var training atomic.Bool
	cfg.Splits.Val = slowData{cfg.Splits.Val, &training}
	cfg.Threads, cfg.MaxTime = 1, time.Millisecond
	cfg.Log = Log{W: &bytes.Buffer{}, Event: func(Event) { training.Store(true) }}
	began := time.Now()
	r := mustRun(t, cfg)
	if took := time.Since(began); took > graceTime+3*time.Second {
		t.Errorf("it took %v", took)
	}
	if r.Best != nil || r.Last.Val != nil || !strings.Contains(r.Stopped, "the limit of time") || r.LastFile == "" {
		t.Errorf("%+v", r)
	}
	if text := cfg.Log.W.(*bytes.Buffer).String(); !strings.Contains(text, "was cut off") || !strings.Contains(text, "resnet eval --model "+r.LastFile) {
		t.Errorf("the log is %s", text)
	}
}

// What evaluates the model fits its kind: eval refuses backbones.
func TestEvaluatedBy(t *testing.T) {
	s := &session{job: job{rec: &Recipe{}, splits: &data.Splits{Spec: "folder:my photos"}}, output: output{out: "out"}}
	for want, ssl := range map[string]*SSLRecipe{"resnet eval --model": nil, "resnet linear --model": {}} {
		s.rec.SSL = ssl
		if got := s.evaluatedBy(); !strings.Contains(got, want+" "+filepath.Join("out", LastFile)+" --data 'folder:my photos'") {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if s.out = ""; s.evaluatedBy() != "" {
		t.Error("a model is named that is not there")
	}
}

// A run that is refused leaves no folder, and one that was there stays.
func TestRefusedRunLeavesNoFolder(t *testing.T) {
	for name, there := range map[string]bool{"new": false, "there": true} {
		top := filepath.Join(t.TempDir(), "a")
		out := filepath.Join(top, "b", name)
		if there {
			if err := os.MkdirAll(out, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cfg := toyConfig(t, out)
		cfg.Model = "no-such-network"
		if _, err := Run(context.Background(), cfg); err == nil {
			t.Fatal("no error")
		}
		_, err := os.Stat(top)
		_, inner := os.Stat(out)
		if (err == nil) != there || (inner == nil) != there {
			t.Errorf("%s: afterwards %v, %v", name, err, inner)
		}
	}
}
