package models

import (
	"bufio"
	"compress/gzip"
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

func compareKeys(t *testing.T, name, list string, opts ...Option) {
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
	m, err := New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	entries := nn.Params(m)
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
