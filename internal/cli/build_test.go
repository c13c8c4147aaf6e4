package cli

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The command that README names makes a static program: an ELF file without an
// interpreter and without shared libraries.
func TestStaticBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const command = "CGO_ENABLED=0 go build ./cmd/resnet"
	if !strings.Contains(string(page), command) {
		t.Errorf("README.md does not name %s", command)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no Go toolchain to build with: %v", err)
	}
	out := filepath.Join(t.TempDir(), "resnet")
	env, rest, _ := strings.Cut(command, " go build ")
	cmd := exec.CommandContext(t.Context(), goTool, "build", "-o", out, rest)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), env, "GOOS=linux")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	f, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program has an interpreter: it is linked dynamically")
		}
	}
	if libs, err := f.ImportedLibraries(); len(libs) > 0 || err != nil {
		t.Errorf("the program needs %v, %v", libs, err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	b, err := exec.CommandContext(t.Context(), out, "version", "--json").Output()
	var v versionInfo
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil || v.CGO {
		t.Errorf("version %+v, %v", v, err)
	}
}

// README lists what every skipped test waits for.
func TestREADMENamesSkippedTests(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	skip := regexp.MustCompile(`\bt\.Skipf?\("[^"\n]*?(RESNET_[A-Z_]+)`)
	found := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range skip.FindAllSubmatch(b, -1) {
			if name := string(m[1]); !found[name] {
				found[name] = true
				if !strings.Contains(string(page), name) {
					t.Errorf("%s skips tests without %s, which README.md does not name", path, name)
				}
			}
		}
		return nil
	})
	if err != nil || len(found) < 5 {
		t.Errorf("found %v, %v", found, err)
	}
}
