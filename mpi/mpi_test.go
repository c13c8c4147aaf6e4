package mpi_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/cli"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/mpi"
)

// The variables that make the test binary a program of its own: what it does, and the
// folder for the numbers of its processes.
const (
	programEnv = "RESNET_TEST_PROGRAM"
	pidsEnv    = "RESNET_TEST_PIDS"
)

func TestMain(m *testing.M) {
	connect := func() (cli.Ranks, error) {
		w, err := mpi.Open()
		if err != nil {
			return nil, err
		}
		return w, nil
	}
	switch os.Getenv(programEnv) {
	case "":
		os.Exit(m.Run())
	case "plain":
		cli.Main()
	case "exchange":
		mpi.Exit(exchange())
	case "other seed":
		if rank() == "1" {
			os.Args = append(os.Args, "--seed", "5")
		}
	}
	if dir := os.Getenv(pidsEnv); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, rank()), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			panic(err)
		}
	}
	mpi.Exit(cli.MainOn(cli.Engines{Ranks: connect}))
}

// rank returns the number that the launcher gave this process.
func rank() string { return os.Getenv("PMI_RANK") + os.Getenv("OMPI_COMM_WORLD_RANK") }

// exchange checks what ranks send each other, and returns the exit code.
func exchange() int {
	w, err := mpi.Open()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	n, me := w.Size(), w.Rank()
	for round := range 20 {
		if round == 15 { // and now in several calls
			*mpi.AtOnce = 10_000
		}
		all, err := w.Share(bytes.Repeat([]byte{byte(me)}, me*round*1000))
		for r := range all {
			if !bytes.Equal(all[r], bytes.Repeat([]byte{byte(r)}, r*round*1000)) {
				err = fmt.Errorf("round %d: the message of rank %d is wrong", round, r)
			}
		}
		size := func(from, to int) int { return (from*7 + to*3) * round * 100 }
		send, recv := make([][]float32, n), make([][]float32, n)
		for r := range n {
			send[r], recv[r] = slices.Repeat([]float32{float32(me*n + r)}, size(me, r)), make([]float32, size(r, me))
		}
		err = errors.Join(err, w.AllToAll(send, recv))
		for r := range n {
			if !slices.Equal(recv[r], slices.Repeat([]float32{float32(r*n + me)}, size(r, me))) {
				err = errors.Join(err, fmt.Errorf("round %d: the numbers of rank %d are wrong", round, r))
			}
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	if err := w.AllToAll(make([][]float32, n+1), make([][]float32, n)); err == nil {
		fmt.Println("parts for a rank that does not exist are no error")
		return 1
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("rank %d of %d is done\n", me, n)
	return 0
}

// launchers calls f for each MPI that is installed.
func launchers(t *testing.T, f func(t *testing.T, mpiexec string)) {
	seen := map[string]bool{}
	for _, name := range []string{"mpiexec", "mpiexec.mpich", "mpiexec.openmpi"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[real] {
			seen[real] = true
			t.Run(name, func(t *testing.T) { f(t, path) })
		}
	}
	if len(seen) == 0 {
		t.Skip("no mpiexec: install MPICH or Open MPI (Debian: mpich or openmpi-bin, PyPI: mpich)")
	}
}

// command returns a command in dir; program is what the test binary is to do.
func command(t *testing.T, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), programEnv+"="+program, "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
		"OMPI_MCA_rmaps_base_oversubscribe=1", "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe")
	return cmd
}

func self(t *testing.T) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
	}
	return string(text)
}

func TestExchange(t *testing.T) {
	launchers(t, func(t *testing.T, mpiexec string) {
		for _, n := range []string{"1", "2", "3", "4"} {
			text := run(t, command(t, t.TempDir(), "exchange", mpiexec, "-n", n, self(t)))
			if got := strings.Count(text, "of "+n+" is done"); strconv.Itoa(got) != n {
				t.Errorf("%s ranks printed\n%s", n, text)
			}
		}
	})
}

func trainArgs(iterations string) []string {
	return []string{"train", "--model", "resnet8-cifar", "--set", "iterations=" + iterations, "--set", "checkpoint.every_steps=2", "--batch", "32", "--shards", "4",
		"--threads", "1", "--no-check", "--quiet", "--out", "run"}
}

func files(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	for _, name := range []string{"last.safetensors", "best.safetensors", "recipe.yaml"} {
		b, err := os.ReadFile(filepath.Join(dir, "run", name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// Two and four ranks train to the bits of one process, also when one of them is killed
// and others continue.
func TestTrain(t *testing.T) {
	exe := self(t)
	short, long := t.TempDir(), t.TempDir()
	run(t, command(t, short, "plain", append([]string{exe}, trainArgs("3")...)...))
	run(t, command(t, long, "plain", append([]string{exe}, trainArgs("24")...)...))
	launchers(t, func(t *testing.T, mpiexec string) {
		for _, n := range []string{"2", "4"} {
			dir := t.TempDir()
			text := run(t, command(t, dir, "ranks", append([]string{mpiexec, "-n", n, exe}, trainArgs("3")...)...))
			if strings.Count(text, "trained 1 epoch,") != 1 {
				t.Errorf("%s ranks printed\n%s", n, text)
			}
			if !bytes.Equal(files(t, dir), files(t, short)) {
				t.Errorf("%s ranks have other files than one process", n)
			}
		}
		dir, pids := t.TempDir(), t.TempDir()
		cmd := command(t, dir, "ranks", append([]string{mpiexec, "-n", "2", exe}, trainArgs("24")...)...)
		cmd.Env = append(cmd.Env, pidsEnv+"="+pids)
		var text bytes.Buffer
		cmd.Stdout, cmd.Stderr = &text, &text
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for saved := false; !saved; {
			select {
			case err := <-ended:
				t.Fatalf("ended before it was killed: %v\n%s", err, text.String())
			case <-time.After(20 * time.Millisecond):
			}
			_, err := os.Stat(filepath.Join(dir, "run", "last.safetensors"))
			saved = err == nil
		}
		pid, err := os.ReadFile(filepath.Join(pids, "1"))
		if err != nil {
			t.Fatal(err)
		}
		kill(t, string(pid))
		if err := <-ended; err == nil {
			t.Errorf("a rank was killed, but the launcher reports success:\n%s", text.String())
		}
		run(t, command(t, dir, "ranks", mpiexec, "-n", "4", exe, "train", "--resume", "--threads", "1", "--no-check", "--quiet", "--out", "run"))
		if !bytes.Equal(files(t, dir), files(t, long)) {
			t.Error("a run that was killed and resumed has other files")
		}
	})
}

// Ranks train and evaluate networks of other tasks to the bits of one process: what they
// have found is sent as features, detections and counts of pixels.
func TestTasks(t *testing.T) {
	exe, data := self(t), filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err == nil {
		err = scenes.Write(data, scenes.Options{Train: 8, Val: 5, MinSide: 48, MaxSide: 64, MaxObjects: 2, Objects: clothes})
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"features": {"--recipe", "simsiam", "--model", "resnet8-cifar", "--set", "iterations=2", "--batch", "256"},
		"boxes":    {"--recipe", "detect", "--model", "fasterrcnn_resnet8-cifar_fpn", "--data", "coco:" + data, "--set", "epochs=1", "--set", "detect.channels=16", "--size", "48", "--batch", "4"},
		"pixels":   {"--recipe", "segment", "--model", "unet_resnet8-cifar", "--data", "voc:" + data, "--set", "epochs=1", "--size", "48", "--batch", "4"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "features" && os.Getenv("RESNET_NIGHTLY") == "" {
				t.Skip("the linear probe takes a minute: set RESNET_NIGHTLY=1")
			}
			args = append([]string{exe, "train", "--shards", "4", "--threads", "1", "--no-check", "--quiet", "--out", "run"}, args...)
			one := t.TempDir()
			run(t, command(t, one, "plain", args...))
			launchers(t, func(t *testing.T, mpiexec string) {
				dir := t.TempDir()
				run(t, command(t, dir, "ranks", append([]string{mpiexec, "-n", "4"}, args...)...))
				if !bytes.Equal(files(t, dir), files(t, one)) {
					t.Error("4 ranks have other files than one process")
				}
			})
		})
	}
}

// Batch norms that two ranks synchronize train as one process does on whole batches.
func TestSyncBatchNorm(t *testing.T) {
	exe := self(t)
	args := []string{"train", "--json", "--model", "resnet8-cifar", "--set", "iterations=3", "--set", "exact=true", "--batch", "32", "--threads", "1", "--no-check", "--quiet", "--out", "run"}
	loss := func(text string) float64 {
		t.Helper()
		m := regexp.MustCompile(`"train":{"loss":([0-9.]+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no loss in\n%s", text)
		}
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	want := loss(run(t, command(t, t.TempDir(), "plain", append([]string{exe}, args...)...)))
	launchers(t, func(t *testing.T, mpiexec string) {
		got := loss(run(t, command(t, t.TempDir(), "ranks", append([]string{mpiexec, "-n", "2", exe, args[0], "--sync-batch-norm"}, args[1:]...)...)))
		if d := got - want; d > 1e-4 || d < -1e-4 {
			t.Errorf("two ranks have the loss %g, one process has %g", got, want)
		}
	})
}

func kill(t *testing.T, pid string) {
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(n)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A mistake of one rank ends all, and is reported once.
func TestMistakes(t *testing.T) {
	launchers(t, func(t *testing.T, mpiexec string) {
		cmd := command(t, t.TempDir(), "other seed", append([]string{mpiexec, "-n", "2", self(t)}, trainArgs("3")...)...)
		text, err := cmd.CombinedOutput()
		if err == nil || strings.Count(string(text), "rank 1 has another recipe than rank 0")+strings.Count(string(text), "rank 1 has another seed than rank 0") != 1 {
			t.Errorf("%v\n%s", err, text)
		}
	})
	// Without a library that can be loaded, the message names the variable.
	cmd := command(t, t.TempDir(), "ranks", append([]string{self(t)}, trainArgs("3")...)...)
	cmd.Env = append(cmd.Env, "RESNET_MPI=nowhere.so")
	if text, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(text), "RESNET_MPI: the MPI library nowhere.so cannot be loaded") {
		t.Errorf("%v\n%s", err, text)
	}
}
