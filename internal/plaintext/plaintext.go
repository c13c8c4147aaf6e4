// Package plaintext decodes the small text files that people write beside their data.
package plaintext

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// Decode returns a text as UTF-8 without a byte order mark. The text is UTF-8, or
// UTF-16 with a byte order mark. Other encodings are errors, as their letters would
// become others without a word. An error does not name the file.
func Decode(text []byte) ([]byte, error) {
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		var err error
		if text, err = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(text); err != nil {
			return nil, fmt.Errorf("UTF-16: %w", err)
		}
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("is not a text: it has bytes of zero")
	}
	if !utf8.Valid(text) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(line) {
				return nil, fmt.Errorf("line %d, %q, is not UTF-8: save the file in that encoding", i+1, clip(bytes.TrimSpace(line)))
			}
		}
	}
	return text, nil
}

func clip(line []byte) []byte { return line[:min(len(line), 80)] }
