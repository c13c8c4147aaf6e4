package models

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/nn"
)

var torchvision = []string{
	"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
	"resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
}

// TestKeysAreTorchvisions compares the state dicts, key by key in order, with
// lists that torchvision printed.
func TestKeysAreTorchvisions(t *testing.T) {
	for _, name := range torchvision {
		compareKeys(t, name, "torchvision_"+name)
	}
}

// TestKeysAreTimms does it with timm's lists.
func TestKeysAreTimms(t *testing.T) {
	for _, name := range []string{"resnet18d", "resnet50d", "seresnet18", "seresnet50", "ecaresnet50d", "cbamresnet50"} {
		compareKeys(t, name, "families/timm_"+name)
	}
}

func compareKeys(t *testing.T, name, list string) {
	t.Helper()
	f, err := os.Open("testdata/" + list + ".txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	entries := nn.StateDict(m)
	i := 0
	for s := bufio.NewScanner(z); s.Scan(); i++ {
		if i >= len(entries) {
			t.Fatalf("%s: only %d keys, the list has %q next", name, i, s.Text())
		}
		e := entries[i]
		dims := strings.Trim(strings.ReplaceAll(e.Param.Shape.String(), " ", "x"), "[]")
		if got := strings.TrimRight(e.Name+" "+dims, " "); got != s.Text() {
			t.Fatalf("%s: entry %d is %q, the list has %q", name, i, got, s.Text())
		}
	}
	if i != len(entries) {
		t.Errorf("%s: %d keys, the list has %d", name, len(entries), i)
	}
}

func TestParameterCounts(t *testing.T) {
	b, err := os.ReadFile("testdata/parameters.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string]int
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want["torchvision"]) < len(torchvision) || len(want["cifar"]) < 5 {
		t.Fatalf("parameters.json lists too few models: %v", want)
	}
	check := func(name string, want int) {
		m, err := New(name)
		if err != nil {
			t.Error(err)
			return
		}
		if got := nn.NumParams(m); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
	for name, n := range want["torchvision"] {
		check(name, n)
	}
	for name, n := range want["cifar"] {
		check(name+"-cifar", n)
	}
}

// TestMACs compares with the GFLOPS that torchvision's documentation gives for
// its weights, which are multiply-adds in units of 1e9.
func TestMACs(t *testing.T) {
	want := map[string]float64{
		"resnet18": 1.81, "resnet34": 3.66, "resnet50": 4.09, "resnet101": 7.80, "resnet152": 11.51,
		"resnext50_32x4d": 4.23, "resnext101_32x8d": 16.41, "resnext101_64x4d": 15.46,
		"wide_resnet50_2": 11.40, "wide_resnet101_2": 22.75,
		"resnet20-cifar": 0.041, // 40.8 M in the literature
	}
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(Names()) {
		t.Errorf("List has %d models, Names %d", len(list), len(Names()))
	}
	seen := 0
	for _, info := range list {
		w, ok := want[info.Name]
		if !ok {
			continue
		}
		seen++
		digit := 0.01
		if w < 1 {
			digit = 0.001
		}
		if got := float64(info.MACs) / 1e9; math.Abs(got-w) > digit*0.51 {
			t.Errorf("%s: %.4f G multiply-adds, want %g", info.Name, got, w)
		}
	}
	if seen != len(want) {
		t.Errorf("only %d of %d models listed", seen, len(want))
	}
}
