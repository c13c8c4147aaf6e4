package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/internal/cli/bench"
	"github.com/resnet-go/resnet/lab/report"
	"github.com/resnet-go/resnet/train"
)

// jsonTypes are the Go types of what commands print with --json. A command that
// prints a list has the type of the list.
var jsonTypes = map[string][]jsonType{
	"train":      {{"", reflect.TypeFor[trainLine]()}, {"with --lr-find", reflect.TypeFor[*train.LRSearch]()}},
	"eval":       {{"", reflect.TypeFor[*evaluation]()}},
	"predict":    {{"", reflect.TypeFor[predictionLine]()}, {"with --jsonl", reflect.TypeFor[scoredLine]()}},
	"segment":    {{"", reflect.TypeFor[segmentLine]()}},
	"detect":     {{"", reflect.TypeFor[detectLine]()}},
	"embed":      {{"", reflect.TypeFor[embeddingLine]()}, {"with --jsonl", reflect.TypeFor[embeddedLine]()}},
	"map":        {{"", reflect.TypeFor[*mapReport]()}},
	"linear":     {{"", reflect.TypeFor[*linearReport]()}},
	"explain":    {{"", reflect.TypeFor[explainLine]()}, {"with --list-layers", reflect.TypeFor[[]listedLayer]()}},
	"inspect":    {{"", reflect.TypeFor[inspectLine]()}, {"with --list-layers", reflect.TypeFor[[]listedLayer]()}},
	"summary":    {{"", reflect.TypeFor[summary]()}},
	"convert":    {{"", reflect.TypeFor[converted]()}},
	"export":     {{"", reflect.TypeFor[exportReport]()}},
	"quantize":   {{"", reflect.TypeFor[*quantized]()}},
	"calibrate":  {{"", reflect.TypeFor[*calibrated]()}},
	"models":     {{"", reflect.TypeFor[[]modelLine]()}, {"with --published", reflect.TypeFor[[]publishedLine]()}},
	"serve":      {{"", reflect.TypeFor[servingLine]()}},
	"serve key":  {{"", reflect.TypeFor[keyLine]()}},
	"pull":       {{"", reflect.TypeFor[pulledLine]()}},
	"data check": {{"", reflect.TypeFor[*data.Report]()}, {"of pictures with boxes", reflect.TypeFor[*detection.Report]()}},
	"data split": {{"", reflect.TypeFor[splitReport]()}},
	"doctor":     {{"", reflect.TypeFor[doctorReport]()}},
	"bench":      {{"", reflect.TypeFor[[]*bench.Comparison]()}, {"with --profile", reflect.TypeFor[[]*bench.NetworkProfile]()}},
	"tune":       {{"", reflect.TypeFor[[]*bench.Tuned]()}},
	"compare":    {{"", reflect.TypeFor[*report.Page]()}},
	"version":    {{"", reflect.TypeFor[versionInfo]()}},
}

type jsonType struct {
	when string
	of   reflect.Type
}

// jsonField is a field of an object.
type jsonField struct {
	name     string
	of       reflect.Type
	optional bool
	about    string
}

// jsonFields returns the fields of a struct as package encoding/json writes them.
func jsonFields(t *testing.T, of reflect.Type) []jsonField {
	t.Helper()
	var fields []jsonField
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			fields = append(fields, jsonFields(t, inner)...)
			continue
		case !f.IsExported():
			continue
		case name == "":
			t.Errorf("%s.%s has no json tag, so JSON has Go's name of it", of, f.Name)
		}
		fields = append(fields, jsonField{name, f.Type, options == "omitempty" || options == "omitzero", fieldComment(t, of, f.Name)})
	}
	return fields
}

var packageFields = map[string]map[string]string{} // by package: TYPE.FIELD and its comment

// fieldComment returns the comment of a field in the source.
func fieldComment(t *testing.T, of reflect.Type, field string) string {
	t.Helper()
	pkg := of.PkgPath()
	if packageFields[pkg] == nil {
		packageFields[pkg] = map[string]string{}
		dir := filepath.Join("..", "..", filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/resnet-go/resnet"), "/")))
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source of %s in %s: %v", pkg, dir, err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							packageFields[pkg][spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
						}
					}
				}
				return true
			})
		}
	}
	return packageFields[pkg][of.Name()+"."+field]
}

// jsonName names a type in the document; objects are collected.
func jsonName(of reflect.Type, objects map[string]reflect.Type) string {
	if of == reflect.TypeFor[json.RawMessage]() {
		return "any JSON"
	}
	switch of.Kind() {
	case reflect.Pointer:
		return jsonName(of.Elem(), objects)
	case reflect.Slice, reflect.Array:
		if of.Elem().Kind() == reflect.Uint8 && of.Kind() == reflect.Slice {
			return "string (base64)"
		}
		return "list of " + jsonName(of.Elem(), objects)
	case reflect.Map:
		return "object: " + jsonName(of.Elem(), objects) + " by name"
	case reflect.Struct:
		name := of.String()
		objects[name] = of
		return fmt.Sprintf("[%s](#%s)", name, strings.NewReplacer(".", "").Replace(strings.ToLower(name)))
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "integer"
}

// TestJSONDocument keeps docs/json.md what the types of the outputs are; -update
// writes it. Names are in snake_case.
func TestJSONDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# JSON

<!-- Written by go test ./internal/cli -run TestJSONDocument -update, from the Go types and their comments. -->

Every command prints its results to stdout as JSON with ` + "`--json`" + `; progress, notes and errors stay text on stderr. Commands that work through pictures or epochs print a line for each (JSON Lines), as they come; the others print one indented document when they are done. Names are in snake_case. Fields may be added in later versions; those that are here stay. A field is always there, also if it is 0, false or empty, unless it is marked as optional; a list or an object of names without elements is ` + "`[]` or `{}`" + `, never null.

Names of files may be any bytes, but JSON is Unicode. A byte of a name that is not part of UTF-8 is printed as the character U+EF00 plus the byte (U+EF80 to U+EFFF, of the private use area), and so are the bytes of these characters themselves, if a name has any. In Python, ` + "`" + `b"".join(bytes([ord(c) & 255]) if "\uef80" <= c <= "\uefff" else c.encode() for c in line["image"])` + "`" + ` is the name again. CSV has the bytes as they are.

| command | output | type |
| --- | --- | --- |
`)
	objects := map[string]reflect.Type{}
	for _, command := range slices.Sorted(maps.Keys(jsonTypes)) {
		for _, j := range jsonTypes[command] {
			when := ""
			if j.when != "" {
				when = ", " + j.when
			}
			fmt.Fprintf(&b, "| `resnet %s`%s | %s | %s |\n", command, when, jsonForms[command], jsonName(j.of, objects))
		}
	}
	b.WriteString("\n## Objects\n")
	snake, done := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`), map[string]string{}
	for len(done) < len(objects) {
		for name, of := range maps.Clone(objects) {
			if done[name] != "" {
				continue
			}
			var s strings.Builder
			fmt.Fprintf(&s, "\n### %s\n\n| field | type | |\n| --- | --- | --- |\n", name)
			for _, f := range jsonFields(t, of) {
				if !snake.MatchString(f.name) {
					t.Errorf("%s: the field %q is not in snake_case", name, f.name)
				}
				kind := jsonName(f.of, objects)
				if f.optional {
					kind = "optional " + kind
				}
				about := strings.NewReplacer("|", `\|`, "[", "", "]", "", "<", "&lt;").Replace(f.about)
				fmt.Fprintf(&s, "| `%s` | %s | %s |\n", f.name, kind, about)
			}
			done[name] = s.String()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		b.WriteString(done[name])
	}
	matches(t, filepath.Join("..", "..", "..", "docs", "json.md"), b.String())
}

// Every command is in the tables, and its help describes its JSON.
func TestEveryCommandHasAJSONForm(t *testing.T) {
	n := 0
	root := new(app).root()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		path := strings.TrimPrefix(cmd.CommandPath(), "resnet ")
		if cmd.HasSubCommands() && jsonForms[path] == "" || cmd.Hidden || cmd.Name() == "help" || strings.HasPrefix(path, "completion") {
			return
		}
		n++
		if jsonForms[path] == "" || len(jsonTypes[path]) == 0 {
			t.Errorf("resnet %s is not in jsonForms and jsonTypes", path)
		}
		if !strings.Contains(cmd.Long, "--json prints "+jsonForms[path]) {
			t.Errorf("the help of resnet %s does not describe its JSON", path)
		}
	}
	walk(root)
	if n != len(jsonForms) || n != len(jsonTypes) {
		t.Errorf("%d commands, %d forms, %d types", n, len(jsonForms), len(jsonTypes))
	}
}

// checkJSON compares what a command line printed with the type in the document. All
// command lines with --json that tests run go through it.
func checkJSON(t *testing.T, args []string, out string) {
	t.Helper()
	if !slices.Contains(args, "--json") || slices.Contains(args, "--help") || slices.Contains(args, "--print-recipe") || strings.TrimSpace(out) == "" {
		return
	}
	root := new(app).root()
	cmd, _, err := root.Find(args)
	if err != nil {
		return
	}
	path := strings.TrimPrefix(cmd.CommandPath(), "resnet ")
	d := json.NewDecoder(strings.NewReader(out))
	d.UseNumber()
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Errorf("resnet %s: %v", strings.Join(args, " "), err)
			return
		}
		problem := "no type"
		for _, j := range jsonTypes[path] {
			if problem = unlike(t, "", v, j.of); problem == "" {
				break
			}
		}
		if problem != "" {
			t.Errorf("resnet %s: %s", strings.Join(args, " "), problem)
		}
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n") + 1; strings.HasPrefix(jsonForms[path], "a line") && !strings.HasPrefix(out, "[") {
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) && lines > 1 && !slices.Contains(args, "--lr-find") {
				t.Errorf("resnet %s: the line %.80q is not JSON by itself", strings.Join(args, " "), line)
			}
		}
	}
}

// unlike describes where v does not match its type; "" if it matches.
func unlike(t *testing.T, at string, v any, of reflect.Type) string {
	t.Helper()
	if of == reflect.TypeFor[json.RawMessage]() || of.Kind() == reflect.Interface {
		return ""
	}
	ok := false
	switch of.Kind() {
	case reflect.Pointer:
		if v == nil {
			return ""
		}
		return unlike(t, at, v, of.Elem())
	case reflect.Slice, reflect.Array:
		list, isList := v.([]any)
		if ok = isList; ok {
			for i, e := range list {
				if e == nil && of.Elem().Kind() == reflect.Float64 { // not finite
					continue
				}
				if p := unlike(t, fmt.Sprintf("%s[%d]", at, i), e, of.Elem()); p != "" {
					return p
				}
			}
		}
	case reflect.Map:
		object, isObject := v.(map[string]any)
		if ok = isObject; ok {
			for k, e := range object {
				if p := unlike(t, at+"."+k, e, of.Elem()); p != "" {
					return p
				}
			}
		}
	case reflect.Struct:
		object, isObject := v.(map[string]any)
		if ok = isObject; ok {
			known := map[string]bool{}
			for _, f := range jsonFields(t, of) {
				known[f.name] = true
				e, there := object[f.name]
				if !there {
					if !f.optional {
						return fmt.Sprintf("%s.%s is missing", at, f.name)
					}
					continue
				}
				if p := unlike(t, at+"."+f.name, e, f.of); p != "" {
					return p
				}
			}
			for k := range object {
				if !known[k] {
					return fmt.Sprintf("%s.%s is not in the document", at, k)
				}
			}
		}
	case reflect.String:
		_, ok = v.(string)
	case reflect.Bool:
		_, ok = v.(bool)
	default:
		_, ok = v.(json.Number)
	}
	if !ok {
		return fmt.Sprintf("%s is %v, not of the type %s", at, v, of)
	}
	return ""
}

// The JSON of commands matches the document. Others are compared wherever a test
// runs them with --json.
func TestJSONOutputs(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	photo, broken := filepath.Join(dir, "photo.png"), filepath.Join(dir, "broken.png")
	writePicture(t, photo, 1)
	if err := os.WriteFile(broken, []byte("\x89PNG\r\n\x1a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	classes := filepath.Join(dir, "classes")
	for i, name := range []string{"a/1.png", "a/2.png", "a/3.png", "a/4.png", "b/1.png", "b/2.png", "b/3.png", "b/4.png"} {
		writePicture(t, filepath.Join(classes, name), i+2)
	}
	for _, args := range [][]string{
		{"predict", "-m", model, photo, broken}, {"embed", "-m", model, photo, broken},
		{"explain", "-m", model, "-o", filepath.Join(dir, "s.png"), photo, broken}, {"explain", "-m", model, "--list-layers"},
		{"inspect", "-m", model, "-o", filepath.Join(dir, "f.png")}, {"inspect", "-m", model, "--list-layers"},
		{"summary", "resnet20-cifar", "--depth", "0"}, {"summary", model}, {"models"}, {"models", "--published"}, {"version"},
		{"convert", model, filepath.Join(dir, "out.pth")},
		{"calibrate", model, "--data", "embedded:fashion", "-o", filepath.Join(dir, "calibrated.safetensors")},
		{"data", "check", "folder:" + classes}, {"data", "split", "folder:" + classes, "-o", filepath.Join(dir, "parts"), "--val", "0.25"},
		{"train", "--model", "resnet8-cifar", "--data", "folder:" + classes, "--epochs", "1", "--size", "16", "--batch", "2", "--out", filepath.Join(dir, "run")},
		{"bench", "resnet8-cifar", "--batch", "1", "--threads", "1", "--seconds", "0.01", "--profile"},
	} {
		code, out, errs := cli(t, append(args, "--json")...)
		if code != exitDone && !slices.Contains(args, broken) || strings.TrimSpace(out) == "" {
			t.Errorf("%q: exit code %d: %s", args, code, errs)
		}
	}
}

// An output that does not match the document is found.
func TestUnlike(t *testing.T) {
	of := reflect.TypeFor[predictionLine]()
	for text, want := range map[string]string{
		`{"image":"a","predictions":[]}`:                        "",
		`{"image":"a","predictions":[],"Error":1}`:              ".Error is not in the document",
		`{"image":"a"}`:                                         ".predictions is missing",
		`{"image":"a","predictions":null}`:                      "predictions is <nil>",
		`{"image":1,"predictions":[]}`:                          "image is 1",
		`{"image":"a","predictions":[{"class":"x","index":1}]}`: ".predictions[0].probability is missing",
	} {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if got := unlike(t, "", v, of); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
