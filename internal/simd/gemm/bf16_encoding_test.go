package gemm

import (
	"bytes"
	le "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The instructions that the generator writes as bytes, which Go's assembler
// lacks, are what GNU as makes of the comments above them.
func TestBF16EncodingsAgainstGNU(t *testing.T) {
	code := map[string][]byte{} // by instruction
	for _, pattern := range []string{"gemm_*_bf16_amd64.s", "bf16_pack_amd64.s", "../isa/bf16_peak_amd64.s"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s (%v)", pattern, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			readRaw(t, string(text), code)
		}
	}
	if len(code) < 500 {
		t.Fatalf("only %d instructions as bytes", len(code))
	}
	for _, tool := range []string{"as", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s (Debian: binutils) to compare with", tool)
		}
	}
	var source strings.Builder
	var want []byte
	source.WriteString(".intel_syntax noprefix\n")
	for text, b := range code {
		source.WriteString(text + "\n")
		want = append(want, b...)
	}
	dir := t.TempDir()
	object, binaryFile := filepath.Join(dir, "x.o"), filepath.Join(dir, "x.bin")
	as := exec.Command("as", "--64", "-o", object)
	as.Stdin = strings.NewReader(source.String())
	if out, err := as.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("unrecognized option")) || bytes.Contains(out, []byte("no such instruction")) {
			t.Skipf("this as knows no AVX512-BF16: %s", bytes.SplitN(out, []byte("\n"), 3)[1])
		}
		t.Fatalf("as: %v\n%s", err, out)
	}
	if out, err := exec.Command("objcopy", "-O", "binary", "-j", ".text", object, binaryFile).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, out)
	}
	got, err := os.ReadFile(binaryFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	// Which one? The lengths may differ, so look at them one by one as far as they agree.
	at := 0
	for _, line := range strings.Split(strings.TrimSpace(source.String()), "\n")[1:] {
		b := code[line]
		if at+len(b) > len(got) || !bytes.Equal(got[at:at+len(b)], b) {
			t.Fatalf("%s is written as % x, as makes % x…", line, b, got[at:min(len(got), at+12)])
		}
		at += len(b)
	}
	t.Fatal("as makes more bytes than were written")
}

// readRaw adds the instructions of a file that are written as LONG, WORD and
// BYTE below a comment.
func readRaw(t *testing.T, text string, code map[string][]byte) {
	t.Helper()
	name, b := "", []byte(nil)
	done := func() {
		if name != "" && len(b) > 0 {
			if old, ok := code[name]; ok && !bytes.Equal(old, b) {
				t.Fatalf("%s is written as % x and % x", name, old, b)
			}
			code[name] = b
		}
		name, b = "", nil
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && (f[0] == "LONG" || f[0] == "WORD" || f[0] == "BYTE") {
			v, err := strconv.ParseUint(strings.TrimPrefix(f[1], "$"), 0, 32)
			if err != nil || name == "" {
				t.Fatalf("bytes without a comment above them: %q (%v)", line, err)
			}
			switch f[0] {
			case "LONG":
				b = le.LittleEndian.AppendUint32(b, uint32(v))
			case "WORD":
				b = le.LittleEndian.AppendUint16(b, uint16(v))
			default:
				b = append(b, byte(v))
			}
			continue
		}
		done()
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "// v"); ok {
			name = "v" + rest
		}
	}
	done()
}
