package score_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/beam/score"
)

func TestMain(m *testing.M) {
	score.Register()
	ptest.Main(m)
}

// picture is a PNG of one color.
func picture(t *testing.T, i int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for p := range 32 * 32 {
		img.SetNRGBA(p%32, p/32, color.NRGBA{uint8(i * 37), uint8(p), uint8(i * 11), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPrism scores files, a shard and what cannot be read on Beam's local runner, and
// compares each line with the library's answer.
func TestPrism(t *testing.T) {
	dir := t.TempDir()
	want := map[string][]byte{}
	list := ""
	for i := range 20 {
		name := filepath.Join(dir, fmt.Sprintf("%d.png", i))
		want[name] = picture(t, i)
		if err := os.WriteFile(name, want[name], 0o644); err != nil {
			t.Fatal(err)
		}
		list += name + "\n"
	}
	var shard bytes.Buffer
	w := tar.NewWriter(&shard)
	for i := range 7 {
		name, content := fmt.Sprintf("in/%d.png", i), picture(t, 100+i)
		want["first/"+name] = content
		for _, file := range []struct {
			name    string
			content []byte
		}{{name, content}, {fmt.Sprintf("in/%d.cls", i), []byte("3")}} {
			if err := w.WriteHeader(&tar.Header{Name: file.name, Size: int64(len(file.content)), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(file.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tarName := filepath.Join(dir, "shard.tar")
	if err := os.WriteFile(tarName, shard.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.png")
	if err := os.WriteFile(broken, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	list += fmt.Sprintf("{\"id\": \"first\", \"path\": %q}\n%s\n%s\n{\"id\": 7}\n", tarName, broken, filepath.Join(dir, "absent.png"))
	unread := []string{broken, filepath.Join(dir, "absent.png"), "7"}
	listName := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(listName, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	score.Build(s, score.Options{List: listName, Out: filepath.Join(dir, "scores"), Files: 3, TopK: 3, Batch: 4, Threads: 1})
	if _, err := prism.Execute(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	m, err := resnet.Open("", resnet.Options{TopK: 3, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "scores-*-of-00003.jsonl"))
	if err != nil || len(files) < 2 {
		t.Fatalf("result files %v, %v", files, err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var l score.Line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			if i := slices.Index(unread, l.ID); i >= 0 {
				if unread = slices.Delete(unread, i, i+1); l.Error == "" || l.Predictions != nil {
					t.Errorf("%s can be read: %+v", l.ID, l)
				}
				continue
			}
			content := want[l.ID]
			delete(want, l.ID)
			if content == nil {
				t.Errorf("the line of %q is unknown, or there are two", l.ID)
				continue
			}
			r, err := m.Classify(context.Background(), resnet.Encoded(l.ID, content))
			if err != nil {
				t.Fatal(err)
			}
			for k, x := range r {
				if len(l.Predictions) != 3 || l.Predictions[k].Class != x.Class || abs(l.Predictions[k].Probability-x.Probability) > 1e-5 {
					t.Errorf("%s: %v, want %v", l.ID, l.Predictions, r)
					break
				}
			}
		}
	}
	if len(want) > 0 || len(unread) > 0 {
		t.Errorf("no lines of %d pictures and of %v", len(want), unread)
	}
}

func abs[T float32 | float64](x T) T { return max(x, -x) }
