package limitread

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAll(t *testing.T) {
	text := strings.Repeat("abc", 3000)
	for _, buf := range [][]byte{nil, make([]byte, 5), make([]byte, 10000)} {
		got, err := All(iotest.HalfReader(strings.NewReader(text)), buf, int64(len(text)))
		if err != nil || string(got) != text {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	var large *TooLarge
	if _, err := All(strings.NewReader(text), nil, int64(len(text))-1); !errors.As(err, &large) || !strings.Contains(err.Error(), "8999 bytes") {
		t.Errorf("error %v", err)
	}
	if s := (&TooLarge{64 << 20}).Error(); !strings.Contains(s, "64 MiB") {
		t.Error(s)
	}
	broken := errors.New("broken")
	if _, err := All(iotest.ErrReader(broken), nil, 10); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("twelve bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := File(path, 12); err != nil || string(b) != "twelve bytes" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := File(path, 11); err == nil || !strings.Contains(err.Error(), path+": ") {
		t.Errorf("error %v", err)
	}
	if _, err := File(path+"x", 11); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
