// Package report writes what an experiment found as one HTML page that needs
// nothing else: charts with readouts, tables beside them, in light and dark, on
// a desk or a phone; and its charts as CSV, PNG and SVG.
package report

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/chart"
)

// Page is a report.
type Page struct {
	Title    string    `json:"title"`
	Question string    `json:"question"` // what the experiment asks
	Findings []string  `json:"findings"`
	Sections []Section `json:"sections"`
	Facts    []Fact    `json:"facts"`   // how and where it was made
	Files    []Text    `json:"files"`   // recipes, word for word
	Partial  string    `json:"partial"` // what is still missing; "" if the report is complete
}

// Fact is a name and its value, such as the data.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Text is a file shown in the page.
type Text struct {
	Name string `json:"name"`
	Body string `json:"body"`
}

// Section is a heading with its content.
type Section struct {
	Title    string     `json:"title"`
	Text     []string   `json:"text"` // paragraphs
	Figures  []*Figure  `json:"figures"`
	Tables   []*Table   `json:"tables"`
	Surfaces []*Surface `json:"surfaces"`
}

// Figure is a chart of curves.
type Figure struct {
	ID      string   `json:"id"` // also the name of its files
	Title   string   `json:"title"`
	XLabel  string   `json:"xlabel"`
	YLabel  string   `json:"ylabel"`
	LogY    bool     `json:"logy,omitempty"`
	Percent bool     `json:"percent,omitempty"` // Y is a share of 1, shown as a percentage
	Series  []Series `json:"series"`
	XNames  []string `json:"xnames,omitempty"` // names of X = 0, 1, …, where X is no number
	Points  bool     `json:"points,omitempty"` // marks without connecting lines
}

// Series is one curve; Err, if any, is the standard deviation over the seeds.
type Series struct {
	Name   string    `json:"name"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"` // null where it is not finite
	Err    []float64 `json:"err,omitempty"`
	Dashed bool      `json:"dashed,omitempty"`
	Color  int       `json:"colour"` // of the palette; series that belong together share a color
}

// Surface is a landscape: Z[row][column] over Y[row] and X[column].
type Surface struct {
	ID    string      `json:"id"`
	Title string      `json:"title"`
	X     []float64   `json:"x"`
	Y     []float64   `json:"y"`
	Z     [][]float64 `json:"z"`
	// ZLabel names the height.
	ZLabel string `json:"zlabel"`
}

// Table is a table of cells.
type Table struct {
	Title string     `json:"title"`
	Heads []string   `json:"heads"`
	Rows  [][]string `json:"rows"`
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	page = template.Must(template.New("page").Parse(pageHTML))
)

// number is a float64 in JSON, null where it is not finite.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

func numbers(v []float64) []number {
	out := make([]number, len(v))
	for i, x := range v {
		out[i] = number(x)
	}
	return out
}

// MarshalJSON writes numbers in short form, and null for numbers that are not finite.
func (s Series) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name   string   `json:"name"`
		X      []number `json:"x"`
		Y      []number `json:"y"`
		Err    []number `json:"err,omitempty"`
		Dashed bool     `json:"dashed,omitempty"`
		Color  int      `json:"colour"`
	}{s.Name, numbers(s.X), numbers(s.Y), numbers(s.Err), s.Dashed, s.Color})
}

// MarshalJSON writes numbers in short form, and null for numbers that are not finite.
func (s Surface) MarshalJSON() ([]byte, error) {
	z := make([][]number, len(s.Z))
	for i, row := range s.Z {
		z[i] = numbers(row)
	}
	return json.Marshal(struct {
		ID     string     `json:"id"`
		Title  string     `json:"title"`
		ZLabel string     `json:"zlabel"`
		X      []number   `json:"x"`
		Y      []number   `json:"y"`
		Z      [][]number `json:"z"`
	}{s.ID, s.Title, s.ZLabel, numbers(s.X), numbers(s.Y), z})
}

// HTML writes the page.
func (p *Page) HTML(w io.Writer) error {
	data, err := json.Marshal(struct {
		Figures  []*Figure  `json:"figures"`
		Surfaces []*Surface `json:"surfaces"`
	}{p.figures(), p.surfaces()})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	err = page.Execute(&b, struct {
		*Page
		CSS  template.CSS
		JS   template.JS
		Data template.JS
	}{p, template.CSS(pageCSS), template.JS(pageJS), template.JS(data)})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func (p *Page) figures() []*Figure {
	list := []*Figure{}
	for _, s := range p.Sections {
		list = append(list, s.Figures...)
	}
	return list
}

func (p *Page) surfaces() []*Surface {
	list := []*Surface{}
	for _, s := range p.Sections {
		list = append(list, s.Surfaces...)
	}
	return list
}

// Save writes report.html and, into the folder charts beside it, each chart as
// CSV, PNG and SVG, replacing what is there.
func (p *Page) Save(dir string) error {
	charts := filepath.Join(dir, "charts")
	if err := os.MkdirAll(charts, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, f := range p.figures() {
		if err := f.save(filepath.Join(charts, f.ID)); err != nil {
			return err
		}
	}
	for _, s := range p.surfaces() {
		if err := s.save(filepath.Join(charts, s.ID)); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(dir, "report.html"), p.HTML)
}

func (f *Figure) save(base string) error {
	if err := atomicfile.Write(base+".csv", f.CSV); err != nil {
		return err
	}
	panel := chart.Panel{Title: f.Title, XLabel: f.XLabel, YLabel: f.YLabel, LogY: f.LogY, XNames: f.XNames, Points: f.Points}
	for _, s := range f.Series {
		y := s.Y
		if f.Percent {
			y = make([]float64, len(s.Y))
			for i, v := range s.Y {
				y[i] = 100 * v
			}
		}
		panel.Series = append(panel.Series, chart.Series{Name: s.Name, X: s.X, Y: y, Dashed: s.Dashed, Color: s.Color + 1})
	}
	if f.Percent {
		panel.YLabel += ", %"
	}
	c, err := chart.Lines(panel)
	if err != nil {
		return err
	}
	return savePictures(c, base)
}

func savePictures(c *chart.Chart, base string) error {
	for _, ending := range []string{".png", ".svg"} {
		if err := c.Save(base + ending); err != nil {
			return err
		}
	}
	return nil
}

// CSV writes the chart's numbers, one line per point: series, x, y, and the standard
// deviation over the seeds, empty if there is none.
func (f *Figure) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"series", "x", "y", "std"}); err != nil {
		return err
	}
	for _, s := range f.Series {
		for i, x := range s.X {
			std := ""
			if s.Err != nil {
				std = text(s.Err[i])
			}
			name := text(x)
			if f.XNames != nil {
				name = f.XNames[int(x)]
			}
			if err := c.Write([]string{s.Name, name, text(s.Y[i]), std}); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

func text(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }

func (s *Surface) save(base string) error {
	if err := atomicfile.Write(base+".csv", s.CSV); err != nil {
		return err
	}
	c, err := chart.Contour(s.Title, s.X, s.Y, s.Z)
	if err != nil {
		return err
	}
	return savePictures(c, base)
}

// CSV writes the landscape, one line per point: x, y, z.
func (s *Surface) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"x", "y", "z"}); err != nil {
		return err
	}
	for i, y := range s.Y {
		for j, x := range s.X {
			if err := c.Write([]string{text(x), text(y), text(s.Z[i][j])}); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}
