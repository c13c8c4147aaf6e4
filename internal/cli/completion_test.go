package cli

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a shell gets when TAB is pressed after the last word.
func TestCompletion(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"photos/train", "phones"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("photo.zip", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string // the last one is what was typed
		want []string // among the answers
		not  []string
	}{
		{[]string{"summary", "resn"}, []string{"resnet18", "resnet50", "resnet20-cifar"}, []string{"wide_resnet50_2"}},
		{[]string{"summary", "resnet18", "resn"}, nil, []string{"resnet18"}},
		{[]string{"bench", "resnet18", "resne"}, []string{"resnet50"}, nil},
		{[]string{"tune", "wide"}, []string{"wide_resnet50_2"}, nil},
		{[]string{"train", "--model", "resnet1"}, []string{"resnet18", "resnet101"}, []string{"resnet50"}},
		{[]string{"train", "-m", "resnet1"}, []string{"resnet18"}, nil},
		{[]string{"train", "--model=resnet1"}, []string{"resnet18"}, nil},
		{[]string{"convert", "--model", "resnet1"}, []string{"resnet18"}, nil},
		{[]string{"predict", "--model", "resnet1"}, []string{"resnet18@"}, []string{"resnet18"}},
		{[]string{"predict", "--model", "resnet18@ph"}, []string{"resnet18@photo.zip", "resnet18@photos/"}, nil},
		{[]string{"pull", "torchvision/resnet5"}, []string{"torchvision/resnet50"}, nil},
		{[]string{"predict", "--model", "keras/resnet50"}, []string{"keras/resnet50"}, nil},
		{[]string{"eval", "--model", "photo"}, nil, []string{"resnet18@"}},
		{[]string{"train", "--data", ""}, []string{"folder:", "cifar10:", "multilabel:", "masks:"}, nil},
		{[]string{"train", "--data", "fo"}, []string{"folder:"}, []string{"idx:"}},
		{[]string{"train", "--data", "folder:ph"}, []string{"folder:photos/", "folder:phones/", "folder:photo.zip"}, nil},
		{[]string{"train", "--data", "folder:photos/"}, []string{"folder:photos/train/"}, nil},
		{[]string{"train", "--val-data", "fo"}, []string{"folder:"}, nil},
		{[]string{"eval", "--data", "fo"}, []string{"folder:"}, nil},
		{[]string{"quantize", "--calib", "fo"}, []string{"folder:"}, nil},
		{[]string{"data", "check", "co"}, []string{"coco:"}, nil},
		{[]string{"data", "split", "fo"}, []string{"folder:"}, nil},
		{[]string{"train", "--set", "lr."}, []string{"lr.peak=", "lr.schedule=", "lr.warmup="}, []string{"epochs="}},
		{[]string{"train", "-s", "optimizer.name=ad"}, []string{"optimizer.name=adam", "optimizer.name=adamw"}, []string{"optimizer.name=sgd"}},
		{[]string{"compare", "--set", "ep"}, []string{"epochs="}, nil},
		{[]string{"compare", "degr"}, []string{"degradation"}, nil},
		{[]string{"predict", "--bf16="}, []string{"native", "emulate", "off"}, nil},
		{[]string{"train", "--bf16=n"}, []string{"native"}, nil},
		{[]string{"help", "tr"}, []string{"train"}, nil},
	} {
		code, out, errs := cli(t, append([]string{cobra.ShellCompNoDescRequestCmd}, c.args...)...)
		if code != exitDone {
			t.Errorf("%q: exit code %d: %s", c.args, code, errs)
			continue
		}
		got := strings.Split(strings.TrimSpace(out), "\n")
		for _, w := range c.want {
			if !slices.ContainsFunc(got, func(s string) bool { return s == w || strings.HasSuffix(s, "="+w) }) {
				t.Errorf("%q: no %q among %q", c.args, w, got)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%q: %q among %q", c.args, w, got)
			}
		}
	}
}

// Every flag that takes a model, data or a recipe's key is completed.
func TestEveryModelAndDataFlagIsCompleted(t *testing.T) {
	n := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			switch f.Name {
			case "model", "data", "val-data", "calib", "set", "bf16", "recipe":
			default:
				return
			}
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok && !cmd.Hidden {
				t.Errorf("%s --%s is not completed", cmd.CommandPath(), f.Name)
			}
			n++
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(new(app).root())
	if n < 20 {
		t.Errorf("only %d flags", n)
	}
}
