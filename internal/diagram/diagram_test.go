package diagram

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

func of(t *testing.T, name string) *Diagram {
	t.Helper()
	m, err := models.New(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(name, m, m.Config.Input(1))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// parse reads an SVG picture as XML and returns how often each element and each
// class occurs, and all text. An attribute with a number that is none is an error.
func parse(t *testing.T, svg []byte) (count map[string]int, text string) {
	t.Helper()
	count = map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, text
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					for _, c := range strings.Fields(a.Value) {
						count["."+c]++
					}
				}
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			text += string(e) + "\n"
		}
	}
}

// TestEveryModel: each network of the table, and each variant of a small one, is
// drawn as well-formed XML with no box on another.
func TestEveryModel(t *testing.T) {
	names := models.Names()
	for _, v := range models.Variants() {
		names = append(names, "resnet20-cifar+"+v.Name)
	}
	for _, name := range names {
		if testing.Short() && strings.Contains(name, "1") {
			continue
		}
		m, err := models.New(name)
		if err != nil {
			continue // a variant that does not go with this network
		}
		d, err := New(name, m, m.Config.Input(1))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var svg bytes.Buffer
		if err := d.SVG(&svg); err != nil {
			t.Fatal(err)
		}
		count, text := parse(t, svg.Bytes())
		if count[".box"] < 5 || !strings.Contains(text, fmt.Sprint(shape(m.Input()))) {
			t.Errorf("%s: %d boxes", name, count[".box"])
		}
		if svg.Len() > 200_000 {
			t.Errorf("%s: %d bytes are too many for a picture of what differs", name, svg.Len())
		}
	}
}

// TestResNet18: the structure of the paper's figure 3, right.
func TestResNet18(t *testing.T) {
	d := of(t, "resnet18")
	var parts []string
	for _, it := range d.root.items {
		parts = append(parts, it.name())
	}
	if got := strings.Join(parts, " "); got != "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4 avgpool fc" {
		t.Fatalf("parts %s", got)
	}
	layer2 := d.root.items[5]
	if !layer2.stage() || len(layer2.items) != 2 || layer2.items[0].same(layer2.items[1]) {
		t.Errorf("layer2: %+v", layer2)
	}
	first, second := layer2.items[0], layer2.items[1]
	describe := func(it *item) (s string) {
		for i, c := range it.items {
			s += fmt.Sprintf("%d %s%v/%d; ", i, c.name(), c.from, c.lane)
		}
		return s
	}
	if got, want := describe(first), "0 conv1[-1]/0; 1 bn1[0]/0; 2 relu[1]/0; 3 conv2[2]/0; 4 bn2[3]/0; 5 downsample[-1]/1; 6 +[4 5]/0; 7 relu[6]/0; "; got != want {
		t.Errorf("layer2.0:\n%s, want\n%s", got, want)
	}
	if got, want := describe(second), "0 conv1[-1]/0; 1 bn1[0]/0; 2 relu[1]/0; 3 conv2[2]/0; 4 bn2[3]/0; 5 +[4 -1]/0; 6 relu[5]/0; "; got != want {
		t.Errorf("layer2.1:\n%s, want\n%s", got, want)
	}
	if got := first.items[5].label; got != "1×1, 128, /2" {
		t.Errorf("the projection is %q", got)
	}
	if skips := skipped(second.items); len(skips) != 1 || !hasKey(skips, [2]int{-1, 5}) {
		t.Errorf("skips of layer2.1: %v", skips)
	}
	// Parameters and MACs are those of the summary.
	rows, err := nn.Summarize(mustModel(t, "resnet18"), graph.F32(1, 3, 224, 224))
	if err != nil {
		t.Fatal(err)
	}
	var check func(it *item)
	seen := 0
	check = func(it *item) {
		if i := slices.IndexFunc(rows, func(r nn.Row) bool { return r.Path == it.path }); i >= 0 && it.kind != "ReLU" && it.path != "" {
			seen++
			if rows[i].Params != it.params || rows[i].MACs != it.macs {
				t.Errorf("%s: %d parameters and %d MACs, the summary has %d and %d", it.path, it.params, it.macs, rows[i].Params, rows[i].MACs)
			}
		}
		for _, c := range it.items {
			check(c)
		}
	}
	check(d.root)
	if seen < 50 || d.root.params != 11689512 || d.root.macs != 1814073344 {
		t.Errorf("%d rows compared; in all %d parameters and %d MACs", seen, d.root.params, d.root.macs)
	}
}

func hasKey(m map[[2]int]int, k [2]int) bool { _, ok := m[k]; return ok }

func mustModel(t *testing.T, name string) nn.Module {
	t.Helper()
	m, err := models.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRunsOfBlocks: 35 blocks that are the same stand once in the picture, and
// each by its name on the page.
func TestRunsOfBlocks(t *testing.T) {
	d := of(t, "resnet152")
	var svg, page bytes.Buffer
	if err := d.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	if err := d.HTML(&page); err != nil {
		t.Fatal(err)
	}
	_, text := parse(t, svg.Bytes())
	for _, want := range []string{"×35\n", "layer3.1 … 35\n", "36 blocks", "60,192,808 params"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
	for i := range 36 {
		if !strings.Contains(page.String(), fmt.Sprintf("<b>layer3.%d</b>", i)) {
			t.Errorf("block %d is missing", i)
		}
	}
	if n := strings.Count(page.String(), "<details"); n != 4+50 {
		t.Errorf("%d parts fold", n)
	}
	for _, bad := range []string{"http://", "https://", "src="} {
		if i := strings.Index(page.String(), bad); i >= 0 {
			t.Errorf("the page is not self-contained: %s", page.String()[i:i+60])
		}
	}
}

// TestPlainHasNoShortcut: what the drawing is for.
func TestPlainHasNoShortcut(t *testing.T) {
	for name, want := range map[string]bool{"plain20-cifar": false, "resnet20-cifar": true} {
		var svg bytes.Buffer
		if err := of(t, name).SVG(&svg); err != nil {
			t.Fatal(err)
		}
		count, _ := parse(t, svg.Bytes())
		if got := count[".skip"] > 0; got != want {
			t.Errorf("%s: %d shortcuts", name, count[".skip"])
		}
	}
}

// ownNet is a network without stages: one branch that forks and joins.
type ownNet struct {
	A, B, C *nn.Conv2d
}

func (m *ownNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	x = c.Call(m.A, x)
	return c.GlobalAvgPool(c.Add(c.ReLU(c.Call(m.B, x)), c.Call(m.C, x)))
}

// TestOwnNetwork: custom networks, whatever their form, with text that
// needs escaping.
func TestOwnNetwork(t *testing.T) {
	conv := func(in, out int) *nn.Conv2d { return nn.NewConv2d(in, out, 3, nn.Padding(1)) }
	for name, m := range map[string]nn.Module{
		"<fork> & join": &ownNet{conv(3, 4), conv(4, 8), conv(4, 8)},
		"one layer":     conv(3, 2),
		"stack":         nn.Sequential{conv(3, 8), models.NewBasicBlock(8, 8, models.BlockOptions{}), models.NewBasicBlock(8, 8, models.BlockOptions{}), nn.NewGlobalAvgPool()},
	} {
		d, err := New(name, m, graph.F32(4, 3, 8, 8))
		if err != nil {
			t.Fatal(err)
		}
		var svg, page bytes.Buffer
		if err := d.SVG(&svg); err != nil {
			t.Fatal(err)
		}
		if err := d.HTML(&page); err != nil {
			t.Fatal(err)
		}
		_, text := parse(t, svg.Bytes())
		if !strings.Contains(text, name) || !strings.Contains(page.String(), escape(name)) {
			t.Errorf("%q is missing", name)
		}
	}
	if _, err := New("bad", conv(4, 4), graph.F32(1, 3, 8, 8)); err == nil || !strings.Contains(err.Error(), "channels") {
		t.Errorf("a network that does not fit: %v", err)
	}
}

// TestBrowser opens pages in headless Chromium, folded and unfolded, light and
// dark: no message on the console.
func TestBrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	if testing.Short() {
		t.Skip("starts a browser")
	}
	var page bytes.Buffer
	if err := of(t, "resnet50").HTML(&page); err != nil {
		t.Fatal(err)
	}
	unfolded := strings.ReplaceAll(page.String(), "</script>", "document.getElementById('open').click();document.title='open '+document.querySelectorAll('details[open]').length</script>")
	dir := t.TempDir()
	for scheme := range 2 {
		path := filepath.Join(dir, "page.html")
		if err := os.WriteFile(path, []byte(unfolded), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+dir, "--enable-logging=stderr",
			fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme), "--dump-dom", "file://"+path)
		var messages bytes.Buffer
		cmd.Stderr = &messages
		dom, err := cmd.Output()
		if err != nil {
			t.Skipf("chromium does not run here: %v", err)
		}
		if strings.Contains(messages.String(), "CONSOLE") {
			t.Errorf("the console says %s", messages.String())
		}
		if !strings.Contains(string(dom), "<title>open 20</title>") { // 4 stages and 16 blocks
			t.Errorf("the button did not unfold all: %.300s", dom)
		}
	}
}
