package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDeployTrainFits runs the examples of training on many machines with programs that
// only write down what they are started with: a first run, and one that continues. Their
// flags must be those of the program, and ranks as many as pods.
func TestDeployTrainFits(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to run the examples")
	}
	folder := filepath.Join("..", "..", "deploy", "train")
	b, err := os.ReadFile(filepath.Join(folder, "mpijob.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var job struct {
		Spec struct {
			Replicas map[string]struct {
				Replicas int
				Template struct {
					Spec struct{ Containers []struct{ Args []string } }
				}
			} `yaml:"mpiReplicaSpecs"`
		}
	}
	if err := yaml.Unmarshal(b, &job); err != nil {
		t.Fatal(err)
	}
	launcher := job.Spec.Replicas["Launcher"].Template.Spec.Containers[0].Args[0]
	slurm, err := os.ReadFile(filepath.Join(folder, "slurm.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		script string
		ranks  string // that the launcher must be told; the empty one has them from Slurm
	}{
		"slurm.sh": {string(slurm), ""}, "mpijob.yaml": {launcher, "-n " + strconv.Itoa(job.Spec.Replicas["Worker"].Replicas)},
	} {
		dir := t.TempDir()
		out, stubs, told := filepath.Join(dir, "out"), filepath.Join(dir, "bin"), filepath.Join(dir, "told")
		for _, d := range []string{out, stubs} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, program := range []string{"srun", "mpirun"} {
			if err := os.WriteFile(filepath.Join(stubs, program), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" > \""+told+"\"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, resume := range []bool{false, true} {
			if resume {
				if err := os.WriteFile(filepath.Join(out, "last.safetensors"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(bash, "-c", strings.ReplaceAll(c.script, "out=/data/runs/r50;", "out="+out+";"))
			cmd.Env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"), "OUT="+out, "DATA=tar:shards", "SLURM_CPUS_PER_TASK=4")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			text, err := os.ReadFile(told)
			if err != nil {
				t.Fatal(err)
			}
			launch, train, ok := strings.Cut(string(text), "\nresnet-mpi\n")
			if !ok || !strings.Contains(strings.ReplaceAll(launch, "\n", " "), c.ranks) {
				t.Errorf("%s starts %q", name, text)
			}
			command, rest, err := new(app).root().Find(strings.Split(strings.TrimSpace(train), "\n"))
			if err == nil {
				err = command.ParseFlags(rest)
			}
			if err != nil || command.Name() != "train" {
				t.Errorf("%s: %q: %v", name, train, err)
				continue
			}
			for flag, want := range map[string]bool{"out": true, "threads": true, "resume": resume, "data": !resume, "recipe": !resume, "shards": !resume} {
				if command.Flags().Changed(flag) != want {
					t.Errorf("%s, resume %v: --%s is given: %v", name, resume, flag, !want)
				}
			}
		}
	}
}
