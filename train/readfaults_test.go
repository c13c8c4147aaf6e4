package train

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/resnet-go/resnet/internal/steadyfile"
)

// Each read of a resumed run's files fails, one after another, or finds the file too
// short: the run then ends in the same files as one that was never stopped, from the
// checkpoint before if need be, or it ends with an error that names the file and the
// cause, and is resumed when the disk reads again.
func TestResumeWithFailingReads(t *testing.T) {
	whole := t.TempDir()
	mustRun(t, toyConfig(t, whole, "checkpoint.every_steps=2"))
	stopped := interruptedRun(t)
	var mu sync.Mutex // of reads
	for name, fault := range map[string]error{"I/O error": syscall.EIO, "too short": io.EOF} {
		t.Run(name, func(t *testing.T) {
			dir, reads, failAt, failed := "", 0, 0, ""
			restore := steadyfile.Inject(func(of string, _ int64, _ int) error {
				mu.Lock()
				defer mu.Unlock()
				if dir == "" || filepath.Dir(of) != dir {
					return nil
				}
				if reads++; reads != failAt {
					return nil
				}
				failed = filepath.Base(of)
				if fault == io.EOF {
					return io.EOF
				}
				return &os.PathError{Op: "read", Path: of, Err: fault}
			})
			defer restore()
			run := func(at int) (log string, err error) {
				dir, reads, failAt, failed = filepath.Join(t.TempDir(), "run"), 0, at, ""
				if err := os.CopyFS(dir, os.DirFS(stopped)); err != nil {
					t.Fatal(err)
				}
				return resume(t, dir)
			}
			if _, err := run(0); err != nil {
				t.Fatal(err)
			}
			all := reads
			if all < 6 {
				t.Fatalf("a resumed run reads its files %d times", all)
			}
			step := max(1, all/6)
			if os.Getenv("RESNET_NIGHTLY") != "" {
				step = 1
			}
			refused, warned, unseen := 0, 0, 0
			for at := 1; at <= all; at += step {
				log, err := run(at)
				switch {
				case failed == "":
					t.Fatalf("read %d of %d was not made", at, all)
				case err != nil:
					refused++
					cause := errors.Is(err, fault) || errors.Is(err, steadyfile.ErrChanged)
					if !cause || !strings.Contains(err.Error(), failed) {
						t.Errorf("read %d of %d, of %s, failed: %v", at, all, failed, err)
					}
					failAt = 0
					if _, err := resume(t, dir); err != nil {
						t.Fatalf("after the error of read %d: %v", at, err)
					}
				case strings.Contains(log, "warning: ") && strings.Contains(log, failed):
					warned++
				default:
					unseen++
				}
				sameFiles(t, whole, dir, LastFile, BestFile)
			}
			t.Logf("of %d reads, every %d. failed: %d end the run, %d are warned of, %d are not needed", all, step, refused, warned, unseen)
			if warned == 0 {
				t.Error("no failed read led to the checkpoint before")
			}
		})
	}
}
