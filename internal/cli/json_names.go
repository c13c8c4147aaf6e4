package cli

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"
)

// JSON is Unicode, but names of files may be any bytes. A byte that is not part of
// UTF-8 is printed as a character of Unicode's private use area, U+EF80 to U+EFFF, whose
// last eight bits are the byte (as MirBSD's OPTU-8 has them). The bytes of these
// characters themselves, if a name has any, are printed so, too: to read the name, each of
// them is replaced by its byte. Lone surrogates, as Python has such names, are refused by
// strict readers of JSON, and replaced without a word by others.

const firstRaw, lastRaw = '\uef80', '\uefff'

func isRaw(r rune) bool { return r >= firstRaw && r <= lastRaw }

func needsText(s string) bool { return !utf8.ValidString(s) || strings.ContainsFunc(s, isRaw) }

// nameText returns a name as JSON has it.
func nameText(s string) string {
	if !needsText(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || isRaw(r) {
			for _, c := range []byte(s[i : i+n]) {
				b.WriteRune(firstRaw - 0x80 + rune(c))
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// namesAsText returns v with [nameText] of all its strings; v itself if none changes.
// v is not changed.
func namesAsText(v any) any {
	r := reflect.ValueOf(v)
	if !anyName(r) {
		return v
	}
	return withText(r).Interface()
}

// opaque reports whether a type encodes itself.
func opaque(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func anyName(v reflect.Value) bool {
	if !v.IsValid() || opaque(v.Type()) {
		return false
	}
	switch v.Kind() {
	case reflect.String:
		return needsText(v.String())
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && anyName(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if anyName(v.Field(i)) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k >= reflect.Bool && k <= reflect.Complex128 {
			return false
		}
		for i := range v.Len() {
			if anyName(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if anyName(k) || anyName(v.MapIndex(k)) {
				return true
			}
		}
	}
	return false
}

// withText returns a copy of v with [nameText] of its strings.
func withText(v reflect.Value) reflect.Value {
	if !v.IsValid() || opaque(v.Type()) || !anyName(v) {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(nameText(v.String()))
	case reflect.Pointer:
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(withText(v.Elem()))
	case reflect.Interface:
		out.Set(withText(v.Elem()))
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(withText(v.Field(i)))
			}
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(withText(v.Index(i)))
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(withText(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMap(v.Type()))
		for _, k := range v.MapKeys() {
			out.SetMapIndex(withText(k), withText(v.MapIndex(k)))
		}
	}
	return out
}
