package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/ssl"
)

// The input size, network and batch for learning from photographs without labels.
const (
	viewSize  = 96
	viewModel = "resnet18"
	viewBatch = 64
)

// ChooseMethod returns cfg with the recipe of a way to learn without labels, one of
// [SSLMethods]. Those recipes are for pictures like CIFAR's; of folders and tars the sizes
// of some pictures are looked at, and for photographs the recipe gets larger inputs, a
// larger network, smaller batches and blur, as for ImageNet (Chen et al. 2020, appendix
// A). Keys in Set, and a Model, stay as they are given.
func ChooseMethod(cfg Config, method string) (Config, error) {
	rec, err := LoadRecipe(method, cfg.Set...)
	if err != nil {
		return cfg, err
	}
	cfg.Recipe = rec
	given := cfg.Set
	cfg.Set = nil
	kind, _, _ := cut(cfg.Data)
	if cfg.Splits == nil && !slices.Contains([]string{"folder", "multilabel", "tar"}, kind) {
		return cfg, nil
	}
	facts, err := factsOf(cfg, rec)
	if err != nil || facts.side <= 2*tinySide {
		return cfg, err
	}
	keys := keysOf(given)
	var set []string
	add := func(key, value string) {
		if !slices.ContainsFunc(keys, func(k string) bool { return k == key || strings.HasPrefix(k, key+".") || strings.HasPrefix(key, k+".") }) {
			set = append(set, key+"="+value)
		}
	}
	add("size", fmt.Sprint(viewSize))
	add("preprocess", "imagenet")
	add("batch_size", fmt.Sprint(viewBatch))
	if cfg.Model == "" {
		add("model", viewModel)
	}
	if rec.SSL.Method != ssl.Rotation {
		views := []string{"augment"}
		if rec.SSL.Second != nil {
			views = append(views, "ssl.second")
		}
		for _, of := range views {
			add(of+".gaussian_blur", "{p: 0.5, sigma: [0.1, 2]}")
		}
	}
	if cfg.Recipe, err = loadRecipe(method, set, given); err != nil {
		return cfg, err
	}
	model := cfg.Model
	if model == "" {
		model = cfg.Recipe.Model
	}
	cfg.chosen = append(cfg.chosen, fmt.Sprintf("chosen for photographs, %d pixels wide or high: %s at %d pixels, batches of %d, blur; change it by flags or --set, see --print-recipe",
		facts.side, model, cfg.Recipe.Size, cfg.Recipe.BatchSize))
	return cfg, nil
}
