package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/tensor"
)

// KeyMap renames tensors. It is a list of rules OLD=NEW, each applied once to
// every name, in order.
//
// OLD is a whole name (fc.weight), or ends with "." and stands for every name
// that begins so (linear.=fc.). In both, * stands for one part of a name
// between dots and ** for any number of parts, none included; the same stars in
// NEW, in the same order, put back what they stood for:
// **.shortcut.0.=**.downsample.0. renames layer2.0.shortcut.0.weight. An empty
// NEW removes a beginning (model.=), and "-" drops the tensors (**.extra.=-).
type KeyMap struct {
	rules []rule
}

type rule struct {
	text     string
	old, new []string // parts between dots; without the last, empty one of a beginning
	begins   bool     // OLD ended with a dot
	drop     bool
}

const (
	maxRules    = 10_000
	maxRulesDoc = 1 << 20 // bytes of a file of rules
	maxStars    = 4       // in OLD
	maxParts    = 32      // of a name that a rule can fit; with maxStars it bounds the search
)

// ParseKeyMap reads rules OLD=NEW.
func ParseKeyMap(rules ...string) (*KeyMap, error) {
	k := &KeyMap{}
	for _, text := range rules {
		r, err := parseRule(text)
		if err != nil {
			return nil, fmt.Errorf("key rule %q: %w", text, err)
		}
		if k.rules = append(k.rules, r); len(k.rules) > maxRules {
			return nil, fmt.Errorf("more than %d key rules", maxRules)
		}
	}
	return k, nil
}

// ReadKeyMap reads a file of rules, one a line; empty lines and what follows
// a # are left out.
func ReadKeyMap(path string) (*KeyMap, error) {
	b, err := limitread.File(path, maxRulesDoc)
	if err != nil {
		return nil, err
	}
	k := &KeyMap{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		one, err := ParseKeyMap(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := k.Append(one); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return k, nil
}

// Append adds the rules of o at the end of k.
func (k *KeyMap) Append(o *KeyMap) error {
	if len(k.rules)+len(o.rules) > maxRules {
		return fmt.Errorf("more than %d key rules", maxRules)
	}
	k.rules = append(k.rules, o.rules...)
	return nil
}

// Len returns the number of rules; a nil KeyMap has none.
func (k *KeyMap) Len() int {
	if k == nil {
		return 0
	}
	return len(k.rules)
}

func parseRule(text string) (rule, error) {
	old, new, ok := strings.Cut(text, "=")
	old, new = strings.TrimSpace(old), strings.TrimSpace(new)
	r := rule{text: old + "=" + new}
	switch {
	case !ok || strings.Contains(new, "="):
		return r, fmt.Errorf("want OLD=NEW")
	case old == "" || old == ".":
		return r, fmt.Errorf("OLD is empty")
	}
	old, r.begins = strings.CutSuffix(old, ".")
	r.old = strings.Split(old, ".")
	if r.drop = new == "-"; r.drop {
		return r, nil
	}
	new, ends := strings.CutSuffix(new, ".")
	if new != "" {
		if r.begins != ends {
			return r, fmt.Errorf("OLD and NEW must both end with a dot or both not")
		}
		r.new = strings.Split(new, ".")
	} else if !r.begins {
		return r, fmt.Errorf("NEW is empty, which only removes a beginning (OLD ends with a dot); - drops the tensor")
	}
	for _, parts := range [][]string{r.old, r.new} {
		for _, p := range parts {
			if p == "" || strings.Contains(p, "*") && p != "*" && p != "**" {
				return r, fmt.Errorf("%q is no part of a name: * and ** stand alone between dots", p)
			}
		}
	}
	if a, b := stars(r.old), stars(r.new); !slices.Equal(a, b) && len(b) > 0 {
		return r, fmt.Errorf("the stars of OLD %v and NEW %v differ", a, b)
	}
	if len(stars(r.old)) > maxStars {
		return r, fmt.Errorf("more than %d stars", maxStars)
	}
	return r, nil
}

func stars(parts []string) []string {
	var s []string
	for _, p := range parts {
		if p == "*" || p == "**" {
			s = append(s, p)
		}
	}
	return s
}

// apply returns the new name, and whether the rule fits.
func (r *rule) apply(name string) (string, bool) {
	if strings.Count(name, ".") > maxParts {
		return name, false
	}
	parts := strings.Split(name, ".")
	caught, rest, ok := r.match(r.old, parts, nil)
	if !ok {
		return name, false
	}
	var out []string
	next := 0
	for _, p := range r.new {
		if p == "*" || p == "**" {
			out = append(out, caught[next]...)
			next++
		} else {
			out = append(out, p)
		}
	}
	return strings.Join(append(out, rest...), "."), true
}

// match returns what the stars stood for and what follows a beginning.
func (r *rule) match(pattern, parts []string, caught [][]string) ([][]string, []string, bool) {
	if len(pattern) == 0 {
		if r.begins {
			return caught, parts, len(parts) > 0
		}
		return caught, nil, len(parts) == 0
	}
	switch p := pattern[0]; {
	case p == "**":
		for n := 0; n <= len(parts); n++ {
			if c, rest, ok := r.match(pattern[1:], parts[n:], append(caught[:len(caught):len(caught)], parts[:n])); ok {
				return c, rest, true
			}
		}
	case len(parts) == 0:
	case p == "*":
		return r.match(pattern[1:], parts[1:], append(caught[:len(caught):len(caught)], parts[:1]))
	case p == parts[0]:
		return r.match(pattern[1:], parts[1:], caught)
	}
	return nil, nil, false
}

// Apply renames tensors. A rule that fits no name is an error that names the
// nearest one, and so are two tensors that would get the same name. The
// returned map is new; tensors are shared. A nil KeyMap changes nothing.
func (k *KeyMap) Apply(tensors map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	names := slices.Sorted(maps.Keys(tensors))
	to, unused, err := k.Rename(names)
	if err != nil {
		return nil, err
	}
	if len(unused) > 0 {
		old, _, _ := strings.Cut(unused[0], "=")
		old = strings.TrimSuffix(old, ".")
		return nil, fmt.Errorf("key rule %s fits no tensor%s", unused[0], suggest.Phrase(old, beginnings(names, strings.Count(old, ".")+1)))
	}
	out := make(map[string]*tensor.Tensor, len(tensors))
	for i, n := range names {
		if to[i] != "" {
			out[to[i]] = tensors[n]
		}
	}
	return out, nil
}

// Rename returns the new name of each name, "" for one that is dropped, and the
// rules that fitted no name. Two equal new names are an error. A nil KeyMap
// changes nothing.
func (k *KeyMap) Rename(names []string) (to, unused []string, err error) {
	to = slices.Clone(names)
	if k == nil {
		return to, nil, nil
	}
	for _, r := range k.rules {
		used := false
		for i, n := range to {
			if n == "" {
				continue
			}
			renamed, ok := r.apply(n)
			if !ok {
				continue
			}
			used = true
			if to[i] = renamed; r.drop {
				to[i] = ""
			} else if renamed == "" {
				return nil, nil, fmt.Errorf("key rule %s leaves nothing of the name %s", r.text, names[i])
			}
		}
		if !used {
			unused = append(unused, r.text)
		}
	}
	from := map[string]string{}
	for i, n := range to {
		if n == "" {
			continue
		}
		if other, dup := from[n]; dup {
			return nil, nil, fmt.Errorf("tensors %s and %s would both be named %s", other, names[i], n)
		}
		from[n] = names[i]
	}
	return to, unused, nil
}

// beginnings returns the first n parts of the names, each once.
func beginnings(names []string, n int) []string {
	var out []string
	for _, name := range names {
		parts := strings.Split(name, ".")
		b := strings.Join(parts[:min(n, len(parts))], ".")
		if !slices.Contains(out, b) && len(out) < 1000 {
			out = append(out, b)
		}
	}
	return out
}
