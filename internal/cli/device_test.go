package cli

import (
	"strings"
	"testing"
)

// TestDeviceNeedsAnotherProgram checks that every command with --device tells how to get
// the program that has devices, and that a mistyped kind is told apart.
func TestDeviceNeedsAnotherProgram(t *testing.T) {
	for _, args := range [][]string{{"predict", "x.png"}, {"embed", "x.png"}, {"eval", "-m", "m"}, {"segment", "-m", "m", "x.png"}, {"train"}, {"bench"}} {
		for device, want := range map[string]string{"gpu:1": "go build ./cmd/resnet-gpu", "cuda": "is none of gpu", "gpu:-1": "whole number"} {
			code, _, errs := cli(t, append(args, "--device", device)...)
			if code != exitUsage || !strings.Contains(errs, want) {
				t.Errorf("%s --device %s: exit code %d: %s", args[0], device, code, errs)
			}
		}
	}
}
