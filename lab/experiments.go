package lab

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/train"
)

var experiments = []Experiment{
	{
		Name: "degradation", Title: "Degradation: plain and residual networks by depth",
		Question: "Does a deeper plain network train worse than a shallower one, and does a residual one not?",
		Source:   "He et al., Deep Residual Learning for Image Recognition, 2015, figures 1, 4 and 6",
		defaults: depths(20, 56),
		variants: byDepth("plain", "resnet"),
		page:     degradation,
	},
	{
		Name: "gradients", Title: "Gradient and signal by layer",
		Question: "How strong are the gradient and the signal in each layer, before and after training?",
		Source:   "He et al. 2015, figure 7; Glorot and Bengio 2010",
		defaults: depths(56),
		variants: byDepth("plain", "resnet", "highway", "preresnet"),
		page:     gradients,
	},
	{
		Name: "landscape", Title: "The loss around what was learned",
		Question: "How does the loss change around the weights that training found, with and without shortcuts?",
		Source:   "Li et al., Visualizing the Loss Landscape of Neural Nets, 2018",
		defaults: depths(20, 56),
		variants: byDepth("plain", "resnet"),
		page:     landscape,
	},
	{
		Name: "shortcuts", Title: "Kinds of shortcuts",
		Question: "Which changes to the signal on the shortcut are harmless?",
		Source:   "He et al. 2015, table 3; He et al., Identity Mappings in Deep Residual Networks, 2016, table 1",
		defaults: depths(20),
		variants: variantsOf("", "shortcut-a", "shortcut-b", "shortcut-c", "scale", "half", "exclusive-gate", "shortcut-gate", "shortcut-dropout", "plain"),
		page:     compared("shortcut"),
	},
	{
		Name: "attention", Title: "Attention in the blocks",
		Question: "What does attention to channels and positions add?",
		Source:   "Hu et al. 2018 (SE), Wang et al. 2020 (ECA), Woo et al. 2018 (CBAM)",
		defaults: depths(20),
		variants: variantsOf("", "se", "eca", "cbam"),
		page:     compared("attention"),
	},
	{
		Name: "width-vs-depth", Title: "Width against depth",
		Question: "Are parameters better spent on width or on depth?",
		Source:   "Zagoruyko and Komodakis, Wide Residual Networks, 2016",
		variants: widthVsDepth,
		page:     widthPage,
	},
	{
		Name: "normalization", Title: "Batch normalization on and off",
		Question: "Do plain and residual networks train without batch normalization?",
		Source:   "Ioffe and Szegedy 2015; He et al. 2015, section 4.1",
		defaults: depths(20),
		variants: func(o *Options) ([]Variant, error) {
			return listed(o, pair("plain%d-cifar", "plain, normalized"), pair("plain%d-cifar+no-norm", "plain, not"),
				pair("resnet%d-cifar", "residual, normalized"), pair("resnet%d-cifar+no-norm", "residual, not"))
		},
		page: compared("normalization"),
	},
	{
		Name: "dropout", Title: "Dropout and stochastic depth",
		Question: "Does leaving out activations or blocks in training help the test error?",
		Source:   "Srivastava et al. 2014; Zagoruyko and Komodakis 2016; Huang et al. 2016",
		defaults: depths(20),
		variants: variantsOf("", "block-dropout", "stochastic-depth", "shortcut-dropout"),
		page:     compared("regularization"),
	},
	{
		Name: "schedules", Title: "Learning-rate schedules",
		Question: "Which schedule gets furthest in the same number of epochs?",
		Source:   "He et al. 2015; Loshchilov and Hutter 2017; Smith 2018",
		defaults: depths(20),
		variants: schedules,
		page:     compared("schedule"),
	},
	{
		Name: "init", Title: "First weights",
		Question: "How much do the first weights matter, with and without shortcuts?",
		Source:   "Glorot and Bengio 2010; He et al. 2015b; Goyal et al. 2017",
		defaults: depths(20),
		variants: func(o *Options) ([]Variant, error) {
			return listed(o, pair("resnet%d-cifar", "residual, He"), pair("resnet%d-cifar+xavier-init", "residual, Xavier"),
				pair("resnet%d-cifar+small-init", "residual, 0.01"), pair("resnet%d-cifar+zero-init", "residual, zero"),
				pair("plain%d-cifar", "plain, He"), pair("plain%d-cifar+xavier-init", "plain, Xavier"), pair("plain%d-cifar+small-init", "plain, 0.01"))
		},
		page: compared("first weights"),
	},
	{
		Name: "unravelled", Title: "Deleting blocks",
		Question: "What happens to a trained network when one block is deleted?",
		Source:   "Veit et al., Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016",
		defaults: depths(56),
		variants: byDepth("plain", "resnet"),
		page:     unravelled,
	},
	{
		Name: "table", Title: "Plain, residual and highway networks, measured",
		Question: "What do the textbook's claims about residual learning amount to here?",
		Source:   "He et al. 2015; Srivastava et al. 2015",
		defaults: depths(20, 56),
		variants: byDepth("plain", "resnet", "highway"),
		page:     claimsPage,
	},
	{
		Name: "labels", Title: "Few labels: random, self-supervised and supervised backbones",
		Question:      "How many labels does a linear classifier need, on features learned without labels?",
		Source:        "Chen and He, Exploring Simple Siamese Representation Learning, 2021; Chen et al., A Simple Framework for Contrastive Learning, 2020",
		WithoutLabels: true,
		defaults:      depths(20),
		variants:      backbones,
		page:          labelsPage,
	},
}

// depths sets the depths if none are given.
func depths(d ...int) func(*Options) {
	return func(o *Options) {
		if len(o.Depths) == 0 {
			o.Depths = d
		}
	}
}

// families are the names of the families of byDepth's networks.
var families = map[string]string{"plain": "plain", "resnet": "residual", "highway": "highway", "preresnet": "pre-activation"}

// byDepth makes a variant of each family and depth.
func byDepth(names ...string) func(*Options) ([]Variant, error) {
	return func(o *Options) ([]Variant, error) {
		var vs []Variant
		for _, d := range o.Depths {
			for _, f := range names {
				vs = append(vs, o.variant(fmt.Sprintf("%s%d-cifar", f, d), families[f]+"-"+strconv.Itoa(d), families[f], float64(d)))
			}
		}
		return vs, nil
	}
}

// variant is a network trained by the study's recipe.
func (o *Options) variant(model, name, family string, x float64) Variant {
	r := *o.Recipe
	r.Model = model
	return Variant{Name: name, Family: family, X: x, Recipe: &r}
}

// variantsOf compares variants of one network, each named by the text after the
// plus sign; "" is the network itself.
func variantsOf(names ...string) func(*Options) ([]Variant, error) {
	return func(o *Options) ([]Variant, error) {
		var list []named
		for _, n := range names {
			if n == "" {
				list = append(list, pair("resnet%d-cifar", "as it is"))
			} else {
				list = append(list, pair("resnet%d-cifar+"+n, n))
			}
		}
		return listed(o, list...)
	}
}

// named is a network, with %d for its depth, and its name in reports.
type named struct{ model, name string }

func pair(model, name string) named { return named{model, name} }

// listed makes variants of every depth.
func listed(o *Options, list ...named) ([]Variant, error) {
	var vs []Variant
	for _, d := range o.Depths {
		for i, n := range list {
			name := strings.ReplaceAll(strings.ReplaceAll(n.name, ",", ""), " ", "-")
			if len(o.Depths) > 1 {
				name += "-" + strconv.Itoa(d)
			}
			vs = append(vs, o.variant(fmt.Sprintf(n.model, d), name, n.name, float64(i)))
		}
	}
	return vs, nil
}

// widthVsDepth pairs wide and deep networks with about the same number of
// parameters.
func widthVsDepth(o *Options) ([]Variant, error) {
	var vs []Variant
	for i, m := range []string{"preresnet20-cifar", "wrn-10-2", "preresnet56-cifar", "wrn-16-2", "preresnet110-cifar", "wrn-28-2"} {
		family := "deep"
		if strings.HasPrefix(m, "wrn") {
			family = "wide"
		}
		vs = append(vs, o.variant(m, strings.TrimSuffix(m, "-cifar"), family, float64(i)))
	}
	return vs, nil
}

func schedules(o *Options) ([]Variant, error) {
	var vs []Variant
	for i, name := range []string{train.Constant, train.MultiStep, train.Cosine, train.Polynomial, train.OneCycle} {
		for _, d := range o.Depths {
			v := o.variant(fmt.Sprintf("resnet%d-cifar", d), name, name, float64(i))
			if len(o.Depths) > 1 {
				v.Name += "-" + strconv.Itoa(d)
			}
			lr := train.Schedule{Kind: name, Peak: v.Recipe.LR.Peak, PeakBatch: v.Recipe.LR.PeakBatch, Gate: v.Recipe.LR.Gate}
			if name != train.OneCycle { // which has its own warm-up
				lr.Warmup, lr.WarmupFrom = v.Recipe.LR.Warmup, v.Recipe.LR.WarmupFrom
			}
			if name == train.MultiStep { // at the same shares of the run as in He et al. 2015
				e := float64(v.Recipe.Epochs)
				lr.Milestones, lr.Gamma = []float64{e / 2, 3 * e / 4}, 0.1
			}
			v.Recipe.LR = lr
			vs = append(vs, v)
		}
	}
	return vs, nil
}
