package train

import (
	"strings"
	"testing"
)

// TestChooseMethod: photographs get larger inputs, a larger network and blur, unless they
// are set; pictures like CIFAR's get the recipe as it is.
func TestChooseMethod(t *testing.T) {
	large, small := pictureFolder(t, 4, 120), pictureFolder(t, 4, 32)
	for _, method := range SSLMethods() {
		cfg, err := ChooseMethod(Config{Data: large}, method)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		r := cfg.Recipe
		if r.Size != 96 || r.Model != "resnet18" || r.BatchSize != 64 || r.Preprocess.Preset != "imagenet" || len(cfg.chosen) != 1 || !strings.Contains(cfg.chosen[0], "120 pixels") {
			t.Errorf("%s of photographs: size %d, %s, batches of %d, %s, %q", method, r.Size, r.Model, r.BatchSize, r.Preprocess.Preset, cfg.chosen)
		}
		if blur := method != "rotation"; blur != (r.Augment.GaussianBlur != nil) || r.SSL.Second != nil && blur != (r.SSL.Second.GaussianBlur != nil) {
			t.Errorf("%s: blur %v, second %+v", method, r.Augment.GaussianBlur, r.SSL.Second)
		}
		if cfg, err = ChooseMethod(Config{Data: small}, method); err != nil || cfg.Recipe.Model != "resnet20-cifar" || cfg.Recipe.Size != 0 || cfg.chosen != nil {
			t.Errorf("%s of small pictures: %+v, %v", method, cfg.Recipe, err)
		}
	}
	cfg, err := ChooseMethod(Config{Data: large, Model: "resnet34", Set: []string{"size=64", "augment.gaussian_blur.p=0.1", "augment.gaussian_blur.sigma=[1, 2]"}}, "simclr")
	if err != nil || cfg.Recipe.Size != 64 || cfg.Recipe.Augment.GaussianBlur.P != 0.1 || cfg.Recipe.Model != "resnet20-cifar" || !strings.Contains(cfg.chosen[0], "resnet34 at 64") {
		t.Errorf("what is set: %+v, %q, %v", cfg.Recipe, cfg.chosen, err)
	}
	if _, err := ChooseMethod(Config{Data: large, Set: []string{"sise=3"}}, "simclr"); err == nil {
		t.Error("a wrong key is no error")
	}
}
