package nearest

import "testing"

func TestName(t *testing.T) {
	names := []string{"resnet18", "resnet34", "resnet20-cifar", "wide_resnet50_2"}
	for _, c := range []struct{ in, want string }{
		{"resnet18", "resnet18"},
		{"resent18", "resnet18"},
		{"resnet-20-cifar", "resnet20-cifar"},
		{"wide_resnet50", "wide_resnet50_2"},
		{"vgg", ""},
		{"", ""},
	} {
		if got := Name(c.in, names); got != c.want {
			t.Errorf("Name(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("distance(kitten, sitting) = %d, want 3", d)
	}
}
