package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/beam/score"
)

// TestFlags: the commands in the documentation have flags of this program and of Beam's
// runners, and each runner has one.
func TestFlags(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	flags(&score.Options{})
	runners := ""
	for _, line := range regexp.MustCompile(`(?m)^ +resnet-beam .*$`).FindAllString(string(text), -1) {
		for _, m := range regexp.MustCompile(`--(\w+) (\S+)`).FindAllStringSubmatch(line, -1) {
			if flag.Lookup(m[1]) == nil {
				t.Errorf("%s: there is no flag --%s", strings.TrimSpace(line), m[1])
			}
			if m[1] == "runner" {
				runners += m[2] + " "
			}
		}
	}
	if runners != "flink spark dataflow " {
		t.Errorf("the documentation has commands for the runners %s", runners)
	}
}
