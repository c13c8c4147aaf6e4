package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var wordLine = regexp.MustCompile(`^\tWORD \$0x([0-9a-f]{8}) // (.*)$`)

// Each encoded instruction is what GNU as makes of its name.
func TestEncodings(t *testing.T) {
	const as, objdump = "aarch64-linux-gnu-as", "aarch64-linux-gnu-objdump"
	if _, err := exec.LookPath(as); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%v: install binutils-aarch64-linux-gnu", err)
	}
	files := output{}
	files.neon()
	var codes, names []string
	seen := map[string]bool{}
	for _, text := range files {
		for line := range strings.Lines(string(text)) {
			m := wordLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				if strings.HasPrefix(line, "\tWORD") {
					t.Fatalf("an encoded instruction without its name: %s", line)
				}
				continue
			}
			if seen[m[1]+m[2]] {
				continue
			}
			seen[m[1]+m[2]] = true
			codes, names = append(codes, m[1]), append(names, m[2])
		}
	}
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	if err := os.WriteFile(src, []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(as, "-march=armv8.2-a+dotprod", "-o", obj, src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(objdump, "-d", obj).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) > 2 && strings.HasSuffix(f[0], ":") && len(f[1]) == 8 {
			got = append(got, f[1])
		}
	}
	if len(got) != len(codes) || len(codes) == 0 {
		t.Fatalf("%d instructions assembled, %d encoded", len(got), len(codes))
	}
	for i, name := range names {
		if got[i] != codes[i] {
			t.Errorf("%s is encoded as %s, want %s", name, codes[i], got[i])
		}
	}
	t.Log(fmt.Sprintf("%d different instructions", len(codes)))
}
