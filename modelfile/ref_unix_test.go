//go:build unix

package modelfile_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
)

// Opening a named pipe would wait for a writer, and a device may never end: both
// are refused without being opened.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.safetensors")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here: ", err)
	}
	for model, want := range map[string]string{
		pipe:               pipe + " is a named pipe, not a regular file",
		"resnet18@" + pipe: pipe + " is a named pipe, not a regular file",
		"/dev/zero":        "/dev/zero is a device, not a regular file",
	} {
		if _, err := modelfile.Open(model, modelfile.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", model, err, want)
		}
	}
}
