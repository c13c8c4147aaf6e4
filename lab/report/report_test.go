package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func sample() *Page {
	return &Page{
		Title: "A <b>title</b>", Question: "What & why?", Findings: []string{"One is </script> lower."},
		Sections: []Section{{
			Title: "Curves", Text: []string{"Text."},
			Figures: []*Figure{
				{ID: "error", Title: "Error", XLabel: "epoch", YLabel: "error", Percent: true, Series: []Series{
					{Name: "a", X: []float64{1, 2, 3}, Y: []float64{.9, .5, .25}, Err: []float64{.01, .02, .03}},
					{Name: "b", X: []float64{1, 2, 3}, Y: []float64{.9, math.NaN(), .6}, Dashed: true, Color: 1},
				}},
				{ID: "norm", Title: "Norm", XLabel: "layer", YLabel: "norm", LogY: true, Series: []Series{{Name: "a", X: []float64{1, 2}, Y: []float64{1e-4, 10}}}},
				{ID: "final", Title: "Final", XLabel: "variant", YLabel: "error", Points: true, XNames: []string{"one", "two"}, Series: []Series{{Name: "test", X: []float64{0, 1}, Y: []float64{.1, .2}, Err: []float64{.01, .01}}}},
			},
			Surfaces: []*Surface{{ID: "land", Title: "Land", ZLabel: "loss", X: []float64{-1, 0, 1}, Y: []float64{-1, 0, 1}, Z: [][]float64{{3, 2, 3}, {2, .1, 2}, {3, 2, 1e30}}}},
			Tables:   []*Table{{Heads: []string{"x", "y"}, Rows: [][]string{{"1", "<2>"}}}},
		}},
		Facts: []Fact{{"data", "made up"}}, Files: []Text{{"recipe", "name: x\n"}},
	}
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := sample().HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"A &lt;b&gt;title", "&lt;/script&gt; lower", "&lt;2&gt;", "prefers-color-scheme: dark"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	m := regexp.MustCompile(`const DATA = (.*);</script>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no data")
	}
	var data struct {
		Figures []struct {
			ID     string
			Series []struct{ Y []*float64 }
		}
		Surfaces []struct{ Z [][]float64 }
	}
	if err := json.Unmarshal([]byte(m[1]), &data); err != nil {
		t.Fatal(err)
	}
	if y := data.Figures[0].Series[1].Y; y[1] != nil || *y[2] != .6 || data.Surfaces[0].Z[1][1] != .1 {
		t.Errorf("data %+v", data)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	if err := sample().Save(dir); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "charts", "*"))
	if len(files) != 12 {
		t.Errorf("files %v", files)
	}
	b, err := os.ReadFile(filepath.Join(dir, "charts", "final.csv"))
	if err != nil || string(b) != "series,x,y,std\ntest,one,0.1,0.01\ntest,two,0.2,0.01\n" {
		t.Errorf("final.csv is %q, %v", b, err)
	}
}

// TestChromium opens the page, which sets data-ready when all is drawn, and
// looks for messages on the console.
func TestChromium(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			browser = p
		}
	}
	if browser == "" {
		t.Skip("no Chromium")
	}
	dir := t.TempDir()
	if err := sample().Save(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=3000", "--dump-dom", "file://"+filepath.Join(dir, "report.html"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("Chromium does not start: %v", err)
	}
	if strings.Contains(errs.String(), "CONSOLE") {
		t.Errorf("the console says %s", errs.String())
	}
	dom := string(out)
	if !strings.Contains(dom, `data-ready="true"`) {
		t.Fatal("the script did not come to its end")
	}
	if n := strings.Count(dom, "<path d=\"M"); n < 3 {
		t.Errorf("%d curves are drawn", n)
	}
	if !strings.Contains(dom, "25.00 % ± 3.00") {
		t.Error("no table of numbers beside the chart")
	}
}
