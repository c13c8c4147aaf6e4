package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// JSON is Unicode, but names of files may be any bytes. A byte that is not part of
// UTF-8 is printed as a low surrogate, \udc80 to \udcff, which no text has: as Python
// reads such names from the file system (PEP 383), so that
// os.fsencode(json.loads(line)["image"]) is the name again. Go's encoder cannot write
// surrogates, so they are marked in the strings and put in afterwards.

// mark begins four hexadecimal digits of a surrogate, or 0000 for itself. It is no
// character (Unicode, section 23.7), so that it is next to never in a name.
const mark = '\U0010ffff'

// markNames returns v with such bytes marked in all its strings; v itself if there are
// none. v is not changed.
func markNames(v any) any {
	r := reflect.ValueOf(v)
	if !anyMark(r) {
		return v
	}
	return marked(r).Interface()
}

// putNames replaces the marks in encoded JSON.
func putNames(b []byte) []byte {
	m := []byte(string(mark))
	if !bytes.Contains(b, m) {
		return b
	}
	var out []byte
	for {
		before, after, found := bytes.Cut(b, m)
		out = append(out, before...)
		if !found {
			return out
		}
		if digits := after[:4]; string(digits) == "0000" {
			out = append(out, m...)
		} else {
			out = append(append(out, `\u`...), digits...)
		}
		b = after[4:]
	}
}

func needsMark(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, mark) }

func markString(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "%cdc%02x", mark, s[i])
		case r == mark:
			b.WriteString(string(mark) + "0000")
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// opaque reports whether a type encodes itself.
func opaque(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func anyMark(v reflect.Value) bool {
	if !v.IsValid() || opaque(v.Type()) {
		return false
	}
	switch v.Kind() {
	case reflect.String:
		return needsMark(v.String())
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && anyMark(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if anyMark(v.Field(i)) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k >= reflect.Bool && k <= reflect.Complex128 {
			return false
		}
		for i := range v.Len() {
			if anyMark(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if anyMark(k) || anyMark(v.MapIndex(k)) {
				return true
			}
		}
	}
	return false
}

// marked returns a copy of v with marks.
func marked(v reflect.Value) reflect.Value {
	if !v.IsValid() || opaque(v.Type()) || !anyMark(v) {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(markString(v.String()))
	case reflect.Pointer:
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(marked(v.Elem()))
	case reflect.Interface:
		out.Set(marked(v.Elem()))
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(marked(v.Field(i)))
			}
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(marked(v.Index(i)))
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(marked(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMap(v.Type()))
		for _, k := range v.MapKeys() {
			out.SetMapIndex(marked(k), marked(v.MapIndex(k)))
		}
	}
	return out
}
