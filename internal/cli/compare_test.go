package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompareOfAFolder: without --recipe, networks learn from scratch from folders of
// pictures, too; a wrong key and missing data are told.
func TestCompareOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 24 {
		writePicture(t, filepath.Join(dir, "photos", []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	args := []string{"compare", "attention", "--data", "folder:" + filepath.Join(dir, "photos"), "--depths", "8", "--epochs", "1"}
	out := done(t, append(args, "--out", filepath.Join(dir, "report"))...)
	if !strings.Contains(out, "report.html") {
		t.Errorf("printed %s", out)
	}
	if code, _, errs := cli(t, append(args, "--set", "epoch=3")...); code != exitUsage || !strings.Contains(errs, "epoch") {
		t.Errorf("a wrong key: code %d, %s", code, errs)
	}
	if code, _, errs := cli(t, "compare", "--data", "folder:"+filepath.Join(dir, "none")); code != exitFailed || !strings.Contains(errs, "none") {
		t.Errorf("missing data: code %d, %s", code, errs)
	}
}
