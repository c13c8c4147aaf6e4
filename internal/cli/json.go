package cli

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
)

// jsonForms is how each command prints its results with --json. docs/json.md has their
// fields.
var jsonForms = map[string]string{
	"train":      "a line of JSON for each epoch and message, and the result as the last line; with --lr-find one document",
	"eval":       "one JSON document",
	"predict":    "a line of JSON for each picture",
	"segment":    "a line of JSON for each picture",
	"detect":     "a line of JSON for each picture",
	"embed":      "a line of JSON for each picture",
	"linear":     "one JSON document",
	"map":        "one JSON document",
	"explain":    "a line of JSON for each picture; with --list-layers one document, a list",
	"inspect":    "a line of JSON; with --list-layers one document, a list",
	"summary":    "one JSON document",
	"convert":    "one JSON document",
	"export":     "one JSON document",
	"quantize":   "one JSON document",
	"calibrate":  "one JSON document",
	"models":     "one JSON document, a list",
	"serve":      "a line of JSON when the server listens",
	"serve key":  "one JSON document",
	"pull":       "a line of JSON for each model",
	"data check": "one JSON document",
	"data split": "one JSON document",
	"doctor":     "one JSON document",
	"bench":      "one JSON document, a list of configurations",
	"tune":       "one JSON document, a list of configurations",
	"compare":    "one JSON document, the report",
	"version":    "one JSON document",
}

// describeJSON adds the form of --json to the help of every command.
func describeJSON(root *cobra.Command) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		if form := jsonForms[path]; form != "" {
			long := cmd.Long
			if long == "" {
				long = cmd.Short + "."
			}
			cmd.Long = strings.TrimRight(long, "\n") + "\n\n--json prints " + form + "; docs/json.md has the fields."
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// printJSON prints a result as indented JSON.
func (a *app) printJSON(v any) error { return encodeJSON(a.out, withLists(v), "  ", false) }

// printJSONLine prints a result as one line of JSON.
func (a *app) printJSONLine(v any) error { return encodeJSON(a.out, withLists(v), "", false) }

// encodeJSON writes v as JSON, also names that are not UTF-8, see [nameText].
func encodeJSON(w io.Writer, v any, indent string, html bool) error {
	e := json.NewEncoder(w)
	e.SetIndent("", indent)
	e.SetEscapeHTML(html)
	return e.Encode(namesAsText(v))
}

// withLists returns v with empty lists and maps instead of nil ones, so that readers
// find [] and {}, never null.
func withLists(v any) any {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	fillLists(p.Elem())
	return p.Interface()
}

func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				fillLists(v.Field(i))
			}
		}
	case reflect.Map:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			return
		}
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Pointer && k != reflect.Slice {
			return
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}
