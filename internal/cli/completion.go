package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/train"
)

// completeAll gives the shell what it completes arguments and flags of all commands
// with, by the flags' names, which mean the same everywhere.
func completeAll(root *cobra.Command) {
	byFlag := map[string]cobra.CompletionFunc{
		"data": completeData, "val-data": completeData, "calib": completeData,
		"set": completeSet,
	}
	byArgument := map[string]cobra.CompletionFunc{
		"resnet summary": one(completeNetwork), "resnet quantize": one(completeTrained),
		"resnet pull":  completePublished,
		"resnet bench": completeNetwork, "resnet tune": completeNetwork,
		"resnet data check": one(completeBoxes), "resnet data split": one(completeData),
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		byFlag["model"] = completeTrained
		if cmd.Name() == "train" || cmd.Name() == "convert" { // a name alone is enough
			byFlag["model"] = completeNetwork
		}
		for name, complete := range byFlag {
			if cmd.Flags().Lookup(name) == nil || cmd.Hidden {
				continue
			}
			if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
				panic(err) // only if it is registered twice
			}
		}
		if complete := byArgument[cmd.CommandPath()]; complete != nil {
			cmd.ValidArgsFunction = complete
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// one completes the first argument only.
func one(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, typed)
	}
}

// completeNetwork completes MODEL: a network's name, NAME@FILE, or a file.
func completeNetwork(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if name, file, ok := strings.Cut(typed, "@"); ok {
		return completePath(name+"@", file)
	}
	names := starting(models.Names(), typed)
	if typed != "" { // else the published ones would hide the networks
		names = append(names, starting(publishedNames(), typed)...)
	}
	return names, cobra.ShellCompDirectiveDefault // without a name that fits, the shell completes files
}

// completeTrained completes MODEL where it needs weights: NAME@FILE, or a file.
func completeTrained(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if name, file, ok := strings.Cut(typed, "@"); ok {
		return completePath(name+"@", file)
	}
	if found := starting(publishedNames(), typed); typed != "" && len(found) > 0 {
		return found, cobra.ShellCompDirectiveDefault
	}
	var names []string
	if typed != "" { // else files: most models are one
		for _, n := range starting(models.Names(), typed) {
			names = append(names, n+"@")
		}
	}
	if len(names) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return names, cobra.ShellCompDirectiveNoSpace
}

// completePublished completes the name of a published model.
func completePublished(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return starting(publishedNames(), typed), cobra.ShellCompDirectiveNoFileComp
}

// publishedNames returns the names of published models that the program knows.
func publishedNames() []string {
	var names []string
	for _, p := range hub.AllPublished() {
		names = append(names, p.Name().String())
	}
	return names
}

// completeData completes the SPEC of data with labels, KIND:PATH.
func completeData(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return completeSpec(dataKinds(), typed)
}

// completeBoxes completes the SPEC of data with labels or boxes.
func completeBoxes(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	kinds := append(dataKinds(), detection.Kinds()...)
	slices.Sort(kinds)
	return completeSpec(slices.Compact(kinds), typed)
}

func completeSpec(kinds []string, typed string) ([]string, cobra.ShellCompDirective) {
	if kind, path, ok := strings.Cut(typed, ":"); ok {
		return completePath(kind+":", path)
	}
	var specs []string
	for _, k := range starting(kinds, typed) {
		specs = append(specs, k+":")
	}
	return specs, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completePath completes a path after a prefix, which the shell would take for a part
// of the path.
func completePath(prefix, typed string) ([]string, cobra.ShellCompDirective) {
	dir, base := filepath.Split(typed)
	at := dir
	if at == "" {
		at = "."
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || base == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := prefix + dir + e.Name()
		if info, err := os.Stat(dir + e.Name()); err == nil && info.IsDir() {
			path, directive = path+string(filepath.Separator), directive|cobra.ShellCompDirectiveNoSpace
		}
		found = append(found, path)
	}
	return found, directive
}

// completeSet completes KEY=VALUE: the keys, and the values that are names.
func completeSet(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	key, value, hasKey := strings.Cut(typed, "=")
	if !hasKey {
		var keys []string
		for _, k := range starting(train.RecipeKeys(), typed) {
			keys = append(keys, k+"=")
		}
		return keys, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	values := map[string][]string{
		"optimizer.name": train.OptimizerNames(), "lr.schedule": train.ScheduleNames(), "loss.name": train.LossNames(),
		"model": models.Names(), "bf16": {"native", "emulate", "off"}, "loss.class_weights": {"balanced"},
	}
	var found []string
	for _, v := range starting(values[key], value) {
		found = append(found, key+"="+v)
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// starting returns the values that begin with what was typed.
func starting(values []string, typed string) []string {
	var found []string
	for _, v := range values {
		if strings.HasPrefix(v, typed) {
			found = append(found, v)
		}
	}
	return found
}
