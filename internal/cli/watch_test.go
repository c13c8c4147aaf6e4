package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A watched folder: what is there, what comes, what is written slowly, what is broken.
func TestPredictWatch(t *testing.T) {
	every, settle := watchEvery, settleTime
	watchEvery, settleTime = 30*time.Millisecond, 400*time.Millisecond
	defer func() { watchEvery, settleTime = every, settle }()
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "first.png"), 1)
	whole, err := os.ReadFile(filepath.Join(dir, "first.png"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"predict", "--watch", "--json", "-q", dir}, strings.NewReader(""), in, io.Discard)
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	next := func() (name, problem string) {
		if !lines.Scan() {
			t.Fatal("no more lines")
		}
		var line predictionLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(line.Image), line.Error
	}
	expect := func(want string, broken bool) {
		t.Helper()
		if name, problem := next(); name != want || (problem != "") != broken {
			t.Errorf("%s (%s), want %s", name, problem, want)
		}
	}
	expect("first.png", false)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	writePicture(t, filepath.Join(dir, "sub", "second.png"), 2)
	expect("second.png", false)
	slow, err := os.Create(filepath.Join(dir, "slow.png"))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += len(whole)/4 + 1 { // with pauses longer than a look
		if _, err := slow.Write(whole[at:min(at+len(whole)/4+1, len(whole))]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * watchEvery)
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	expect("slow.png", false)
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	expect("broken.png", true)
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), whole, 0o644); err != nil {
		t.Fatal(err)
	}
	expect("broken.png", false)
	cancel()
	go io.Copy(io.Discard, out)
	if c := <-code; c != exitSignal+2 {
		t.Errorf("exit code %d", c)
	}
}

// TestModelWatch: a removed, replaced or overwritten model file is reported once.
func TestModelWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	for what, do := range map[string]func() error{
		"was removed": func() error { return os.Remove(path) },
		"was replaced": func() error {
			if err := os.WriteFile(path+".new", []byte("model"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"was written to": func() error { return os.WriteFile(path, []byte("longer model"), 0o644) },
	} {
		if err := os.WriteFile(path, []byte("model"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, model := range []string{path, "resnet18@" + path} {
			w := newModelWatch(model)
			if got := w.changed(); got != "" {
				t.Errorf("%s: %s before anything happened", what, got)
			}
			if model == path {
				continue
			}
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if got := w.changed(); !strings.Contains(got, path+" "+what) {
				t.Errorf("%q, want %q", got, what)
			}
			if got := w.changed(); got != "" {
				t.Errorf("%s: reported twice: %s", what, got)
			}
		}
	}
	if w := newModelWatch(""); w.changed() != "" {
		t.Error("the model inside the program has no file")
	}
}

func TestPredictWatchMistakes(t *testing.T) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"takes folders": {"predict", "--watch", filepath.Join(dir, "none")}, "leave out -o": {"predict", "--watch", "-o", "x.json", dir}, "a picture is missing": {"predict", "--watch"},
	} {
		if code, _, errs := cli(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
