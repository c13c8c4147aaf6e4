package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
)

// TestSpark runs the script that pipes the partitions of Spark through this program, on a
// local cluster of two workers, which are processes: each path of the list has one line.
func TestSpark(t *testing.T) {
	python := peer.Python(t, "pyspark") // which needs a Java runtime, too
	dir := t.TempDir()
	program := filepath.Join(dir, "resnet")
	if text, err := exec.Command("go", "build", "-o", program, "../../cmd/resnet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	list, names := manyPictures(t, 30)
	out := filepath.Join(dir, "scores")
	cmd := exec.Command(python, filepath.Join("..", "..", "docs", "scale", "spark_pipe.py"), list, out, "4", "--", "predict", "-m", fashionModel(t, nil))
	cmd.Env = append(os.Environ(), "RESNET="+program, "PYSPARK_PYTHON="+python, "PYSPARK_SUBMIT_ARGS=--master local-cluster[2,1,1024] pyspark-shell")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	parts, err := filepath.Glob(filepath.Join(out, "part-*"))
	if err != nil || len(parts) != 4 {
		t.Errorf("%q: %v", parts, err)
	}
	var got []string
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range scored(t, string(text)) {
			got = append(got, l.ID)
			if missing := strings.HasSuffix(l.ID, "none.png"); missing != (l.Error != "") {
				t.Errorf("%+v", l)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the results are of %q, the list has %q", got, names)
	}
}
