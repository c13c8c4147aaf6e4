package data

import (
	"slices"
	"testing"
)

func TestParseClassNames(t *testing.T) {
	want := []string{"cat", "dog, small", "fox's"}
	for _, text := range []string{
		"cat\ndog, small\nfox's\n",
		"\xef\xbb\xbfcat\r\n\r\n  dog, small\r\nfox's",
		`["cat", "dog, small", "fox's"]`,
		`{"0": "cat", "2": "fox's", "1": "dog, small"}`,
		`{"0": ["n01", "cat"], "1": ["n02", "dog, small"], "2": ["n03", "fox's"]}`,
		`{"cat": 0, "fox's": 2, "dog, small": 1}`,
		"{0: 'cat',\n 1: 'dog, small',\n 2: \"fox's\"}\n",
		`{0: 'cat', 1: "dog, small", 2: 'fox\'s'}`,
		"\xff\xfec\x00a\x00t\x00\n\x00d\x00o\x00g\x00,\x00 \x00s\x00m\x00a\x00l\x00l\x00\n\x00f\x00o\x00x\x00'\x00s\x00",
		"\xfe\xff\x00c\x00a\x00t\x00\n\x00d\x00o\x00g\x00,\x00 \x00s\x00m\x00a\x00l\x00l\x00\n\x00f\x00o\x00x\x00'\x00s",
	} {
		if got, err := ParseClassNames([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q gives %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                      "no class names",
		"[]":                    "no class names",
		"chat\ncaf\xe9\n":       "line 2",
		"[1, 2]":                "texts alone",
		`{"0": "a", "2": "b"}`:  "not class 1",
		`{"0": "a", "b": 0}`:    "two names",
		`{"x": "a"}`:            "not the index",
		`{"0": true}`:           "neither a name nor an index",
		"{0: 'a', oops}":        "oops",
		"{":                     "cannot be read",
		"c\x00a\x00t\x00":       "bytes of zero",
		"{99999999999999: 'a'}": "not class 0",
		`{"0": "a", "0": "b"}`:  "twice",
		`{"-1": "a", "0": "b"}`: "not class 1",
	} {
		_, err := ParseClassNames([]byte(text))
		checkError(t, err, want)
	}
}

func FuzzParseClassNames(f *testing.F) {
	f.Add([]byte("a\nb"))
	f.Add([]byte(`{"0": ["n", "a"], "b": 1}`))
	f.Add([]byte("{0: 'a'}"))
	f.Add([]byte("\xff\xfea\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, err := ParseClassNames(b)
		if err == nil && (len(names) == 0 || len(names) > len(b)) {
			t.Errorf("%d names of %d bytes", len(names), len(b))
		}
	})
}
