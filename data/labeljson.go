package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// parseLabelJSON reads labels.json.
func parseLabelJSON(text []byte) ([]labelRow, error) {
	const form = `not a list of {"file": …, "labels": […]}: %w`
	var entries []*struct {
		File   string    `json:"file"`
		Labels []*string `json:"labels"`
		Split  string    `json:"split"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&entries); err != nil {
		return nil, fmt.Errorf(form, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file continues after the list")
	}
	if err := uniqueKeys(text, true); err != nil {
		return nil, err
	}
	rows := make([]labelRow, len(entries))
	for i, e := range entries {
		r := &rows[i]
		r.where = fmt.Sprintf("entry %d", i+1)
		if e == nil {
			return nil, fmt.Errorf("%s is null, must be {\"file\": …, \"labels\": […]}", r.where)
		}
		r.File, r.Split = strings.TrimSpace(e.File), strings.TrimSpace(e.Split)
		if r.File == "" {
			return nil, fmt.Errorf("%s has no \"file\", must name the picture", r.where)
		}
		if e.Labels == nil {
			return nil, fmt.Errorf("%s (%s) has no \"labels\": write [] if the picture has none", r.where, r.File)
		}
		for _, l := range e.Labels {
			if l == nil || strings.TrimSpace(*l) == "" {
				return nil, fmt.Errorf("%s (%s): a label has no name: write [] if the picture has none", r.where, r.File)
			}
			// A broken escape, such as \ud800 alone, is read as this character.
			if strings.ContainsRune(*l, utf8.RuneError) {
				return nil, fmt.Errorf("%s (%s): the label %q has a character that was lost: write the name again in UTF-8", r.where, r.File, *l)
			}
			r.Labels = append(r.Labels, strings.TrimSpace(*l))
		}
	}
	return rows, nil
}

// uniqueKeys returns an error if an object in a JSON document has a key twice, of which
// readers take the last without a word. fold is whether large and small letters are
// the same.
func uniqueKeys(text []byte, fold bool) error {
	d := json.NewDecoder(bytes.NewReader(text))
	var open []map[string]bool // the keys of each open object; nil for a list
	isKey := false
	for {
		at, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch at {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
			isKey = true
			continue
		case json.Delim('['):
			open = append(open, nil)
			isKey = false
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		default:
			if isKey {
				key := at.(string)
				if fold {
					key = strings.ToLower(key)
				}
				keys := open[len(open)-1]
				if keys[key] {
					return fmt.Errorf("line %d: the key %q is there twice in one object: keep one", 1+bytes.Count(text[:d.InputOffset()], []byte("\n")), at)
				}
				keys[key] = true
				isKey = false
				continue
			}
		}
		isKey = len(open) > 0 && open[len(open)-1] != nil
	}
}
