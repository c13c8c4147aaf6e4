package data

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/plaintext"
)

//go:embed imagenet.txt
var imageNetText string

// ImageNetClasses returns the names of the 1,000 classes of ImageNet (ILSVRC 2012),
// in the order of their WordNet numbers, in which published networks have them. Two
// pairs of classes share a name, as with torchvision.
func ImageNetClasses() []string { return nonEmptyLines(imageNetText) }

// maxClassNames is the limit of the number of classes of a file of names, against
// an index of billions.
const maxClassNames = 1 << 20

// ParseClassNames reads a file of class names in one of the forms in which they
// are published, and returns the names by index:
//
//   - text, one name per line
//   - JSON: ["cat", "dog"], {"0": "cat"}, {"0": ["n02124075", "cat"]} as with Keras,
//     or {"cat": 0} as torchvision's class_to_idx
//   - a Python dictionary, one class per line: {0: 'cat',
//
// The text is UTF-8, or UTF-16 with a byte order mark. An error does not name the
// file.
func ParseClassNames(text []byte) ([]string, error) {
	text, err := plaintext.Decode(text)
	if err != nil {
		return nil, err
	}
	var names []string
	switch trimmed := bytes.TrimSpace(text); {
	case bytes.HasPrefix(trimmed, []byte("[")) && json.Valid(trimmed):
		names, err = jsonList(trimmed)
	case bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(trimmed):
		names, err = jsonIndex(trimmed)
	case bytes.HasPrefix(trimmed, []byte("{")):
		names, err = pythonIndex(trimmed)
	default:
		names = nonEmptyLines(string(text))
	}
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("has no class names")
	}
	return names, nil
}

func jsonList(text []byte) ([]string, error) {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, fmt.Errorf("a JSON list of class names must hold texts alone: %w", err)
	}
	return names, nil
}

// jsonIndex reads an object from index to name, or from name to index.
func jsonIndex(text []byte) ([]string, error) {
	if err := uniqueKeys(text, false); err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	byIndex := make(map[int]string, len(values))
	for key, raw := range values {
		var name string
		var pair []string
		var index int
		switch {
		case json.Unmarshal(raw, &name) == nil:
		case json.Unmarshal(raw, &pair) == nil && len(pair) > 0: // WordNet's number, name
			name = pair[len(pair)-1]
		case json.Unmarshal(raw, &index) == nil:
			key, name = strconv.Itoa(index), key
		default:
			return nil, fmt.Errorf("the JSON object has %s for %q, which is neither a name nor an index", clip(string(raw)), key)
		}
		i, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("the JSON object has the key %q, which is not the index of a class", key)
		}
		if old, twice := byIndex[i]; twice {
			return nil, fmt.Errorf("class %d has two names, %q and %q", i, min(old, name), max(old, name))
		}
		byIndex[i] = name
	}
	return inOrder(byIndex)
}

var pythonEntry = regexp.MustCompile(`(\d+)\s*:\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*[,}]`)

// pythonIndex reads a Python dictionary of whole numbers and texts.
func pythonIndex(text []byte) ([]string, error) {
	byIndex := make(map[int]string)
	rest := pythonEntry.ReplaceAllFunc(text, func(entry []byte) []byte {
		m := pythonEntry.FindSubmatch(entry)
		if i, err := strconv.Atoi(string(m[1])); err == nil {
			byIndex[i] = strings.NewReplacer(`\'`, `'`, `\"`, `"`, `\\`, `\`).Replace(string(m[2]) + string(m[3]))
		}
		return nil
	})
	if rest = bytes.Trim(rest, "{} \t\r\n,"); len(rest) > 0 || len(byIndex) == 0 {
		return nil, fmt.Errorf("begins as JSON or a Python dictionary of class names, but cannot be read from %s", clip(string(rest)))
	}
	return inOrder(byIndex)
}

// inOrder returns the names of the indexes from 0, of which none may be missing.
func inOrder(byIndex map[int]string) ([]string, error) {
	names := make([]string, min(len(byIndex), maxClassNames))
	for i := range names {
		name, ok := byIndex[i]
		if !ok {
			return nil, fmt.Errorf("%d classes have names, but not class %d: the indexes must run from 0 without gaps", len(byIndex), i)
		}
		names[i] = name
	}
	return slices.Clip(names), nil
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}
