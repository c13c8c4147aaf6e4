package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTrainAloneInMany: processes that mpirun has started, but that cannot train together,
// name the program that can.
func TestTrainAloneInMany(t *testing.T) {
	for size, want := range map[string]bool{"": false, "1": false, "2": true} {
		t.Setenv("PMI_SIZE", size)
		code, _, errs := cli(t, "train", "--model", "resnet8-cifar", "--set", "iterations=1", "--no-check", "--out", filepath.Join(t.TempDir(), "out"))
		if got := strings.Contains(errs, "PMI_SIZE is 2") && strings.Contains(errs, "resnet-mpi"); code != exitDone || got != want {
			t.Errorf("PMI_SIZE=%s: exit code %d\n%s", size, code, errs)
		}
	}
}
