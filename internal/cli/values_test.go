package cli

import (
	"os"
	"strings"
	"testing"
)

// TestValuesNoFlagTakes: empty texts and numbers beyond any machine are refused by the
// name of their flag, from wherever they come; a server does not start without the keys
// that an unset variable was to give it.
func TestValuesNoFlagTakes(t *testing.T) {
	for _, c := range []struct{ want, args string }{
		{"--api-keys is empty", "serve --api-keys="},
		{"--tls-cert is empty", "serve --tls-cert= --tls-key="},
		{"--model is empty", "serve --model="},
		{"--model is empty", "predict --model= photo.png"},
		{"--classes is empty", "predict --classes= photo.png"},
		{"--out is empty", "train --out="},
		{"--set is empty", "train --set="},
		{"--threads 4611686018427387904 is above 4096", "eval --threads 4611686018427387904"},
		{"--threads 9223372036854775807 is above 4096", "bench --threads 1,9223372036854775807"},
		{"--batch 9223372036854775807 is above 2147483647", "eval --batch 9223372036854775807"},
		{"--max-pixels 9223372036854775807 is above", "serve --max-pixels 9223372036854775807"},
		{"--seeds 9223372036854775807 is above 4096", "compare degradation --seeds 9223372036854775807"},
		{"--workers 5000 is above 4096", "train --workers 5000"},
	} {
		if code, out, stderr := cli(t, strings.Fields(c.args)...); code != exitUsage || out != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: code %d, want %d and %q\n%s%s", c.args, code, exitUsage, c.want, out, stderr)
		}
	}
	for _, args := range [][]string{{"predict", ""}, {"bench", ""}, {"tune", ""}, {"embed", "a.png", ""}} {
		if code, _, stderr := cli(t, args...); code != exitUsage || !strings.Contains(stderr, "an argument is empty") {
			t.Errorf("%q: code %d\n%s", args, code, stderr)
		}
	}
	for _, name := range []string{"RESNET_SERVE_API_KEYS", "RESNET_SERVE_TLS_CERT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "")
			if code, _, stderr := cli(t, "serve"); code != exitUsage || !strings.Contains(stderr, name) || !strings.Contains(stderr, "is empty") {
				t.Errorf("code %d\n%s", code, stderr)
			}
		})
	}
}

// TestMistakeOfTheRecipeFile: a mistake in a file is told by the file's line, not by a flag
// of the same key.
func TestMistakeOfTheRecipeFile(t *testing.T) {
	for text, want := range map[string]string{"epochs: 1.5\n": `e.yaml:1: epochs: "1.5"`, "epochs: 1\nepochs: 2\n": "e.yaml:2: epochs: is given twice"} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("e.yaml", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := cli(t, "train", "--recipe", "e.yaml", "--epochs", "1", "--print-recipe"); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, want %q\n%s", text, code, want, stderr)
		}
	}
}
