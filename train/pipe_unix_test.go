//go:build unix

package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipesInTheFolderOfARun: a named pipe among the files of a run is an error, and not
// waited for.
func TestPipesInTheFolderOfARun(t *testing.T) {
	for _, name := range []string{lockFile, LastFile, ResultsFile} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Skip(err)
		}
		for _, resume := range []bool{false, true} {
			cfg := toyConfig(t, dir)
			cfg.Resume = resume
			if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+" is a named pipe") {
				t.Errorf("%s, resume %v: error %v", name, resume, err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().IsRegular() {
			t.Errorf("%s: the pipe is gone (%v)", name, err)
		}
	}
}
