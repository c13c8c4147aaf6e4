package mistaken

import (
	"strings"
	"testing"
)

func TestFor(t *testing.T) {
	for head, want := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:1": "git lfs pull",
		"\n\n <!DOCTYPE html><html>":                               "web page",
		"\xef\xbb\xbf<HTML lang=en>":                               "web page",
		"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>":  `"AccessDenied"`,
		"<?xml version=\"1.0\"?><svg xmlns=":                       "SVG",
		"\x1f\x8b\x08\x00":                                         "gunzip",
		"\xfd7zXZ\x00\x00":                                         "unxz",
		"\x18\x00\x00\x00ORTM":                                     ".onnx",
		"\x1c\x00\x00\x00TFL3":                                     "tf2onnx",
		"\x93NUMPY\x01\x00":                                        "NumPy",
		`{"error":"Repository not found"}`:                         "web service",
		"\x89HDF\r\n\x1a\n":                                        "",
		"PK\x03\x04":                                               "",
		"\x80\x02}.":                                               "",
		"":                                                         "",
		"\xff\xd8\xff\xe0":                                         "",
	} {
		got := For([]byte(head))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q is %q, want it to contain %q", head, got, want)
		}
	}
}
