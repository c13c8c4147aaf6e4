package suggest

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"topk", "tokp", 1}, {"ca", "abc", 3}, {"é", "e", 1},
	} {
		if d := Distance(c.a, c.b); d != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, d, c.want)
		}
		if d := Distance(c.b, c.a); d != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.b, c.a, d, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	models := []string{"resnet18", "resnet20-cifar", "resnet50"}
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{"resnet81", "resnet18", true},
		{"RESNET50", "resnet50", true},
		{"resnet20", "resnet20-cifar", true},
		{"vgg", "resnet18", false},
	} {
		got, ok := Nearest(c.name, models)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("Nearest(%q) = %q, %v", c.name, got, ok)
		}
	}
	if got := Phrase("vgg", []string{"b", "a"}); got != " (there are a, b)" {
		t.Errorf("Phrase = %q", got)
	}
	if got := Phrase("x", nil); got != "" {
		t.Errorf("Phrase of no candidates = %q", got)
	}
}
