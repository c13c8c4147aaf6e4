package train

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/weights"
)

//go:embed recipes/*.yaml
var builtin embed.FS

// maxRecipe is the largest recipe file that is read.
const maxRecipe = 1 << 20

// RecipeError is a mistake in a recipe or in a KEY=VALUE that changes one.
type RecipeError struct {
	File    string // or "--set"
	Line    int    // 0 where it has none
	Key     string // such as "lr.peak", may be empty
	Problem string
	Suggest string // the nearest right name, may be empty
}

// Error is "cifar.yaml:12: lr.peek: unknown key; did you mean "peak"?".
func (e *RecipeError) Error() string {
	var b strings.Builder
	b.WriteString("recipe " + e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Text())
	return b.String()
}

// Text is what is wrong, without the place.
func (e *RecipeError) Text() string {
	if e.Suggest == "" {
		return e.Problem
	}
	return fmt.Sprintf("%s; did you mean %q?", e.Problem, e.Suggest)
}

// keyError is a RecipeError whose file and line are not known yet.
type keyError struct{ key, problem, suggest string }

func (e *keyError) Error() string { return e.key + ": " + e.problem }

func badKey(key, format string, args ...any) error {
	return &keyError{key: key, problem: fmt.Sprintf(format, args...)}
}

// RecipeNames returns the names of the built-in recipes, sorted.
func RecipeNames() []string {
	files, err := builtin.ReadDir("recipes")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// LoadRecipe returns the built-in recipe of that name, or reads a file (a name
// with a separator or an extension). Each set is KEY=VALUE and changes one
// key, such as "lr.peak=0.1"; VALUE is YAML. Mistakes are a *RecipeError.
func LoadRecipe(name string, set ...string) (*Recipe, error) {
	text, err := recipeText(name)
	if err != nil {
		return nil, err
	}
	return ParseRecipe(name, text, set...)
}

func recipeText(name string) ([]byte, error) {
	if !strings.ContainsAny(name, `/\.`) {
		text, err := builtin.ReadFile(path.Join("recipes", name+".yaml"))
		if err != nil {
			return nil, &RecipeError{File: strconv.Quote(name), Problem: "is not a built-in recipe (" +
				strings.Join(RecipeNames(), ", ") + ") nor a .yaml file", Suggest: suggest.Name(name, RecipeNames())}
		}
		return text, nil
	}
	text, err := limitread.File(name, maxRecipe)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	return text, nil
}

// ParseRecipe reads a recipe's text. A recipe may begin with "base: NAME" to
// change a built-in one. file is the name for messages. Where set or a recipe with a
// base makes the run shorter, or gives its length in the other unit, the times that it
// does not give (lr.warmup, lr.every, lr.milestones, finetune.warm_head) change in
// proportion.
func ParseRecipe(file string, text []byte, set ...string) (*Recipe, error) {
	return parseRecipe(file, text, nil, set)
}

// loadRecipe is [LoadRecipe] with changes that are part of the recipe, such as those that
// [Choose] fits to the data, before the user's.
func loadRecipe(name string, chosen, set []string) (*Recipe, error) {
	text, err := recipeText(name)
	if err != nil {
		return nil, err
	}
	return parseRecipe(name, text, chosen, set)
}

func parseRecipe(file string, text []byte, chosen, set []string) (*Recipe, error) {
	root, err := parseTree(file, text)
	if err != nil {
		return nil, err
	}
	r := &Recipe{}
	if root, err = r.resolveBase(file, root); err != nil {
		return nil, err
	}
	if n := lookup(root, "batch_size"); n != nil {
		_ = n.Decode(&r.batchOfRate) // decoding the whole reports the mistake
	}
	for _, s := range chosen {
		if err := applySet(root, s); err != nil {
			return nil, err
		}
	}
	before := lengthOf(root)
	for _, s := range set {
		if err := applySet(root, s); err != nil {
			return nil, err
		}
	}
	r.shorten(root, before, givenBy(set))
	if err := root.Decode(r); err != nil {
		return nil, decodeError(file, err)
	}
	if err := r.Valid(); err != nil {
		return nil, locate(file, root, set, err)
	}
	return r, nil
}

// parseTree reads YAML and checks the keys.
func parseTree(file string, text []byte) (*yaml.Node, error) {
	if len(text) > maxRecipe {
		return nil, &RecipeError{File: file, Problem: fmt.Sprintf("is larger than %d bytes", maxRecipe)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, syntaxError(file, text, err)
	}
	if len(doc.Content) == 0 {
		return nil, &RecipeError{File: file, Problem: "is empty"}
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, &RecipeError{File: file, Line: root.Line, Problem: "want KEY: VALUE lines"}
	}
	return root, checkKeys(file, "", root, reflect.TypeFor[Recipe]())
}

// resolveBase lays the recipe r over the built-in one that it names.
func (r *Recipe) resolveBase(file string, root *yaml.Node) (*yaml.Node, error) {
	base := lookup(root, "base")
	if base == nil {
		return root, nil
	}
	if base.Kind != yaml.ScalarNode || !slices.Contains(RecipeNames(), base.Value) {
		return nil, &RecipeError{File: file, Line: base.Line, Key: "base",
			Problem: fmt.Sprintf("%q is not a built-in recipe", base.Value), Suggest: suggest.Name(base.Value, RecipeNames())}
	}
	text, err := recipeText(base.Value)
	if err != nil {
		return nil, err
	}
	under, err := parseTree(base.Value, text)
	if err != nil {
		return nil, err
	}
	if under, err = r.resolveBase(base.Value, under); err != nil {
		return nil, err
	}
	before := lengthOf(under)
	overlay(under, root)
	remove(under, "base")
	r.shorten(under, before, func(key string) bool { return lookupPath(root, strings.Split(key, ".")) != nil })
	return under, nil
}

// overlay puts the keys of over into under, going into mappings.
func overlay(under, over *yaml.Node) {
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, val := over.Content[i], over.Content[i+1]
		switch old := lookup(under, key.Value); {
		case old == nil:
			under.Content = append(under.Content, key, val)
		case old.Kind == yaml.MappingNode && val.Kind == yaml.MappingNode:
			overlay(old, val)
		default:
			*old = *val
		}
		// epochs and iterations exclude each other.
		switch key.Value {
		case "epochs":
			remove(under, "iterations")
		case "iterations":
			remove(under, "epochs")
		}
	}
}

func lookup(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func remove(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = slices.Delete(m.Content, i, i+2)
			return
		}
	}
}

// cutSet cuts KEY=VALUE.
func cutSet(set string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(set, "=")
	key = strings.TrimSpace(key)
	return key, value, ok && key != ""
}

// applySet carries out one KEY=VALUE.
func applySet(root *yaml.Node, set string) error {
	key, value, ok := cutSet(set)
	if !ok {
		return &RecipeError{File: "--set", Problem: fmt.Sprintf("%q is not of the form KEY=VALUE, such as lr.peak=0.1", set)}
	}
	names := strings.Split(key, ".")
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
		problem := fmt.Sprintf("%.60q cannot be read: a bracket, brace or quote may be missing", value)
		if want := wantedAt(names); want != "" {
			problem = fmt.Sprintf("%.60q is not %s", value, want)
		}
		return &RecipeError{File: "--set", Key: key, Problem: problem}
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	if len(doc.Content) > 0 {
		node = doc.Content[0]
	}
	old := lookupPath(root, names)
	for i := len(names) - 1; i >= 0; i-- {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Tag: "!!str", Value: names[i]}, node}}
	}
	noLines(node)
	if err := checkKeys("--set", "", node, reflect.TypeFor[Recipe]()); err != nil {
		return err
	}
	if lookup(node, "base") != nil {
		return &RecipeError{File: "--set", Key: "base", Problem: "name the recipe with --recipe"}
	}
	if old != nil { // the value takes the old one's place and is not merged with it
		*old = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	overlay(root, node)
	return nil
}

// lookupPath follows keys into mappings; nil if one is missing.
func lookupPath(n *yaml.Node, names []string) *yaml.Node {
	for _, name := range names {
		if n = lookup(n, name); n == nil {
			return nil
		}
	}
	return n
}

func noLines(n *yaml.Node) {
	n.Line = 0
	for _, c := range n.Content {
		noLines(c)
	}
}

// checkKeys compares the keys of a mapping with the fields of the type that it
// will be decoded into, and their values with the types of the fields.
func checkKeys(file, at string, n *yaml.Node, t reflect.Type) error {
	names, fields := recipeFields(t)
	if n.Kind == yaml.AliasNode {
		return &RecipeError{File: file, Line: n.Line, Key: at, Problem: "aliases (*name) are not used in recipes"}
	}
	if n.Kind != yaml.MappingNode || fields == nil {
		return checkValue(file, at, n, t)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		full := strings.TrimPrefix(at+"."+key.Value, ".")
		if at == "" && key.Value == "base" {
			continue
		}
		ft, ok := fields[key.Value]
		if !ok {
			return &RecipeError{File: file, Line: key.Line, Key: full, Problem: "unknown key", Suggest: suggest.Name(key.Value, names)}
		}
		if seen[key.Value] {
			return &RecipeError{File: file, Line: key.Line, Key: full, Problem: "is given twice"}
		}
		seen[key.Value] = true
		if err := checkKeys(file, full, val, ft); err != nil {
			return err
		}
	}
	return nil
}

// recipeFields returns the keys of a part of a recipe, in their order, and their
// types; nil if the part has none of its own.
func recipeFields(t reflect.Type) ([]string, map[string]reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Preprocess]():
		t = reflect.TypeFor[Preprocess]().Field(1).Type.Elem()
	case reflect.TypeFor[ClassWeights]():
		return nil, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, nil
	}
	var names []string
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if options == "inline" {
			inner, types := recipeFields(t.Field(i).Type)
			names = append(names, inner...)
			maps.Copy(fields, types)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		names, fields[name] = append(names, name), t.Field(i).Type
	}
	return names, fields
}

// RecipeKeys returns the keys of a recipe as [LoadRecipe] takes them in KEY=VALUE, in
// the order of the file: epochs, lr.peak, augment.pad_crop.
func RecipeKeys() []string {
	var keys []string
	var walk func(at string, t reflect.Type)
	walk = func(at string, t reflect.Type) {
		names, fields := recipeFields(t)
		if names == nil {
			keys = append(keys, at)
			return
		}
		for _, n := range names {
			walk(strings.TrimPrefix(at+"."+n, "."), fields[n])
		}
	}
	walk("", reflect.TypeFor[Recipe]())
	return keys
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntaxError is the error for text that is not YAML, which the YAML package tells in the
// words of its scanner.
func syntaxError(file string, text []byte, err error) *RecipeError {
	for i, line := range bytes.Split(text, []byte("\n")) {
		if indent := len(line) - len(bytes.TrimLeft(line, " \t")); bytes.ContainsRune(line[:indent], '\t') {
			return &RecipeError{File: file, Line: i + 1, Problem: "begins with a tab: indent the lines of a group by spaces"}
		}
	}
	e := decodeError(file, err)
	e.Problem = fmt.Sprintf("is not YAML here, or just before: want KEY: VALUE lines, those of a group indented alike, by spaces (%s)", e.Problem)
	return e
}

// decodeError turns the YAML package's messages into the form of RecipeError.
func decodeError(file string, err error) *RecipeError {
	text := err.Error()
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		text = te.Errors[0]
	}
	text = strings.TrimPrefix(text, "yaml: ")
	e := &RecipeError{File: file, Problem: text}
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		e.Line, _ = strconv.Atoi(text[m[2]:m[3]])
		e.Problem = text[:m[0]] + text[m[1]:]
	}
	return e
}

// locate adds the place to a mistake that Valid found.
func locate(file string, root *yaml.Node, set []string, err error) error {
	var ke *keyError
	if !errors.As(err, &ke) {
		return err
	}
	e := &RecipeError{File: file, Key: ke.key, Problem: ke.problem, Suggest: ke.suggest}
	for _, s := range set {
		if strings.HasPrefix(s, ke.key+"=") {
			e.File = "--set"
			return e
		}
	}
	names := strings.Split(ke.key, ".")
	for i := range names {
		if n := lookupPath(root, names[:i+1]); n != nil {
			e.Line = n.Line
		}
	}
	return e
}

// DataOptions returns how a training run divided data without a validation part, so
// that an evaluation of its model sees the pictures that were held out and no others.
// It is the zero value but for the seed for a model that does not have its recipe.
func DataOptions(meta weights.Meta) data.Options {
	opt := data.Options{Seed: meta.Seed}
	if r, err := ParseRecipe("the model file's recipe", []byte(meta.Recipe)); err == nil && meta.Recipe != "" {
		opt.ValFraction = r.Validation
	}
	return opt
}
