package lab

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/train"
)

// folder writes pictures of three classes that differ in where they are bright.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	for part, n := range map[string]int{"train": 24, "val": 8} {
		for class := range 3 {
			for i := range n {
				img := image.NewGray(image.Rect(0, 0, 12, 12))
				for y := range 12 {
					for x := range 12 {
						v := r.IntN(90)
						if y/4 == class {
							v += 120
						}
						img.SetGray(x, y, color.Gray{uint8(v)})
					}
				}
				path := filepath.Join(dir, part, string(rune('a'+class)), strconv.Itoa(i)+".png")
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				f, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := png.Encode(f, img); err != nil {
					t.Fatal(err)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return "folder:" + dir
}

func options(t *testing.T, data string, set ...string) Options {
	t.Helper()
	r, err := train.LoadRecipe("fashion-quick", append([]string{"epochs=2", "batch_size=12", "lr.warmup=0"}, set...)...)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: t.TempDir(), Data: data, Recipe: r, Depths: []int{8, 14}, Seeds: 1, Grid: 3}
}

func finished(t *testing.T, name string, opt Options) *Study {
	t.Helper()
	e, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(e, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExperiments runs those that measure inside the networks, small, and
// checks that their reports and charts are there.
func TestExperiments(t *testing.T) {
	data := folder(t)
	for _, name := range []string{"degradation", "gradients", "landscape", "unravelled", "table"} {
		t.Run(name, func(t *testing.T) {
			opt := options(t, data)
			if name != "degradation" && name != "table" {
				opt.Depths = []int{8}
			}
			s := finished(t, name, opt)
			p, err := s.Report(t.Context(), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Findings) == 0 || p.Partial != "" {
				t.Errorf("findings %q, partial %q", p.Findings, p.Partial)
			}
			html, err := os.ReadFile(filepath.Join(opt.Dir, "report.html"))
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"http://", "https://", "NaN", "&lt;nil"} {
				if text := strings.ReplaceAll(string(html), "http://www.w3.org/", ""); strings.Contains(text, bad) {
					t.Errorf("the report has %q in it", bad)
				}
			}
			charts := 0
			for _, sec := range p.Sections {
				for _, f := range sec.Figures {
					charts++
					checkCSV(t, filepath.Join(opt.Dir, "charts", f.ID+".csv"), f.Series[0].Name, f.Series[0].X, f.Series[0].Y, f.XNames)
				}
				charts += len(sec.Surfaces)
			}
			for _, ending := range []string{"csv", "png", "svg"} {
				if got, _ := filepath.Glob(filepath.Join(opt.Dir, "charts", "*."+ending)); len(got) != charts {
					t.Errorf("%d .%s files of %d charts", len(got), ending, charts)
				}
			}
		})
	}
}

// checkCSV compares a chart's file with one of its series.
func checkCSV(t *testing.T, path, name string, x, y []float64, names []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := range x {
		got := lines[i+1]
		v, err := strconv.ParseFloat(got[2], 64)
		want := strconv.FormatFloat(x[i], 'g', 8, 64)
		if names != nil {
			want = names[int(x[i])]
		}
		if err != nil || got[0] != name || got[1] != want || math.Abs(v-y[i]) > 1e-6*math.Abs(y[i]) {
			t.Errorf("%s: line %d is %q, want %s at %s: %g", path, i+1, got, name, want, y[i])
		}
	}
}

// TestVariants builds every network of every experiment.
func TestVariants(t *testing.T) {
	for i := range experiments {
		e := &experiments[i]
		opt := options(t, "")
		opt.Depths = nil
		if e.defaults != nil {
			e.defaults(&opt)
		}
		vs, err := e.variants(&opt)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, v := range vs {
			if slices.Contains(names, v.Name) || strings.ContainsAny(v.Name, ` /\,`) {
				t.Errorf("%s: variant %q", e.Name, v.Name)
			}
			names = append(names, v.Name)
			if _, err := models.New(v.Recipe.Model); err != nil {
				t.Errorf("%s: %s: %v", e.Name, v.Name, err)
			}
			if err := v.Recipe.Valid(); err != nil {
				t.Errorf("%s: %s: %v", e.Name, v.Name, err)
			}
		}
	}
	if _, err := Lookup("degradatoin"); err == nil || !strings.Contains(err.Error(), `did you mean "degradation"`) {
		t.Errorf("a wrong name gives %v", err)
	}
}

// TestStopAndGoOn stops a study in its middle; what it goes on to is what it
// would have been.
func TestStopAndGoOn(t *testing.T) {
	data := folder(t)
	whole := options(t, data)
	want := finished(t, "degradation", whole)

	opt := options(t, data)
	e, _ := Lookup("degradation")
	s, err := New(e, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.Log.Line = func(string, ...any) { cancel() } // at the first epoch of any run
	if err := s.Train(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the stopped study ends with %v", err)
	}
	s, err = New(e, opt)
	if err != nil {
		t.Fatal(err)
	}
	if s.unfinished() == 0 {
		t.Error("nothing was left to do")
	}
	p, err := s.Report(t.Context(), 0)
	if err != nil || !strings.Contains(p.Partial, "not finished") {
		t.Errorf("the report in the middle says %q, %v", p.Partial, err)
	}
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range s.Runs {
		if !slices.EqualFunc(r.History, want.Runs[i].History, func(a, b train.EpochRecord) bool {
			return a.Train == b.Train && *a.Val == *b.Val
		}) {
			t.Errorf("%s: %+v, want %+v", r.Variant.Name, r.History, want.Runs[i].History)
		}
	}
	again, err := New(e, opt)
	if err != nil || again.unfinished() > 0 {
		t.Errorf("%d of a finished study are not finished (%v)", again.unfinished(), err)
	}

	other := opt
	other.Recipe = options(t, data, "lr.peak=0.01").Recipe
	if _, err := New(e, other); err == nil || !strings.Contains(err.Error(), "another study (plain-14 by another recipe)") {
		t.Errorf("another recipe in the same folder: %v", err)
	}
	if e, _ = Lookup("attention"); e != nil {
		if _, err := New(e, opt); err == nil || !strings.Contains(err.Error(), "another study (degradation, not attention)") {
			t.Errorf("another experiment in the same folder: %v", err)
		}
	}
}

// TestRecipes compares recipes. One diverges, which is a result.
func TestRecipes(t *testing.T) {
	data := folder(t)
	opt := options(t, data)
	good, bad := options(t, data, "model=resnet8-cifar").Recipe, options(t, data, "model=resnet8-cifar+no-norm", "lr.peak=1e6").Recipe
	s, err := New(Recipes([]string{"good.yaml", "x/bad.yaml"}, []*train.Recipe{good, bad}), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Runs[0].Diverged != "" || s.Runs[1].Diverged == "" {
		t.Errorf("diverged: %q and %q", s.Runs[0].Diverged, s.Runs[1].Diverged)
	}
	p, err := s.Report(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(p.Findings, " ")
	if !strings.Contains(text, "good has a test error of") || !strings.Contains(text, "Diverged: bad") {
		t.Errorf("findings %q", p.Findings)
	}
	if s, err = New(s.Experiment, opt); err != nil || s.unfinished() > 0 {
		t.Errorf("a diverged run is trained again (%v)", err)
	}
}

func TestDifference(t *testing.T) {
	for _, c := range []struct {
		a, b   []float64
		beyond bool
	}{
		{[]float64{.1, .11, .12}, []float64{.2, .21, .22}, true},
		{[]float64{.1, .2, .3}, []float64{.15, .25, .35}, false},
		{[]float64{.1}, []float64{.115}, false},
		{[]float64{.1}, []float64{.13}, true},
	} {
		if d, beyond := difference(c.a, c.b); beyond != c.beyond || d <= 0 {
			t.Errorf("%v, %v: %g, %v", c.a, c.b, d, beyond)
		}
	}
	if m, s := meanStd([]float64{1, 3, math.NaN()}); m != 2 || math.Abs(s-math.Sqrt2) > 1e-12 {
		t.Errorf("mean %g, deviation %g", m, s)
	}
	if d, beyond := difference([]float64{math.NaN()}, []float64{1}); !math.IsNaN(d) || beyond {
		t.Errorf("without numbers: %g, %v", d, beyond)
	}
}

// Lines of progress within a part of the work come now and then, and none at its end.
func TestProgressOfPictures(t *testing.T) {
	var lines []string
	l := Log{Line: func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }}
	every := &seldom{}
	if every.due() {
		t.Error("a line is due at once")
	}
	every.last = every.last.Add(-between)
	if !every.due() || every.due() {
		t.Error("a line is due once after a while")
	}
	synctest.Test(t, func(t *testing.T) {
		count := l.pictures("features", 100)
		for range 10 {
			time.Sleep(between / 4)
			count(10)
		}
	})
	if want := "features, 40 of 100 pictures|features, 80 of 100 pictures"; strings.Join(lines, "|") != want {
		t.Errorf("%q", lines)
	}
}
