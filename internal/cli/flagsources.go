package cli

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/suggest"
)

// maxConfig is the limit of a file with values of flags.
const maxConfig = 1 << 20

// fillFlags sets the flags that the command line does not have: from environment
// variables, prefix and the name in capitals, and then from a YAML file; "" is none.
func fillFlags(flags *pflag.FlagSet, file, prefix string, env func(string) (string, bool)) error {
	set := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { set[f.Name] = true })
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		text, given := env(name)
		if !given || set[f.Name] || failed != nil || f.Name == "help" {
			return
		}
		values := []string{text}
		if _, list := f.Value.(pflag.SliceValue); list {
			values = strings.Split(text, ",")
		}
		if failed = setFlag(flags, f, values); failed != nil {
			failed = fmt.Errorf("the environment variable %s: %w", name, failed)
		}
		set[f.Name] = true
	})
	if failed != nil {
		return usageError{failed}
	}
	if file == "" {
		if f := flags.Lookup("config"); f != nil {
			file = f.Value.String() // which a variable may have set
		}
	}
	if file == "" {
		return nil
	}
	b, err := limitread.File(file, maxConfig)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	content := map[string]any{}
	if err := yaml.Unmarshal(b, &content); err != nil {
		return usagef("--config %s: %w", file, err)
	}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		f := flags.Lookup(name)
		if f == nil || name == "config" || name == "help" {
			var known []string
			flags.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
			return usagef("--config %s: there is no key %q%s", file, name, suggest.Phrase(name, known))
		}
		if set[name] {
			continue
		}
		values, err := configValues(content[name])
		if err == nil {
			err = setFlag(flags, f, values)
		}
		if err != nil {
			return usagef("--config %s: %s: %w", file, name, err)
		}
	}
	return nil
}

// unknownVariables returns what to note of the variables with the prefix that belong to no
// flag: the name, and the one that was perhaps meant. Those that Kubernetes sets for a service of the same name
// are not among them.
func unknownVariables(flags *pflag.FlagSet, prefix string, environ []string) []string {
	var known, unknown []string
	flags.VisitAll(func(f *pflag.Flag) {
		known = append(known, prefix+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")))
	})
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(known, name) || serviceVariable.MatchString(rest) {
			continue
		}
		near := ""
		if n, ok := suggest.Nearest(name, known); ok {
			near = fmt.Sprintf("; did you mean %s?", n)
		}
		unknown = append(unknown, name+" belongs to no flag"+near)
	}
	slices.Sort(unknown)
	return unknown
}

// serviceVariable are the ends of the variables in which Kubernetes tells of a service.
var serviceVariable = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// setFlag gives a flag values; more than one only if it is a list.
func setFlag(flags *pflag.FlagSet, f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		for _, v := range values {
			if err := checkValue(f, v); err != nil {
				return fmt.Errorf("the value %w", err)
			}
		}
		return list.Replace(values)
	}
	if len(values) != 1 {
		return fmt.Errorf("there are %d values, must be one", len(values))
	}
	err := f.Value.Set(values[0])
	if err == nil {
		if err := checkValue(f, values[0]); err != nil {
			return fmt.Errorf("the value %w", err)
		}
	}
	var number *strconv.NumError
	switch {
	case errors.As(err, &number):
		return fmt.Errorf("the value %q is not a number as --%s takes it", values[0], f.Name)
	case err != nil:
		return fmt.Errorf("the value %q is wrong: %w", values[0], err)
	}
	f.Changed = true
	return nil
}

// configValues returns a value of a YAML file as texts.
func configValues(v any) ([]string, error) {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, e := range v {
			texts, err := configValues(e)
			if err != nil || len(texts) != 1 {
				return nil, fmt.Errorf("the list holds %v, must hold texts and numbers", e)
			}
			out = append(out, texts[0])
		}
		return out, nil
	case map[string]any, nil:
		return nil, fmt.Errorf("the value is %v, must be a text, a number, true, false or a list", v)
	default:
		return []string{fmt.Sprint(v)}, nil
	}
}
