package weights_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// named returns tensors of these names.
func named(names ...string) map[string]*tensor.Tensor {
	m := map[string]*tensor.Tensor{}
	for _, n := range names {
		m[n] = tensor.New(1)
	}
	return m
}

func TestKeyMap(t *testing.T) {
	for _, c := range []struct{ rules, from, to string }{
		{"linear.=fc.", "linear.weight linear.bias linear2.weight", "fc.bias fc.weight linear2.weight"},
		{"a.b=c", "a.b a.b.c", "a.b.c c"},
		{"model.=", "model.conv1.weight fc.bias", "conv1.weight fc.bias"},
		{"head.=-", "head.weight head.bias x", "x"},
		{"*.*.convs.*.=*.*.conv.*.", "layer1.0.convs.3.weight layer1.convs.3.weight", "layer1.0.conv.3.weight layer1.convs.3.weight"},
		{"**.shortcut.0.=**.downsample.0.", "layer2.0.shortcut.0.weight shortcut.0.bias", "downsample.0.bias layer2.0.downsample.0.weight"},
		{"**.weight=**.w", "a.b.weight weight", "a.b.w w"},
		{"a.=b. b.=c.", "a.x", "c.x"}, // in order
		{"a=b b=a", "a x", "a x"},
	} {
		k, err := weights.ParseKeyMap(strings.Fields(c.rules)...)
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		got, err := k.Apply(named(strings.Fields(c.from)...))
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		if g := strings.Join(slices.Sorted(maps.Keys(got)), " "); g != c.to {
			t.Errorf("%s makes of %s: %s, want %s", c.rules, c.from, g, c.to)
		}
	}
}

func TestKeyMapErrors(t *testing.T) {
	for rule, want := range map[string]string{
		"fc": "OLD=NEW", "a=b=c": "OLD=NEW", "=b": "empty", "a.=b": "both end", "a=": "only removes a beginning",
		"a..b=c": "no part of a name", "a*=b": "stand alone", "*.a=**.b": "differ", "a=*": "differ",
		"*.*.*.*.*=x": "more than 4 stars",
	} {
		if _, err := weights.ParseKeyMap(rule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", rule, err, want)
		}
	}
	for rule, want := range map[string]string{
		"linaer.=fc.": `did you mean "linear"?`, "a.=b.": "would both be named b.x", "linear.=": "would both be named",
	} {
		k, err := weights.ParseKeyMap(rule)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Apply(named("linear.weight", "weight", "a.x", "b.x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", rule, err, want)
		}
	}
	k, err := weights.ParseKeyMap("a.=")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Apply(named("a.")); err == nil || !strings.Contains(err.Error(), "leaves nothing") {
		t.Errorf("a name without rest gives %v", err)
	}
}

func TestReadKeyMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.txt")
	if err := os.WriteFile(path, []byte("# of that program\nlinear. = fc.  # the head\n\nx.=-\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := weights.ReadKeyMap(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Apply(named("linear.bias", "x.y"))
	if err != nil || k.Len() != 2 || len(got) != 1 || got["fc.bias"] == nil {
		t.Errorf("%d rules make %v, %v", k.Len(), got, err)
	}
	if err := os.WriteFile(path, []byte("a=b\n\nrubbish\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.ReadKeyMap(path); err == nil || !strings.Contains(err.Error(), "rules.txt:3: ") {
		t.Errorf("a bad line gives %v", err)
	}
}

func FuzzKeyMap(f *testing.F) {
	f.Add("linear.=fc.", "linear.weight")
	f.Add("**.a.**.b.=**.c.**.", "x.a.y.a.b.z")
	f.Add("*.*=-", "a.b")
	f.Fuzz(func(t *testing.T, rule, name string) {
		k, err := weights.ParseKeyMap(rule)
		if err != nil {
			return
		}
		in := named(name, "conv1.weight")
		out, err := k.Apply(in)
		if err == nil && len(out) > len(in) {
			t.Errorf("%q makes %d tensors of %d", rule, len(out), len(in))
		}
	})
}
