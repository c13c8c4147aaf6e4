package models

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/nn"
)

var update = flag.Bool("update", false, "write docs/models.md anew")

// published are figures of papers, in millions of parameters and 1e9
// multiply-adds ("FLOPs" there); 0 where the paper has none. They have so few
// digits that the last may be rounded either way. off explains why ours differs by more.
var published = map[string]struct {
	params, macs float64
	where        string
	off          string
}{
	"resnet18":            {0, 1.8, "He et al. 2015, table 1", ""},
	"resnet34":            {0, 3.6, "He et al. 2015, table 1", ""},
	"resnet50":            {0, 3.8, "He et al. 2015, table 1", v15},
	"resnet101":           {0, 7.6, "He et al. 2015, table 1", v15},
	"resnet152":           {0, 11.3, "He et al. 2015, table 1", v15},
	"resnext50_32x4d":     {25.0, 4.2, "Xie et al. 2017, table 1", ""},
	"resnet20-cifar":      {0.27, 0, "He et al. 2015, table 6", ""},
	"resnet32-cifar":      {0.46, 0, "He et al. 2015, table 6", ""},
	"resnet44-cifar":      {0.66, 0, "He et al. 2015, table 6", ""},
	"resnet56-cifar":      {0.85, 0, "He et al. 2015, table 6", ""},
	"resnet110-cifar":     {1.7, 0, "He et al. 2015, table 6", ""},
	"resnet1202-cifar":    {19.4, 0, "He et al. 2015, table 6", ""},
	"preresnet110-cifar":  {1.7, 0, "Zagoruyko & Komodakis 2016, table 5", ""},
	"preresnet164-cifar":  {1.7, 0, "Zagoruyko & Komodakis 2016, table 5", ""},
	"preresnet1001-cifar": {10.2, 0, "Zagoruyko & Komodakis 2016, table 5", deep},
	"resnet164-cifar":     {1.7, 0, "He et al. 2016b, table 4", ""},
	"resnet1001-cifar":    {10.2, 0, "He et al. 2016b, table 4", deep},
	"wrn-16-4":            {2.7, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-40-1":            {0.6, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-40-2":            {2.2, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-40-4":            {8.9, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-16-8":            {11.0, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-22-8":            {17.2, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
	"wrn-28-10":           {36.5, 0, "Zagoruyko & Komodakis 2016, table 4", ""},
}

const v15 = "the paper strides in the first 1×1 convolution; this is v1.5, as in torchvision, and V1() is the paper's"

const deep = "the paper's 10.2 M is 1 % less than what its description gives, in PyTorch, too"

// figure is what PyTorch counts (testdata/gen/figures.py).
type figure struct {
	Params    int
	MACs      int64
	Source    string
	Published float64 // by torchvision with its weights, 1e9 multiply-adds
}

// TestFigures: every network of the table has exactly the parameters and
// multiply-adds that PyTorch counts in the reference, and the papers' figures to
// their precision. docs/models.md, which describes both, is up to date.
func TestFigures(t *testing.T) {
	b, err := os.ReadFile("testdata/figures.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		Versions map[string]string
		Networks map[string]figure
	}
	if err := json.Unmarshal(b, &reference); err != nil {
		t.Fatal(err)
	}
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(Names()) {
		t.Errorf("List has %d networks, Names %d", len(list), len(Names()))
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, `# The networks and their figures

Written by `+"`go test ./models -run Figures -update`"+`; the same test fails if a number differs from its source.

Parameters are without running statistics. MACs are multiply-adds of convolutions and linear layers for one picture of the input's size, at inference; papers often call them FLOPs. Both were counted by PyTorch %s itself in the reference of each row (torchvision %s, timm %s, or PyTorch code written after the paper, where neither has the network) and are equal to the digit. The last column has what the paper or torchvision's documentation prints.

| network | input | parameters | MACs | equal to | published |
| --- | --- | ---: | ---: | --- | --- |
`, reference.Versions["torch"], reference.Versions["torchvision"], reference.Versions["timm"])
	var notes []string
	for _, info := range list {
		want, ok := reference.Networks[info.Name]
		if !ok {
			t.Errorf("%s has no reference: add it to testdata/gen/figures.py", info.Name)
			continue
		}
		if info.Params != want.Params || info.MACs != want.MACs {
			t.Errorf("%s has %d parameters and %d multiply-adds, %s %d and %d", info.Name, info.Params, info.MACs, want.Source, want.Params, want.MACs)
		}
		var cells []string
		if want.Published != 0 {
			if math.Abs(float64(info.MACs)/1e9-want.Published) > 0.00051 {
				t.Errorf("%s: %d multiply-adds, torchvision publishes %v G", info.Name, info.MACs, want.Published)
			}
			cells = append(cells, fmt.Sprintf("%v G (torchvision)", want.Published))
		}
		if p, ok := published[info.Name]; ok {
			var figures []string
			exact := true
			for _, c := range []struct {
				paper, ours float64
				unit        string
			}{{p.params, float64(info.Params) / 1e6, "M"}, {p.macs, float64(info.MACs) / 1e9, "G"}} {
				if c.paper == 0 {
					continue
				}
				figures = append(figures, fmt.Sprintf("%v %s", c.paper, c.unit))
				digit := 0.1
				if c.paper < 1 && c.unit == "M" && p.where[0] == 'H' {
					digit = 0.01
				}
				exact = exact && math.Abs(c.ours-c.paper) < digit
			}
			if exact != (p.off == "") {
				t.Errorf("%s: the paper has %v, ours %d parameters and %d multiply-adds; the reason on file is %q", info.Name, figures, info.Params, info.MACs, p.off)
			}
			cell := strings.Join(figures, ", ") + " (" + p.where + ")"
			if p.off != "" {
				cell += " *"
				notes = append(notes, fmt.Sprintf("- `%s`: %s.", info.Name, p.off))
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(&page, "| `%s` | %d×%d×%d | %s | %s | %s | %s |\n", info.Name, info.Input[0], info.Input[1], info.Input[2],
			term.Count(info.Params), term.Count(info.MACs), want.Source, strings.Join(cells, "; "))
	}
	fmt.Fprintf(&page, "\n\\* differs from the paper:\n\n%s\n", strings.Join(notes, "\n"))
	for name := range published {
		if _, ok := reference.Networks[name]; !ok {
			t.Errorf("a paper's figure for %s, which is no network", name)
		}
	}

	path := filepath.Join("..", "docs", "models.md")
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s is out of date: run this test with -update", path)
	}
}

// TestV1 is the paper's ResNet-50: the stride on the first 1x1 convolution saves
// what its table lists.
func TestV1(t *testing.T) {
	for name, want := range map[string]float64{"resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3} {
		if got := macs(t, name, V1()) / 1e9; math.Abs(got-want) > 0.1 {
			t.Errorf("%s has %.3f G multiply-adds, the paper %v", name, got, want)
		}
	}
}

func macs(t *testing.T, name string, opts ...Option) float64 {
	t.Helper()
	m, err := New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := nn.Summarize(m, m.Config.Input(1))
	if err != nil {
		t.Fatal(err)
	}
	return float64(rows[0].MACs)
}
