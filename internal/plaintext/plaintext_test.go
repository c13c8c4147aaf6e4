package plaintext

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ text, want, err string }{
		{"", "", ""},
		{"café\n", "café\n", ""},
		{"\xef\xbb\xbfcat", "cat", ""},
		{"\xff\xfec\x00\xe9\x00", "cé", ""},
		{"\xfe\xff\x00c\x00\xe9", "cé", ""},
		{"a\ncaf\xe9\n", "", `line 2, "caf\xe9", is not UTF-8`},
		{"c\x00a\x00", "", "bytes of zero"},
	} {
		got, err := Decode([]byte(c.text))
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}
