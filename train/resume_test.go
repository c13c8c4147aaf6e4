package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/weights"
)

// interruptedRun returns the folder of a run that was stopped in its third epoch.
func interruptedRun(t *testing.T, set ...string) string {
	t.Helper()
	out := t.TempDir()
	cfg := toyConfig(t, out, append([]string{"checkpoint.every_steps=2"}, set...)...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" && e.Step.Step == 15 {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.As(err, new(*Interrupted)) {
		t.Fatal(err)
	}
	return out
}

func resume(t *testing.T, out string) (log string, err error) {
	t.Helper()
	var b strings.Builder
	_, err = Run(context.Background(), Config{Splits: toySplits(t), Out: out, Resume: true, Threads: 2, Log: Log{W: &b}})
	return b.String(), err
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[(at+len(b))%len(b)] ^= 4
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A run whose newest checkpoint is damaged continues from the one before, and
// ends in the same files.
func TestResumeFromTheCheckpointBefore(t *testing.T) {
	whole := t.TempDir()
	mustRun(t, toyConfig(t, whole, "checkpoint.every_steps=2"))
	for name, damage := range map[string]func(path string){
		"tensor":   func(path string) { flip(t, path, -5) },
		"header":   func(path string) { flip(t, path, 300) },
		"length":   func(path string) { flip(t, path, 2) },
		"cut off":  func(path string) { truncate(t, path, 1000) },
		"empty":    func(path string) { truncate(t, path, 0) },
		"not here": func(path string) { os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			out := interruptedRun(t)
			damage(filepath.Join(out, LastFile))
			before, err := os.ReadFile(filepath.Join(out, LastFile))
			if err != nil {
				before = nil
			}
			if s, err := ReadStatus(out); err != nil && name != "not here" && name != "tensor" {
				t.Errorf("status %+v, %v", s, err)
			}
			log, err := resume(t, out)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, "continues from the one before it") || !strings.Contains(log, LastFile) {
				t.Errorf("the log has no warning:\n%s", log)
			}
			sameFiles(t, whole, out, LastFile, BestFile)
			// What was damaged is not kept as the checkpoint before.
			if kept, err := os.ReadFile(filepath.Join(out, PreviousFile)); err != nil || before != nil && bytes.Equal(kept, before) {
				t.Errorf("%s is the damaged checkpoint, or cannot be read (%v)", PreviousFile, err)
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestNoUsableCheckpoint(t *testing.T) {
	out := interruptedRun(t)
	flip(t, filepath.Join(out, LastFile), -5)
	flip(t, filepath.Join(out, PreviousFile), -5)
	_, err := resume(t, out)
	if err == nil || !strings.Contains(err.Error(), LastFile) || !strings.Contains(err.Error(), PreviousFile) ||
		!strings.Contains(err.Error(), "--model "+filepath.Join(out, BestFile)) {
		t.Errorf("error %v", err)
	}
	flip(t, filepath.Join(out, BestFile), -5)
	if _, err := resume(t, out); err == nil || strings.Contains(err.Error(), "--model") {
		t.Errorf("with a damaged best model, the error is %v", err)
	}
}

func TestDamagedBestIsNoted(t *testing.T) {
	out := interruptedRun(t)
	flip(t, filepath.Join(out, BestFile), -5)
	log, err := resume(t, out)
	if err != nil || !strings.Contains(log, "best model so far is damaged") {
		t.Errorf("%v\n%s", err, log)
	}
}

// changes returns variants of a JSON value: each has one value that is another, of
// another type or not there, and objects are emptied.
func changes(v any) []any {
	var list []any
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			for _, y := range changes(x) {
				c := clone(v).(map[string]any)
				c[k] = y
				list = append(list, c)
			}
			c := clone(v).(map[string]any)
			delete(c, k)
			list = append(list, c)
		}
		c := clone(v).(map[string]any)
		c["more"] = 1.0
		list = append(list, c, map[string]any{})
	case []any:
		for i, x := range v {
			for _, y := range changes(x) {
				c := clone(v).([]any)
				c[i] = y
				list = append(list, c)
			}
		}
		if len(v) > 0 {
			list = append(list, v[1:], append(slices.Clone(v), v[0]), []any{})
		}
	case float64:
		list = append(list, v+1, v-1, -1.0, 0.0, 1e9, 1e18, 1e300, json.Number("1e999"), 0.5)
	case bool:
		list = append(list, !v)
	case string:
		list = append(list, v+"x", "")
	}
	return append(list, nil, "text", 12.5, true, []any{1.0}, map[string]any{"a": 1.0})
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := map[string]any{}
		for k, x := range v {
			c[k] = x
		}
		return c
	case []any:
		return slices.Clone(v)
	}
	return v
}

// No change of the state's JSON, with checksums that suit it, crashes, makes a run end
// at once or lets it count otherwise.
func TestChangedStateOfCheckpoint(t *testing.T) {
	for name, set := range map[string][]string{"plain": nil, "plateau": {"lr.schedule=plateau", "lr.warmup=0"}} {
		out := interruptedRun(t, set...)
		path := filepath.Join(out, LastFile)
		good, err := readCheckpoint(path)
		if err != nil {
			t.Fatal(err)
		}
		if good.state.Best == nil || good.state.Step == 0 || len(good.state.History) != 2 {
			t.Fatalf("the state is %+v", good.state)
		}
		var v any
		if err := json.Unmarshal(good.file.Training, &v); err != nil {
			t.Fatal(err)
		}
		refused, accepted := 0, 0
		for _, c := range changes(v) {
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			meta := good.file.Meta
			meta.Training = b
			var st state
			if _, err := st.read(path, &meta); err != nil {
				refused++
				if !strings.Contains(err.Error(), path) {
					t.Errorf("the error does not name the file: %v", err)
				}
				continue
			}
			accepted++
			g := good.state
			if st.Epoch != g.Epoch || st.Step != g.Step || st.Update != g.Update || len(st.History) != len(g.History) || st.Sums.Batches != g.Sums.Batches {
				t.Errorf("%s: accepted: %s", name, b)
			}
			if st.Best != nil && !reflect.DeepEqual(st.Best, &st.History[st.Best.Epoch-1]) {
				t.Errorf("%s: the best is none of the history: %s", name, b)
			}
		}
		t.Logf("%s: %d refused, %d accepted", name, refused, accepted)
		if refused < 200 {
			t.Errorf("%s: only %d are refused", name, refused)
		}
	}
}

// Every change of any text of the metadata, with checksums that suit it, is an error
// or a run that trains on: never a crash.
func TestChangedMetadataOfCheckpoint(t *testing.T) {
	out := interruptedRun(t)
	path := filepath.Join(out, LastFile)
	good, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, change := range map[string]func(m *weights.Meta){
		"best {}": func(m *weights.Meta) {
			m.Training = raw(strings.Replace(string(m.Training), `"best":{`, `"best":{},"x":{`, 1))
		},
		"update -1":       func(m *weights.Meta) { m.Training = raw(`{"epoch":0,"update":-1}`) },
		"epoch 1e9":       func(m *weights.Meta) { m.Training = raw(`{"epoch":1000000000,"update":6}`) },
		"NaN":             func(m *weights.Meta) { m.Training = raw(`{"sums":{"loss":"NaN"}}`) },
		"no training":     func(m *weights.Meta) { m.Training = raw(`null`) },
		"a list":          func(m *weights.Meta) { m.Training = raw(`[]`) },
		"no recipe":       func(m *weights.Meta) { m.Recipe = "" },
		"another recipe":  func(m *weights.Meta) { m.Recipe = "epochs: [1" },
		"negative epochs": func(m *weights.Meta) { m.Recipe = strings.Replace(m.Recipe, "epochs: 3", "epochs: -3", 1) },
		"no architecture": func(m *weights.Meta) { m.Architecture = nil },
		"{} architecture": func(m *weights.Meta) { m.Architecture = raw(`{}`) },
		"other classes":   func(m *weights.Meta) { m.Classes = m.Classes[1:] },
		"no preprocess":   func(m *weights.Meta) { m.Preprocess = nil },
		"{} preprocess":   func(m *weights.Meta) { m.Preprocess = raw(`{}`) },
		"huge architecture": func(m *weights.Meta) {
			m.Architecture = raw(strings.Replace(string(m.Architecture), `"width":16`, `"width":60000`, 1))
		},
	} {
		f := *good
		change(&f.Meta)
		for _, name := range []string{LastFile, PreviousFile} {
			if err := weights.Save(filepath.Join(out, name), &f, weights.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := resume(t, out); err == nil || !strings.Contains(err.Error(), out) && name != "huge architecture" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A second training into a folder is refused while the first one runs, and not after.
func TestOneTrainingPerFolder(t *testing.T) {
	out := t.TempDir()
	cfg := toyConfig(t, out)
	tried := false
	cfg.Log.Event = func(e Event) {
		if e.Kind != "step" || e.Step.Step != 8 || tried {
			return
		}
		tried = true
		for _, again := range []Config{toyConfig(t, out), {Splits: toySplits(t), Out: out, Resume: true}} {
			if _, err := Run(context.Background(), again); err == nil || !strings.Contains(err.Error(), "another training is writing to "+out) {
				t.Errorf("resume %v: error %v", again.Resume, err)
			}
		}
	}
	mustRun(t, cfg)
	if !tried {
		t.Fatal("the second training was not tried")
	}
	if _, err := resume(t, out); err != nil {
		t.Errorf("after the first training: %v", err)
	}
}

// What a killed run left half-written is removed at the next start.
func TestLeftoversOfKilledRuns(t *testing.T) {
	out := interruptedRun(t)
	left := filepath.Join(out, "."+LastFile+".tmp-12345")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resume(t, out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// A run that meets a write error at any step of its files continues, and ends in the
// same files as one that met none.
func TestWriteErrorAtEachStepOfACheckpoint(t *testing.T) {
	whole := t.TempDir()
	mustRun(t, toyConfig(t, whole, "epochs=2", "checkpoint.every_steps=2"))
	for _, name := range []string{"create", "write", "chmod", "sync", "close", "rename", "sync folder", "link"} {
		out := filepath.Join(t.TempDir(), "run")
		n := 0
		restore := atomicfile.Inject(func(step string) error {
			if step == name {
				n++
			}
			if step == name && n == 5 {
				return fmt.Errorf("step %q: %w", step, os.ErrInvalid)
			}
			return nil
		})
		_, err := Run(context.Background(), toyConfig(t, out, "epochs=2", "checkpoint.every_steps=2"))
		restore()
		if err != nil || n < 5 {
			t.Errorf("step %s: %d times, %v", name, n, err)
			continue
		}
		sameFiles(t, whole, out, LastFile, BestFile)
	}
}
