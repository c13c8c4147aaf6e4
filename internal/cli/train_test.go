package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/resnet-go/resnet/train"
)

// smallData writes a folder of two classes, bright and dark, and returns its SPEC.
func smallData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 24 {
		part, class := "train", "dark"
		if i >= 16 {
			part = "val"
		}
		if i%2 == 1 {
			class = "noise"
		}
		writePicture(t, filepath.Join(dir, part, class, string(rune('a'+i))+".png"), i)
	}
	return "folder:" + dir
}

// smallRun are the flags of a run that takes no time.
func smallRun(t *testing.T, out string, more ...string) []string {
	return append([]string{"train", "--model", "resnet8-cifar", "--recipe", "fashion-quick", "--data", smallData(t),
		"--batch", "8", "--epochs", "2", "--out", out}, more...)
}

func TestTrainThenUse(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	text := done(t, smallRun(t, out, "--seed", "5")...)
	best := filepath.Join(out, train.BestFile)
	for _, want := range []string{"trained 2 epochs, 4 steps", "evaluation: top-1 ", "resnet eval --model " + best + " --data folder:"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, f := range []string{train.LastFile, train.BestFile, train.RecipeFile, train.ResultsFile, train.CurvesPNG} {
		if _, err := os.Stat(filepath.Join(out, f)); err != nil {
			t.Error(err)
		}
	}
	var s summary
	if err := json.Unmarshal([]byte(done(t, "summary", "--json", best)), &s); err != nil {
		t.Fatal(err)
	}
	if s.File.Seed != 5 || !strings.Contains(s.File.Recipe, "epochs: 2") || s.File.Data.Hash == "" || len(s.File.Classes) != 2 {
		t.Errorf("the file says %+v", s.File)
	}

	// eval on the same data finds what train found.
	spec := regexp.MustCompile(`--data (\S+)`).FindStringSubmatch(text)[1]
	e := evaluated(t, "-m", best, "-d", spec, "--split", "val")
	if got, want := e.Single.Top1, s.File.Metrics["val.top1"]; got != want {
		t.Errorf("eval finds top-1 %v, train found %v", got, want)
	}
	if d := e.Single.Loss - s.File.Metrics["val.loss"]; d > 1e-4 || d < -1e-4 {
		t.Errorf("eval finds loss %v, train found %v", e.Single.Loss, s.File.Metrics["val.loss"])
	}
}

func TestTrainJSON(t *testing.T) {
	code, out, errs := cli(t, smallRun(t, filepath.Join(t.TempDir(), "run"), "--json", "--quiet")...)
	if code != exitDone || errs != "" {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	epochs, last := 0, trainLine{}
	for line := range strings.Lines(out) {
		last = trainLine{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if last.Epoch != nil {
			epochs++
		}
	}
	if epochs != 2 || last.Result == nil || last.Result.Epochs != 2 || last.Result.BestFile == "" {
		t.Errorf("%d epochs, last line %+v", epochs, last)
	}
}

// Ctrl-C in the middle, then --resume, gives the file that an unbroken run gives.
func TestInterruptedTrainingGoesOn(t *testing.T) {
	dir := t.TempDir()
	spec := smallData(t)
	args := func(out string) []string {
		return []string{"train", "--model", "resnet8-cifar", "--recipe", "fashion-quick", "--data", spec,
			"--batch", "8", "--epochs", "24", "--set", "eval_every=24", "--out", out}
	}
	broken := filepath.Join(dir, "broken")
	cmd := program(t, args(broken)...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "epoch 3/") {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the exit code is checked below
	if code := cmd.ProcessState.ExitCode(); code != exitSignal+2 || !strings.Contains(said.String(), "--resume --out "+broken) {
		t.Fatalf("exit code %d, stderr\n%s", code, said.String())
	}
	done(t, "train", "--resume", "--out", broken, "--quiet")
	whole := filepath.Join(dir, "whole")
	done(t, append(args(whole), "--quiet")...)
	var loss [2]string
	for i, run := range []string{broken, whole} {
		b, err := os.ReadFile(filepath.Join(run, train.ResultsFile))
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(strings.TrimSpace(string(b)), "\n")
		loss[i] = strings.Join(strings.Split(all[len(all)-1], ",")[:4], ",")
	}
	if loss[0] != loss[1] {
		t.Errorf("last epoch %s after an interruption, %s without", loss[0], loss[1])
	}
}

func TestTrainMistakes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // without --out, runs go to the working folder
	run := filepath.Join(dir, "run")
	done(t, smallRun(t, run, "--quiet")...)
	one := filepath.Join(dir, "one")
	writePicture(t, filepath.Join(one, "train", "cat", "a.png"), 1)
	writePicture(t, filepath.Join(one, "train", "cat", "b.png"), 2)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--model resnt18", exitUsage, `did you mean "resnet18"?`},
		{"--model " + dir + "/none.safetensors --data " + smallData(t), exitFailed, "none.safetensors"},
		{"--recipe cifr", exitUsage, `did you mean "cifar"?`},
		{"--recipe " + dir + "/none.yaml", exitFailed, "none.yaml"},
		{"--set lr.peek=1", exitUsage, `did you mean "peak"?`},
		{"--set epochs", exitUsage, "epochs"},
		{"--epochs 0", exitUsage, "epochs"},
		{"--lr x", exitUsage, `"x"`},
		{"--data idxx:here", exitUsage, `did you mean "idx"?`},
		{"--data folder:" + one + " --out " + dir + "/a", exitFailed, "class"},
		{"--out " + run, exitFailed, "already holds a run"},
		{"--resume", exitUsage, "--resume needs --out"},
		{"--resume --out " + run + " --lr 1", exitUsage, "--lr cannot be combined with --resume"},
		{"--resume --out " + dir + "/nowhere", exitFailed, "nowhere"},
		{"--epochs 1 --lr 1e9 --data " + smallData(t) + " --model resnet8-cifar --recipe fashion-quick --batch 8 --set lr.warmup=0 --set optimizer.nesterov=false --set epochs=8 --out " + dir + "/c", exitFailed, "lr.peak"},
	} {
		code, _, errs := cli(t, append([]string{"train"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("resnet train %s: exit code %d, want %d, stderr %q, want %q", c.args, code, c.code, errs, c.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "runs", "*")); err != nil || len(left) > 0 {
		t.Errorf("runs that failed left %v, %v", left, err)
	}
	if text := done(t, "train", "--print-recipe", "--epochs", "3", "--lr", "0.2"); !strings.Contains(text, "epochs: 3") || !strings.Contains(text, "peak: 0.2") {
		t.Errorf("recipe\n%s", text)
	}
}
