package models

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestConfigJSON: model files of earlier versions hold these descriptions, and
// other programs read them, so that their bytes stay.
func TestConfigJSON(t *testing.T) {
	for name, want := range map[string]string{
		"resnet101d": `{"name":"resnet101d","classes":1000,"in_channels":3,"input_size":224,"stem":"deep","block":"bottleneck","layers":[3,4,23,3],` +
			`"width":64,"groups":1,"width_per_group":64,"shortcut":"B","activation":"relu","avg_down":true}`,
		"resnet20-cifar+cbam+exclusive-gate+stochastic-depth": `{"name":"resnet20-cifar+cbam+exclusive-gate+stochastic-depth","classes":10,` +
			`"in_channels":3,"input_size":32,"stem":"cifar","block":"basic","layers":[3,3,3],"width":16,"groups":1,"width_per_group":64,` +
			`"shortcut":"A","activation":"relu","drop_path":0.5,"attention":"cbam","join":"exclusive-gate","gate_bias":-6}`,
		"plain20-cifar+small-init+no-norm": `{"name":"plain20-cifar+small-init+no-norm","classes":10,"in_channels":3,"input_size":32,"stem":"cifar",` +
			`"block":"basic","layers":[3,3,3],"width":16,"groups":1,"width_per_group":64,"shortcut":"none","activation":"relu","no_norm":true,"conv_init":"small"}`,
	} {
		cfg, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is described by\n%s, want\n%s", name, got, want)
		}
	}
	// Without a shortcut it is option B.
	cfg, err := ParseConfig([]byte(`{"classes":2,"in_channels":3,"input_size":32,"stem":"cifar","block":"basic","layers":[1,1,1],"width":16,"groups":1,"width_per_group":64,"activation":"relu"}`))
	if err != nil || cfg.Shortcut != ShortcutB {
		t.Errorf("shortcut %q, %v", cfg.Shortcut, err)
	}
}

// TestKnobs: each knob is named after a field of Config's JSON, and no variant
// has the name of another.
func TestKnobs(t *testing.T) {
	fields := map[string]bool{}
	for f := range reflect.TypeFor[Config]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[key] = true
	}
	seen := map[string]bool{}
	for _, k := range knobs {
		if !fields[k.key] {
			t.Errorf("no field of Config has the key %q", k.key)
		}
		for _, v := range k.variants {
			if seen[v.name] {
				t.Errorf("two variants are named %q", v.name)
			}
			seen[v.name] = true
		}
	}
}
