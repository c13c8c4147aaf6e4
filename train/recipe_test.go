package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hostile"
)

func TestBuiltinRecipes(t *testing.T) {
	want := []string{"barlow", "byol", "cifar", "cifar-fast", "detect", "fashion-quick", "finetune", "imagenet-v1", "imagenet-v2", "photos",
		"rotation", "segment", "simclr", "simsiam", "speedrun", "vicreg"}
	if got := RecipeNames(); !reflect.DeepEqual(got, want) {
		t.Fatalf("recipes %v", got)
	}
	for _, name := range want {
		r, err := LoadRecipe(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Name != name || r.About == "" {
			t.Errorf("%s is named %q", name, r.Name)
		}
		text, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRecipe("again.yaml", text)
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%s does not come back from YAML: %v\n%s", name, err, text)
		}
	}
}

func TestSetAndBase(t *testing.T) {
	r, err := LoadRecipe("imagenet-v2", "lr.peak=0.3", "lr.milestones=[1, 2]", "ema=null", "iterations=50",
		"loss.class_weights=balanced", "augment.random_erasing.p=0.5", "preprocess=cifar10", "model=resnet18")
	if err != nil {
		t.Fatal(err)
	}
	if r.LR.Peak != 0.3 || len(r.LR.Milestones) != 2 || r.EMA != nil || r.Iterations != 50 || r.Epochs != 0 ||
		!r.Loss.ClassWeights.Balanced || r.Augment.RandomErasing.P != 0.5 || r.Preprocess.Preset != "cifar10" || r.Model != "resnet18" {
		t.Errorf("%+v", r)
	}
	if r.LR.Warmup != 0.4167 || r.Augment.RandomErasing.Scale[1] != 0.33 {
		t.Errorf("keys beside the changed ones were lost: %+v", r)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	text := "base: cifar\nname: mine\nepochs: 3\nlr: {peak: 0.4}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err = LoadRecipe(path); err != nil {
		t.Fatal(err)
	}
	if r.Name != "mine" || r.Epochs != 3 || r.Iterations != 0 || r.LR.Peak != 0.4 || r.LR.Gamma != 0.1 || r.Augment.PadCrop != 4 {
		t.Errorf("%+v", r)
	}
}

func TestMistakesInRecipes(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(toyRecipe, old, new, 1) }
	for name, c := range map[string]struct {
		text string
		set  string
		want string
	}{
		"unknown key":    {change("epochs: 3", "epoch: 3"), "", `recipe r.yaml:4: epoch: unknown key; did you mean "epochs"?`},
		"unknown inside": {change("peak:", "peek:"), "", `recipe r.yaml:7: lr.peek: unknown key; did you mean "peak"?`},
		"in augment":     {change("pad_crop", "padcrop"), "", `r.yaml:11: augment.padcrop: unknown key; did you mean "pad_crop"?`},
		"in preprocess":  {change("width:", "widht:"), "", `preprocess.widht: unknown key; did you mean "width"?`},
		"twice":          {change("epochs: 3", "epochs: 3\nepochs: 4"), "", "r.yaml:5:"},
		"type":           {change("epochs: 3", "epochs: many"), "", `recipe r.yaml:4: epochs: "many" is not a whole number`},
		"value":          {change("momentum: 0.9", "momentum: 1.9"), "", "r.yaml:6: optimizer.momentum: 1.9"},
		"schedule":       {change("cosine", "cosin"), "", `r.yaml:7: lr.schedule: unknown schedule "cosin"; did you mean "cosine"?`},
		"optimizer":      {change("name: sgd", "name: sdg"), "", `unknown optimizer "sdg"; did you mean "sgd"?`},
		"yaml":           {"a: [", "", "recipe r.yaml:1: is not YAML here, or just before: want KEY: VALUE lines"},
		"indented":       {"base: cifar\n epochs: 3", "", "recipe r.yaml:2: is not YAML here"},
		"tab":            {"lr:\n\tpeak: 1", "", "recipe r.yaml:2: begins with a tab: indent the lines of a group by spaces"},
		"list":           {"- a\n- b", "", "want KEY: VALUE"},
		"empty":          {"", "", "is empty"},
		"base":           {"base: cifra", "", `did you mean "cifar"?`},
		"alias":          {change("name: toy", "name: &a toy\nabout: *a"), "", "aliases"},
		"preset":         {"base: cifar\npreprocess: cifar", "", `preprocess: data: unknown preprocessing "cifar"`},
		"set key":        {toyRecipe, "lr.peek=1", `recipe --set: lr.peek: unknown key; did you mean "peak"?`},
		"set form":       {toyRecipe, "lr.peak", "KEY=VALUE"},
		"set value":      {toyRecipe, "lr.peak=-1", "recipe --set: lr.peak: -1 is not"},
		"set type":       {toyRecipe, "batch_size=large", `recipe --set: batch_size: "large" is not a whole number`},
		"set into text":  {toyRecipe, "name.first=x", "name: {first: x} is not a name or text"},
		"both lengths":   {change("epochs: 3", "epochs: 3\niterations: 4"), "", "either epochs or iterations"},
		"neither":        {change("epochs: 3", "eval_every: 1"), "", "either epochs or iterations"},
		"class weights":  {change("label_smoothing: 0.1", "class_weights: heavy"), "", "r.yaml:8: loss.class_weights: \"heavy\" is not balanced, none, a list of numbers, or"},
	} {
		var set []string
		if c.set != "" {
			set = append(set, c.set)
		}
		_, err := ParseRecipe("r.yaml", []byte(c.text), set...)
		var re *RecipeError
		if !errors.As(err, &re) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := LoadRecipe("cifar-fats"); err == nil || !strings.Contains(err.Error(), `did you mean "cifar-fast"?`) {
		t.Errorf("a mistyped name: %v", err)
	}
	if _, err := LoadRecipe("no/such.yaml"); err == nil || !strings.Contains(err.Error(), "no/such.yaml") {
		t.Errorf("a missing file: %v", err)
	}
}

// TestValuesOfAnotherType: each key tells what it wants in words of ours, in a file as by
// KEY=VALUE, and none takes a value of another kind without a word.
func TestValuesOfAnotherType(t *testing.T) {
	for _, key := range RecipeKeys() {
		if key == "preprocess" || strings.HasPrefix(key, "preprocess.") {
			continue // of the fields, below
		}
		names := strings.Split(key, ".")
		want, bad := wantedAt(names), "[a, {b: c}]"
		switch want {
		case "":
			t.Fatalf("nothing is known of %s", key)
		case "a number", "a whole number", "true or false":
			bad = "abc"
		}
		var text strings.Builder
		for i, name := range names {
			fmt.Fprintf(&text, "%s%s:", strings.Repeat("  ", i), name)
			if i+1 < len(names) {
				text.WriteByte('\n')
			}
		}
		_, fromFile := ParseRecipe("r.yaml", []byte(text.String()+" "+bad+"\n"))
		_, bySet := LoadRecipe("cifar", key+"="+bad)
		for _, err := range []error{fromFile, bySet} {
			var re *RecipeError
			if !errors.As(err, &re) || re.Key != key || !strings.HasSuffix(re.Problem, " is not "+want) || (re.File == "r.yaml") != (re.Line == len(names)) {
				t.Errorf("%s=%s: %v", key, bad, err)
			}
		}
	}
	for set, want := range map[string]string{
		"lr.peak=0,1":                         "lr.peak: \"0,1\" is not a number",
		"lr.peak=[1":                          "lr.peak: \"[1\" is not a number",
		"lr.peek=[1":                          "lr.peek: \"[1\" cannot be read",
		"lr.peak={a: 1}":                      "lr.peak: {a: 1} is not a number",
		"epochs=1.5":                          "epochs: \"1.5\" is not a whole number",
		"epochs=99999999999999999999":         "is not a whole number",
		"detect={min_sizes: [1.5]}":           "detect.min_sizes: [1.5] is not a list with a whole number at each place, such as [1, 2]",
		"lr.milestones=[10, x]":               "lr.milestones: [10, x] is not a list with a number at each place",
		"lr=fast":                             "lr: \"fast\" is not keys with values, as {schedule: …}",
		"preprocess=[1]":                      "preprocess: [1] is not the name of a way to prepare pictures, or keys with values, as {channels: …}",
		"preprocess.width=wide":               "preprocess.width: \"wide\" is not a whole number",
		"augment.random_erasing={scale: [1]}": "augment.random_erasing.scale: [1] is not a list of length 2 with a number at each place, such as [1, 2]",
	} {
		if _, err := LoadRecipe("cifar", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", set, err, want)
		}
	}
	if r, err := LoadRecipe("cifar", "epochs=1e1", "lr.peak=1"); err != nil || r.Epochs != 10 {
		t.Errorf("numbers in other forms: %v", err)
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte(toyRecipe), "lr.peak=0.1")
	f.Add([]byte("base: cifar\nlr: {gate: null}"), "ema={decay: 0.5}")
	f.Add([]byte("a: &a [*a]"), "preprocess.width=1")
	f.Add([]byte("augment: {random_erasing: [1]}"), "=")
	f.Add([]byte("? {a: b}\n: c"), "a.b.c=[")
	for _, name := range RecipeNames() {
		text, err := recipeText(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "epochs=1")
	}
	for text := range hostile.Some(hostile.Text([]byte(toyRecipe))) {
		f.Add(text, "lr.peak=0.1")
	}
	f.Fuzz(func(t *testing.T, text []byte, set string) {
		r, err := ParseRecipe("fuzz.yaml", text, set)
		if err != nil {
			return
		}
		if err := r.Valid(); err != nil {
			t.Errorf("accepted and not valid: %v", err)
		}
		again, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRecipe("again.yaml", again); err != nil {
			t.Errorf("written and not read back: %v\n%s", err, again)
		}
	})
}

// Every key of a recipe is in the README, under its own name.
func TestReadmeHasEveryKey(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("recipes", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var check func(at string, ty reflect.Type)
	check = func(at string, ty reflect.Type) {
		for ty.Kind() == reflect.Pointer {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct {
			return
		}
		for i := range ty.NumField() {
			name, _, _ := strings.Cut(ty.Field(i).Tag.Get("yaml"), ",")
			if name == "" {
				continue
			}
			if !strings.Contains(string(b), "`"+name) && !strings.Contains(string(b), "`"+at+name) {
				t.Errorf("recipes/README.md does not describe %s%s", at, name)
			}
			if at == "" { // two levels are enough
				check(name+".", ty.Field(i).Type)
			}
		}
	}
	check("", reflect.TypeFor[Recipe]())
}

// Every key can be set: none is unknown.
func TestRecipeKeysCanBeSet(t *testing.T) {
	keys := RecipeKeys()
	for _, want := range []string{"epochs", "lr.peak", "loss.class_weights", "finetune.freeze", "swa.start"} {
		if !slices.Contains(keys, want) {
			t.Errorf("no key %s", want)
		}
	}
	for _, k := range keys {
		_, err := LoadRecipe("cifar", k+"=1")
		if err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Errorf("%s: %v", k, err)
		}
	}
}
