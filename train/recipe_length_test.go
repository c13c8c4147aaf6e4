package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShorterWarmup: a run that is shorter than the recipe's has a shorter warm-up, in
// proportion, in every recipe; a warm-up that the user gives stays.
func TestShorterWarmup(t *testing.T) {
	for _, name := range RecipeNames() {
		whole, err := LoadRecipe(name)
		if err != nil {
			t.Fatal(err)
		}
		if whole.Epochs == 0 {
			continue
		}
		if whole.warmupNote() != "" {
			t.Errorf("%s: the note %q", name, whole.warmupNote())
		}
		short, err := LoadRecipe(name, "epochs=1")
		if err != nil {
			t.Fatal(err)
		}
		want := whole.LR.Warmup / float64(whole.Epochs)
		if d := short.LR.Warmup - want; d > 1e-3*want || d < -1e-3*want || (whole.LR.Warmup > 0) != (short.warmupNote() != "") {
			t.Errorf("%s: a warm-up of %v of 1 epoch, want %v; note %q", name, short.LR.Warmup, want, short.warmupNote())
		}
		for _, set := range [][]string{{"lr.warmup=0.5", "epochs=1"}, {"epochs=1", "lr.warmup=0.5"}} {
			if given, err := LoadRecipe(name, set...); err == nil && (given.LR.Warmup != 0.5 || given.warmupNote() != "") { // one-cycle has none
				t.Errorf("%s: %v: a warm-up of %v", name, set, given.LR.Warmup)
			}
		}
		if long, err := LoadRecipe(name, "epochs=1000"); err != nil || long.LR.Warmup != whole.LR.Warmup {
			t.Errorf("%s: a warm-up of %v of 1000 epochs, %v", name, long.LR.Warmup, err)
		}
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte("base: simsiam\nepochs: 20\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := LoadRecipe(file, "epochs=10"); err != nil || r.LR.Warmup != 0.5 || !strings.Contains(r.warmupNote(), "0.5 of 10 epochs, instead of the recipe's 10 of 200") {
		t.Errorf("with a base: %v, %v, %q", r.LR.Warmup, err, r.warmupNote())
	}
	// What is fitted to the data is the recipe, not a change of it.
	if r, err := loadRecipe(photosRecipe, []string{"epochs=40", "lr.warmup=2"}, []string{"epochs=10"}); err != nil || r.LR.Warmup != 0.5 {
		t.Errorf("fitted to the data: %v, %v", r.LR.Warmup, err)
	}
	if r, err := loadRecipe(photosRecipe, []string{"epochs=10", "lr.warmup=1"}, nil); err != nil || r.LR.Warmup != 1 {
		t.Errorf("fitted to the data, unchanged: %v, %v", r.LR.Warmup, err)
	}
}

// TestShorterWarmupIsSaid: the log and the recipe of the run have it.
func TestShorterWarmupIsSaid(t *testing.T) {
	out := t.TempDir()
	cfg := viewsConfig(t, "simclr", out, "epochs=1")
	var log strings.Builder
	cfg.Log.W = &log
	mustRun(t, cfg)
	text, err := os.ReadFile(filepath.Join(out, RecipeFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "0.5 of 1 epoch, instead of the recipe's 1 of 2") || !strings.Contains(string(text), "warmup: 0.5") {
		t.Errorf("the log\n%s\nthe recipe\n%s", log.String(), text)
	}
}
