package train

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	childEnv  = "RESNET_TRAIN_CHILD"  // the folder of the run that this process is to do
	methodEnv = "RESNET_TRAIN_METHOD" // of learning without labels; empty for a classifier
)

func TestMain(m *testing.M) {
	if out := os.Getenv(childEnv); out != "" {
		child(out)
	}
	os.Exit(m.Run())
}

// child trains, or resumes where a run is, and prints each step.
func child(out string) {
	t := fatal{}
	cfg := Config{Splits: toySplits(t), Out: out, Seed: 7, Threads: 2, Command: []string{"resnet", "train"}}
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" {
			fmt.Println("step", e.Step.Step)
		}
	}
	if _, err := os.Stat(out + "/" + LastFile); err == nil {
		cfg.Resume, cfg.Command = true, []string{"another", "line"}
	} else {
		cfg.Recipe = killConfig(t, os.Getenv(methodEnv), out).Recipe
	}
	if _, err := Run(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	fmt.Println("done")
	os.Exit(0)
}

const killSet = "checkpoint.every_steps=4"

func killConfig(t testing.TB, method, out string) Config {
	if method == "" {
		return toyConfig(t, out, killSet)
	}
	return viewsConfig(t, method, out, killSet, "epochs=3")
}

// fatal is a testing.TB for a process that is no test.
type fatal struct{ testing.TB }

func (fatal) Helper() {}

func (fatal) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(3)
}

// A process that is killed in mid-epoch, again and again, leaves in the end the
// files of one that was left alone: the kill comes between checkpoints, so
// steps are done twice.
func TestKillAndResume(t *testing.T) { killAndResume(t, "") }

// TestKillWithoutLabels: the same of learning without labels, whose network has parts
// that no model file has.
func TestKillWithoutLabels(t *testing.T) {
	for _, method := range []string{"simsiam", "byol"} {
		t.Run(method, func(t *testing.T) { killAndResume(t, method) })
	}
}

func killAndResume(t *testing.T, method string) {
	exe, err := os.Executable()
	if err != nil {
		t.Skipf("the test's own program is not known here: %v", err)
	}
	whole, killed := t.TempDir(), t.TempDir()
	mustRun(t, killConfig(t, method, whole))
	kills := 0
	for round := 0; ; round++ {
		if round > 20 {
			t.Fatal("the run does not come to its end")
		}
		cmd := exec.Command(exe, "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+killed, methodEnv+"="+method)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		steps, done := 0, false
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if done = lines.Text() == "done"; done {
				break
			}
			if steps++; steps == 7 { // of 6 an epoch; the last checkpoint was 1 to 3 steps ago
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				kills++
				break
			}
		}
		err = cmd.Wait()
		if done {
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			break
		}
		if steps < 7 {
			t.Fatalf("the process ended by itself: %v\n%s", err, stderr.String())
		}
	}
	if kills < 2 {
		t.Errorf("killed only %d times", kills)
	}
	sameFiles(t, whole, killed, LastFile, BestFile, RecipeFile)
}
