package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShorterTimes: a run that is shorter than the recipe's has its times in proportion,
// in every recipe; a time that the user gives stays.
func TestShorterTimes(t *testing.T) {
	near := func(a, b float64) bool { return a-b <= 1e-3*b && b-a <= 1e-3*b }
	for _, name := range RecipeNames() {
		whole, err := LoadRecipe(name)
		if err != nil {
			t.Fatal(err)
		}
		if notes := whole.timesNotes(); len(notes) > 0 {
			t.Errorf("%s: the notes %q", name, notes)
		}
		short, err := LoadRecipe(name, "epochs=1")
		if err != nil {
			t.Fatal(err)
		}
		share := 1 / whole.length().total
		timed := whole.LR.Warmup > 0 || whole.LR.Every > 0 || len(whole.LR.Milestones) > 0
		if !near(short.LR.Warmup, share*whole.LR.Warmup) || !near(short.LR.Every, share*whole.LR.Every) || timed != (len(short.timesNotes()) == 1) {
			t.Errorf("%s: the schedule %+v of 1 epoch; notes %q", name, short.LR, short.timesNotes())
		}
		for i, m := range whole.LR.Milestones {
			if !near(short.LR.Milestones[i], share*m) {
				t.Errorf("%s: milestones %v of 1 epoch", name, short.LR.Milestones)
			}
		}
		for _, set := range [][]string{{"lr.warmup=0.5", "epochs=1"}, {"epochs=1", "lr.warmup=0.5"}} {
			if given, err := LoadRecipe(name, set...); err == nil && given.LR.Warmup != 0.5 { // one-cycle has none
				t.Errorf("%s: %v: a warm-up of %v", name, set, given.LR.Warmup)
			}
		}
		if long, err := LoadRecipe(name, "epochs=1000"); err != nil || whole.Epochs > 0 && (long.LR.Warmup != whole.LR.Warmup || len(long.shortened) > 0) {
			t.Errorf("%s: a warm-up of %v of 1000 epochs, %v", name, long.LR.Warmup, err)
		}
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte("base: simsiam\nepochs: 20\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := LoadRecipe(file, "epochs=10"); err != nil || r.LR.Warmup != 0.5 ||
		!strings.Contains(strings.Join(r.timesNotes(), "\n"), "lr.warmup 0.5 of 10 epochs, instead of the recipe's 10 of 200;") {
		t.Errorf("with a base: %v, %v, %q", r.LR.Warmup, err, r.timesNotes())
	}
	// What is fitted to the data is the recipe, not a change of it.
	if r, err := loadRecipe(photosRecipe, []string{"epochs=40", "lr.warmup=2"}, []string{"epochs=10"}); err != nil || r.LR.Warmup != 0.5 {
		t.Errorf("fitted to the data: %v, %v", r.LR.Warmup, err)
	}
	if r, err := loadRecipe(photosRecipe, []string{"epochs=10", "lr.warmup=1"}, nil); err != nil || r.LR.Warmup != 1 {
		t.Errorf("fitted to the data, unchanged: %v, %v", r.LR.Warmup, err)
	}
}

// TestTimesOfSchedules: what falls in the recipe's run falls in a shorter one, also where
// its length is given in the other unit.
func TestTimesOfSchedules(t *testing.T) {
	for _, c := range []struct {
		recipe string
		set    []string
		key    string
		want   string
		note   string // part of the only one; empty for none
	}{
		{"rotation", []string{"epochs=10"}, "lr.milestones", "[3, 6, 8]", "lr.milestones [3, 6, 8] of 10 epochs, instead of the recipe's [60, 120, 160] of 200;"},
		{"rotation", []string{"epochs=10", "lr.milestones=[5]"}, "lr.milestones", "[5]", ""},
		{"rotation", []string{"epochs=10", "lr={schedule: multistep, peak: 1, gamma: 0.1, milestones: [5, 60]}"}, "lr.milestones", "[5, 60]", ""},
		{"rotation", []string{"epochs=10", "lr.schedule=constant"}, "lr.milestones", "[3, 6, 8]", ""},
		{"cifar", []string{"epochs=10"}, "lr.milestones", "[5, 7.5]", "[5, 7.5] of 10 epochs, instead of the recipe's [32000, 48000] of 64,000 iterations;"},
		{"cifar", []string{"iterations=6400"}, "lr.milestones", "[3200, 4800]", "of 6,400 iterations, instead"},
		{"imagenet-v1", []string{"epochs=9"}, "lr.every", "3", "lr.every 3 of 9 epochs, instead of the recipe's 30 of 90;"},
		{"imagenet-v1", []string{"iterations=900"}, "lr.every", "300", "lr.every 300 of 900 iterations, instead of the recipe's 30 of 90 epochs;"},
		{"imagenet-v1", []string{"epochs=9", "lr.every=5"}, "lr.every", "5", ""},
		{"imagenet-v1", []string{"epochs=180"}, "lr.every", "30", ""},
		{"imagenet-v1", []string{"epochs=9", "lr.every=9"}, "lr.every", "9", "the run has only 9 epochs: the learning rate never falls"},
		{"rotation", []string{"epochs=10", "lr.milestones=[60, 80]"}, "lr.milestones", "[60, 80]", "lr.milestones is [60, 80], and the run has only 10 epochs: the learning rate never falls"},
		{"cifar-fast", []string{"epochs=1", "lr.warmup=300"}, "lr.warmup", "300", "lr.warmup is 300, and the run has only 1 epoch: the learning rate never reaches its peak; --set lr.warmup changes it"},
		{"cifar-fast", []string{"epochs=3", "lr.warmup=3"}, "lr.warmup", "3", ""},
	} {
		r, err := LoadRecipe(c.recipe, c.set...)
		if err != nil {
			t.Fatal(err)
		}
		notes := r.timesNotes()
		if got := r.timeText(c.key); got != c.want || (c.note != "") != (len(notes) == 1) || !strings.Contains(strings.Join(notes, "\n"), c.note) {
			t.Errorf("%s %v: %v, want %v; notes %q", c.recipe, c.set, got, c.want, notes)
		}
	}
}

// TestShorterWarmHead: the last layer learns alone in proportion, too, in whole epochs,
// of which one is left for the other layers.
func TestShorterWarmHead(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want int
	}{
		{nil, 4}, {[]string{"epochs=20"}, 2}, {[]string{"epochs=11"}, 2}, {[]string{"epochs=2"}, 1}, {[]string{"epochs=1"}, 0},
		{[]string{"epochs=2", "finetune.warm_head=2"}, 2},
	} {
		r, err := loadRecipe("finetune", []string{"epochs=40", "finetune.warm_head=4", "lr.warmup=0"}, c.set)
		if err != nil {
			t.Fatal(err)
		}
		if notes := r.timesNotes(); r.Finetune.WarmHead != c.want || (len(notes) > 0) != (c.set != nil) {
			t.Errorf("%v: the last layer learns alone for %d epochs, want %d; notes %q", c.set, r.Finetune.WarmHead, c.want, notes)
		}
	}
}

// TestShorterTimesAreSaid: the log and the recipe of the run have it.
func TestShorterTimesAreSaid(t *testing.T) {
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
