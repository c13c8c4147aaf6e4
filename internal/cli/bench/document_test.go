package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
)

const (
	speedPage    = "../../../docs/speed.md"
	speedResults = "../../../docs/speed/results"
)

// TestSpeedDocument keeps the tables of docs/speed.md those of the results
// that docs/speed/run.sh has measured; that script writes them by -update.
func TestSpeedDocument(t *testing.T) {
	b, err := os.ReadFile(speedPage)
	if err != nil {
		t.Fatal(err)
	}
	page, places := string(b), regexp.MustCompile(`(?s)<!-- table: (\S+) -->\n.*?<!-- end -->`)
	tables := map[string]func(*testing.T) string{
		"infer": func(t *testing.T) string { return comparisons(t, "infer-*.json") },
		"int8":  func(t *testing.T) string { return quantized(t, "") },
		"train": func(t *testing.T) string { return comparisons(t, "train-*.json") },
		"avx2":  func(t *testing.T) string { return comparisons(t, "avx2-*.json") },
		"start": starts, "tune": tunings,
		"profile":         func(t *testing.T) string { return profiles(t, "profile-*.json") },
		"zen4/infer":      func(t *testing.T) string { return comparisons(t, "zen4/infer-*.json") },
		"zen4/int8":       func(t *testing.T) string { return quantized(t, "zen4/") },
		"zen4/bf16":       func(t *testing.T) string { return comparisons(t, "zen4/bf16-resnet*.json") },
		"zen4/bf16-train": func(t *testing.T) string { return comparisons(t, "zen4/bf16-train.json") },
		"zen4/train":      func(t *testing.T) string { return comparisons(t, "zen4/train-*.json") },
		"zen4/list":       func(t *testing.T) string { return networks(t, "zen4/list-*.json") },
		"zen3/infer":      func(t *testing.T) string { return comparisons(t, "zen3/infer-*.json") },
		"zen3/int8":       func(t *testing.T) string { return quantized(t, "zen3/") },
		"zen3/train":      func(t *testing.T) string { return comparisons(t, "zen3/train-*.json") },
		"zen3/list":       func(t *testing.T) string { return networks(t, "zen3/list-*.json") },
		"zen4/profile":    func(t *testing.T) string { return profiles(t, "zen4/profile-*.json") },
	}
	used := map[string]bool{}
	made := places.ReplaceAllStringFunc(page, func(s string) string {
		name := places.FindStringSubmatch(s)[1]
		table := tables[name]
		if table == nil {
			t.Fatalf("no table %q can be made", name)
		}
		used[name] = true
		return fmt.Sprintf("<!-- table: %s -->\n%s<!-- end -->", name, table(t))
	})
	if len(used) != len(tables) {
		t.Errorf("the page has the tables %v only", used)
	}
	if made == page {
		return
	}
	if !*update {
		t.Fatalf("%s does not show what is in %s: go test ./internal/cli/bench -run TestSpeedDocument -update", speedPage, speedResults)
	}
	if err := os.WriteFile(speedPage, []byte(made), 0o644); err != nil {
		t.Fatal(err)
	}
}

// results reads all results of a kind, which are JSON lists of T.
func results[T any](t *testing.T, pattern string) (all []T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(speedResults, pattern))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var list []T
		if err := json.Unmarshal(b, &list); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, list...)
	}
	if len(all) == 0 {
		t.Fatalf("no results %s", pattern)
	}
	return all
}

// markdown writes a table; heads that begin with ">" are of columns of numbers.
func markdown(heads []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	var names, rule []string
	for _, h := range heads {
		name, right := strings.CutPrefix(h, ">")
		names = append(names, name)
		rule = append(rule, map[bool]string{true: "---:", false: "---"}[right])
	}
	line(names)
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

var titles = map[string]string{"ort": "onnxruntime", "openvino": "OpenVINO", "torch": "PyTorch"}

func title(m Measurement) string { return titles[m.Program] }

func milliseconds(ms float64) string {
	digits := max(0, 2-int(math.Floor(math.Log10(ms))))
	return fmt.Sprintf("%.*f", min(digits, 2), ms)
}

// fastestPeer returns the peer whose steps are the shortest.
func fastestPeer(c Comparison) Measurement {
	return slices.MinFunc(c.Peers, func(a, b Measurement) int { return int(math.Copysign(1, a.MedianMS-b.MedianMS)) })
}

func comparisons(t *testing.T, pattern string) string {
	return comparison(results[Comparison](t, pattern))
}

func comparison(all []Comparison) string {
	heads := []string{"network", ">batch", ">threads", ">resnet, ms"}
	for _, p := range all[0].Peers {
		heads = append(heads, ">"+title(p)+", ms")
	}
	heads = append(heads, ">ours / best", ">images/s", ">of FMA peak", ">memory: resnet, "+programs(all[0])+", MB")
	var rows [][]string
	for _, c := range all {
		row := []string{c.Model, fmt.Sprint(c.Batch), fmt.Sprint(c.Threads), milliseconds(c.Ours.MedianMS)}
		memory := []string{fmt.Sprintf("%.0f", c.Ours.PeakMB)}
		for _, p := range c.Peers {
			row = append(row, milliseconds(p.MedianMS))
			memory = append(memory, fmt.Sprintf("%.0f", p.PeakMB))
		}
		rows = append(rows, append(row, fmt.Sprintf("**%.2f**", c.Ours.MedianMS/fastestPeer(c).MedianMS), fmt.Sprintf("%.1f", c.Ours.ImagesPS),
			fmt.Sprintf("%.0f %%", 100*c.Ours.PeakShare), strings.Join(memory, ", ")))
	}
	return markdown(heads, rows) + footnote(all)
}

func programs(c Comparison) string {
	var names []string
	for _, p := range c.Peers {
		names = append(names, title(p))
	}
	return strings.Join(names, ", ")
}

// footnote names the programs' versions and the peak.
func footnote(all []Comparison) string {
	c := all[0]
	text := fmt.Sprintf("\nresnet: %s, %s", c.Ours.Version, c.Ours.Variant)
	for _, p := range c.Peers {
		text += fmt.Sprintf("; %s %s: %s", title(p), p.Version, p.Variant)
	}
	var peaks []float64
	for _, c := range all {
		peaks = append(peaks, c.PeakGFLOPS)
	}
	return text + fmt.Sprintf(". FMA peak %.0f GFLOP/s a core.\n", Median(peaks))
}

// quantized adds the time of onnxruntime's float32 network. dir is the folder of a
// machine's results.
func quantized(t *testing.T, dir string) string {
	all := results[Comparison](t, dir+"int8-*.json")
	whole := results[Comparison](t, dir+"infer-*.json")
	var rows [][]string
	for _, c := range all {
		row := []string{c.Model, fmt.Sprint(c.Batch), fmt.Sprint(c.Threads), milliseconds(c.Ours.MedianMS)}
		for _, p := range c.Peers {
			row = append(row, milliseconds(p.MedianMS))
		}
		row = append(row, fmt.Sprintf("**%.2f**", c.Ours.MedianMS/fastestPeer(c).MedianMS))
		for _, f := range whole {
			if strings.HasPrefix(c.Model, f.Model) && f.Batch == c.Batch && f.Threads == c.Threads {
				row = append(row, fmt.Sprintf("%.2f", c.Ours.MedianMS/f.Peers[0].MedianMS))
			}
		}
		rows = append(rows, row)
	}
	heads := []string{"file", ">batch", ">threads", ">resnet, ms"}
	for _, p := range all[0].Peers {
		heads = append(heads, ">"+title(p)+", ms")
	}
	heads = append(heads, ">ours / best", ">ours / onnxruntime's float32")
	return markdown(heads, rows) + footnote(all)
}

// networks has a row for each file, with its numbers of threads side by side.
func networks(t *testing.T, pattern string) string {
	all := results[Comparison](t, pattern)
	heads := []string{"file"}
	var rows [][]string
	for i, c := range all {
		if i == 0 || c.Model != all[i-1].Model {
			rows = append(rows, []string{c.Model})
		}
		row := &rows[len(rows)-1]
		if p := c.Peers[0]; len(rows) == 1 {
			heads = append(heads, fmt.Sprintf(">threads %d: resnet, ms", c.Threads), ">"+title(p)+", ms", ">ours / "+title(p)+"'s")
		}
		*row = append(*row, milliseconds(c.Ours.MedianMS), milliseconds(c.Peers[0].MedianMS), fmt.Sprintf("**%.2f**", c.Ours.MedianMS/c.Peers[0].MedianMS))
	}
	return markdown(heads, rows) + footnote(all)
}

// starts has one result a file.
func starts(t *testing.T) string {
	files, err := filepath.Glob(filepath.Join(speedResults, "start-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no results of starts (%v)", err)
	}
	others := []string{"onnxruntime", "PyTorch"}
	var rows [][]string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Model string               `json:"model"`
			MS    map[string][]float64 `json:"ms"`
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ours := Median(r.MS["resnet"])
		row := []string{r.Model, fmt.Sprintf("%.2f", ours/1e3)}
		for _, o := range others {
			row = append(row, fmt.Sprintf("%.2f", Median(r.MS[o])/1e3))
		}
		for _, o := range others {
			row = append(row, fmt.Sprintf("%.2f", ours/Median(r.MS[o])))
		}
		rows = append(rows, row)
	}
	return markdown([]string{"network", ">resnet, s", ">onnxruntime, s", ">PyTorch, s", ">ours / onnxruntime", ">ours / PyTorch"}, rows)
}

func tunings(t *testing.T) string {
	var rows [][]string
	for _, r := range results[Tuned](t, "tune-*.json") {
		var changes []string
		for _, l := range r.Layers {
			if l.Measured != l.Model {
				changes = append(changes, fmt.Sprintf("%s: %s to %s, %.0f %%", l.Geometry, l.Model, l.Measured, 100*l.Gain()))
			}
		}
		whole := "the same"
		if r.Changed() > 0 {
			whole = fmt.Sprintf("%.2f to %.2f", r.ModelMS, r.MeasuredMS)
			if !r.Worthwhile() {
				whole += ", not kept"
			}
		}
		rows = append(rows, []string{r.Model, fmt.Sprint(r.Batch), fmt.Sprint(r.Threads), r.ISA, whole, strings.Join(changes, "; ")})
	}
	return markdown([]string{"network", ">batch", ">threads", "instructions", "ms, by the model to measured", "layers for which the measurement chose otherwise, and what it saves"}, rows)
}

// profiles sums up the steps of each profile by what they do.
func profiles(t *testing.T, pattern string) string {
	var rows [][]string
	for _, p := range results[NetworkProfile](t, pattern) {
		type part struct {
			name    string
			ms, ops float64
		}
		var parts []*part
		for _, s := range p.Steps {
			name := kindOf(p.Mode, s)
			i := slices.IndexFunc(parts, func(q *part) bool { return q.name == name })
			if i < 0 {
				i = len(parts)
				parts = append(parts, &part{name: name})
			}
			parts[i].ms += s.MS
			parts[i].ops += s.GFLOPS * s.MS
		}
		slices.SortStableFunc(parts, func(a, b *part) int { return int(math.Copysign(1, b.ms-a.ms)) })
		name := fmt.Sprintf("%s, %s, batch %d, threads %d, %s", p.Model, p.Mode, p.Batch, p.Threads, p.ISA)
		for _, q := range parts {
			if q.ms < 0.005*p.MS {
				continue
			}
			share := ""
			if q.ops > 0 && p.PeakGFLOPS > 0 {
				share = fmt.Sprintf("%.0f %%", 100*q.ops/q.ms/(p.PeakGFLOPS*float64(p.Threads)))
			}
			rows = append(rows, []string{name, q.name, milliseconds(q.ms), fmt.Sprintf("%.0f %%", 100*q.ms/p.MS), share})
			name = ""
		}
	}
	return markdown([]string{"network", "what", ">ms", ">share", ">of FMA peak"}, rows)
}

// kindOf names what a step does.
func kindOf(mode string, s StepProfile) string {
	var kind string
	words := strings.Fields(s.Geometry)
	_, op, _ := strings.Cut(s.Name, "(")
	op, phase, _ := strings.Cut(op, ")")
	op = strings.TrimRight(op, "+")
	switch {
	case op == "Linear":
		kind = op
	case len(words) > 3: // n1 56x56x64 3x3 k128 …
		kind = words[2]
		if slices.Contains(words, "s2") {
			kind += " stride 2"
		}
		if s.Algorithm != engine.Direct && s.Algorithm != "" {
			kind += ", " + s.Algorithm
		}
		if phase = strings.TrimSpace(phase); phase != "" && s.Algorithm == "" {
			kind = words[2] + ", " + phase
		}
	case s.GFLOPS > 0:
		kind = op
		if s.Algorithm != "" {
			kind += ", " + s.Algorithm
		}
	case mode == Train:
		kind = s.Phase + ", the rest"
	default:
		kind = "the rest"
	}
	return kind
}
