package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDeployScoreFits checks that the examples of scoring in many processes have flags
// that the program takes, and that the parts of the Kubernetes job are as many as its
// pods.
func TestDeployScoreFits(t *testing.T) {
	folder := filepath.Join("..", "..", "deploy", "score")
	for _, name := range []string{"slurm.sh", "parallel.sh", "kubernetes.yaml"} {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if name == "kubernetes.yaml" {
			var job struct {
				Spec struct {
					Completions    int
					CompletionMode string `yaml:"completionMode"`
					Template       struct {
						Spec struct {
							Containers []struct{ Args []string }
						}
					}
				}
			}
			if err := yaml.Unmarshal(b, &job); err != nil {
				t.Fatal(err)
			}
			text = job.Spec.Template.Spec.Containers[0].Args[0]
			if !strings.Contains(text, "--shard auto/16 ") || job.Spec.Completions != 16 || job.Spec.CompletionMode != "Indexed" {
				t.Errorf("%s: %+v", name, job)
			}
		}
		m := regexp.MustCompile(`resnet predict (.*)`).FindStringSubmatch(strings.ReplaceAll(text, "\\\n", " "))
		if m == nil {
			t.Fatalf("%s does not run resnet predict", name)
		}
		args := strings.Fields(regexp.MustCompile(`["']|\$\{[^}]*:-([^}]*)\}`).ReplaceAllString(m[1], "$1"))
		cmd, rest, err := new(app).root().Find(append([]string{"predict"}, args...))
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, flag := range []string{"model", "jsonl", "shard", "resume"} {
			if !cmd.Flags().Changed(flag) {
				t.Errorf("%s: %v has no --%s", name, args, flag)
			}
		}
	}
}
