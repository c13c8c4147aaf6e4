// Package mistaken recognizes what users have instead of the file that they mean:
// a pointer of Git LFS, a web page, a compressed file.
package mistaken

import (
	"bytes"
	"fmt"
	"strings"
)

// Head is how many bytes from the beginning of a file [For] needs.
const Head = 512

// For returns what a file is that begins with head, and what to do about it, as
// the end of a sentence "FILE is …". It returns "" for a file that is none of the
// kinds that are often mistaken.
func For(head []byte) string {
	text := strings.ToLower(string(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")))
	begins := func(marks ...string) bool {
		for _, m := range marks {
			if strings.HasPrefix(text, m) {
				return true
			}
		}
		return false
	}
	has := func(at int, mark string) bool { return len(head) >= at && strings.HasPrefix(string(head[at:]), mark) }
	switch {
	case begins("version https://git-lfs.github.com/"):
		return "a pointer of Git LFS, not the file that it stands for: fetch that with git lfs pull, or download it from the hub's web page"
	case begins("version https://hawser.github.com/"):
		return "an old pointer of Git LFS, not the file that it stands for: fetch that with git lfs pull"
	case begins("<!doctype html", "<html", "<head", "<body", "<script", "<meta", "<title", "<!--"),
		begins("<?xml") && strings.Contains(text, "<html"):
		return "a web page (HTML), not the file that it was to be: the download gave a page instead, such as one to log in or to confirm; download the file itself"
	case begins("<?xml") && strings.Contains(text, "<svg"), begins("<svg"):
		return "a drawing (SVG), which has no pixels: convert it to PNG"
	case begins("<?xml", "<error"):
		return "an XML text" + xmlCode(head) + ", such as a storage service sends as an error instead of a file: download it again"
	case has(0, "\x1f\x8b"):
		return "compressed by gzip: unpack it first (gunzip FILE.gz, or tar -xzf for an archive)"
	case has(0, "\xfd7zXZ\x00"):
		return "compressed by xz: unpack it first (unxz FILE.xz)"
	case has(0, "BZh"):
		return "compressed by bzip2: unpack it first (bunzip2 FILE.bz2)"
	case has(0, "\x28\xb5\x2f\xfd"):
		return "compressed by Zstandard: unpack it first (unzstd FILE.zst)"
	case has(0, "7z\xbc\xaf\x27\x1c"):
		return "a 7-Zip archive: unpack it first"
	case has(0, "Rar!\x1a\x07"):
		return "a RAR archive: unpack it first"
	case has(4, "ORTM"):
		return "onnxruntime's own form of a model (.ort): give the .onnx file that it was made of"
	case has(4, "TFL3"):
		return "a TensorFlow Lite model (.tflite): convert it to ONNX with tf2onnx (python -m tf2onnx.convert --tflite FILE --output FILE.onnx)"
	case has(0, "GGUF"), has(0, "lmgg"), has(0, "tjgg"):
		return "a GGML or GGUF file, which holds no networks for pictures that this program knows"
	case has(0, "\x93NUMPY"):
		return "a NumPy array (.npy): save the tensors by name in a .safetensors file"
	case begins(`{"error"`, `{"message"`, `{"detail"`):
		return "an error of a web service as JSON, not the file that it was to be: download it again"
	}
	return ""
}

// xmlCode names the error in the XML text of a storage service, if it is there.
func xmlCode(head []byte) string {
	_, code, ok := strings.Cut(string(head), "<Code>")
	code, _, closed := strings.Cut(code, "</Code>")
	if !ok || !closed || len(code) > 60 {
		return ""
	}
	return fmt.Sprintf(" (%q)", code)
}
