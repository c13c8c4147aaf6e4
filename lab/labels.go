package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/lab/report"
	"github.com/resnet-go/resnet/train"
)

// The families of the experiment labels, and its backbone that is not trained.
const (
	supervisedName = "supervised"
	pretextName    = "self-supervised"
	untrainedName  = "random"
)

// pretextMethods are the recipes that train without labels.
var pretextMethods = []string{"simsiam", "simclr"}

// labelDraws is the number of random choices of the labels for each run.
const labelDraws = 5

// withLabels and withoutLabels are the keys of recipes, and the beginnings of keys, that
// only networks which learn from labels have, and only the others.
var (
	withLabels    = []string{"loss", "balanced", "distill", "finetune", "lr.gate", "lr.aux"}
	withoutLabels = []string{"ssl"}
)

// Reach divides changes of recipes, each KEY=VALUE, into those for the networks that learn
// from labels and those for the networks that do not: a key that only the ones have
// reaches only these, any other key both.
func Reach(set []string) (labels, none []string) {
	of := func(s string, keys []string) bool {
		key, _, _ := strings.Cut(s, "=")
		key = strings.TrimSpace(key)
		return slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
	}
	for _, s := range set {
		if !of(s, withoutLabels) {
			labels = append(labels, s)
		}
		if !of(s, withLabels) {
			none = append(none, s)
		}
	}
	return labels, none
}

// Pretexts are the recipes without labels of a study, and the names of their networks.
func (o *Options) Pretexts() (recipes, names []string) {
	if o.Pretext == "" {
		return pretextMethods, pretextMethods
	}
	name := strings.TrimSuffix(filepath.Base(o.Pretext), filepath.Ext(o.Pretext))
	if name == supervisedName || name == untrainedName {
		name = pretextName
	}
	return []string{o.Pretext}, []string{name}
}

// backbones are networks that are trained with all labels, and without labels by each of
// the recipes of [Options.Pretext]. What must be equal for a comparison is that of the
// network with labels: epochs, batches and what the network sees of a picture.
func backbones(o *Options) ([]Variant, error) {
	var vs []Variant
	recipes, names := o.Pretexts()
	for _, d := range o.Depths {
		name := func(kind string) string {
			if len(o.Depths) > 1 {
				return kind + "-" + strconv.Itoa(d)
			}
			return kind
		}
		model := fmt.Sprintf("resnet%d-cifar", d)
		sup := o.variant(model, name(supervisedName), supervisedName, float64(d))
		of := sup.Recipe
		vs = append(vs, sup)
		for i, recipe := range recipes {
			set := slices.Concat(o.PretextSet, []string{fmt.Sprintf("batch_size=%d", of.BatchSize)})
			if of.Epochs > 0 { // which also shortens the warm-up
				set = append(set, fmt.Sprintf("epochs=%d", of.Epochs))
			}
			own, err := train.LoadRecipe(recipe, set...)
			if err != nil {
				return nil, err
			}
			own.Model, own.Epochs, own.Iterations = model, of.Epochs, of.Iterations
			own.Preprocess, own.Size, own.EvalBatch, own.EvalEvery = of.Preprocess, of.Size, of.EvalBatch, max(1, of.Epochs)
			own.Checkpoint = of.Checkpoint
			vs = append(vs, Variant{Name: name(names[i]), Family: pretextName, X: float64(d), Recipe: own})
		}
	}
	return vs, nil
}

// labeled is what simple classifiers make of a backbone's features: with a number of
// labels of each class, for each draw; 0 stands for all labels.
type labeled struct {
	Labels []int                  `json:"labels"`
	Draws  [][]features.Judgement `json:"draws"`
}

// judged measures the features of a run: those of its last epoch, or of its first
// weights.
func (s *Study) judged(ctx context.Context, r *Run, untrained bool) (labeled, error) {
	name := "labels"
	if untrained {
		name += "-untrained"
	}
	return kept(r, name, func() (l labeled, err error) {
		m, err := s.backbone(r, untrained)
		if err != nil {
			return l, err
		}
		sp, err := s.open(s.Data, data.Options{})
		if err != nil {
			return l, err
		}
		defer sp.Close()
		of := r.Variant.Name
		if untrained {
			of += ", untrained"
		}
		what := fmt.Sprintf("%s, seed %d: features", of, r.Seed)
		s.Log.line("%s", what)
		known, err := m.EmbedDataset(ctx, sp.Train, resnet.EvaluateOptions{Progress: s.Log.pictures(what, sp.Train.Len())})
		if err != nil {
			return l, err
		}
		queries, err := m.EmbedDataset(ctx, sp.Eval(), resnet.EvaluateOptions{Progress: s.Log.pictures(what+" of test", sp.Eval().Len())})
		if err != nil {
			return l, err
		}
		opt := features.LinearOptions{Threads: s.Threads}
		near := features.Neighbors{Threads: s.Threads}
		for _, each := range labelCounts(known.Set) {
			draws, err := features.JudgeFew(ctx, known.Set, queries.Set, each, labelDraws, r.Seed, near, opt)
			if err != nil {
				return l, err
			}
			l.Labels, l.Draws = append(l.Labels, each), append(l.Draws, draws)
		}
		_, all, err := features.Judge(known.Set, queries.Set, near, opt)
		l.Labels, l.Draws = append(l.Labels, 0), append(l.Draws, []features.Judgement{all})
		return l, err
	})
}

// labelCounts are the numbers of labels of a class that all classes of a set have.
func labelCounts(s features.Set) []int {
	has := make([]int, s.Classes)
	for _, l := range s.Labels {
		has[l]++
	}
	least := len(s.Labels)
	for _, n := range has {
		if n > 0 {
			least = min(least, n)
		}
	}
	var counts []int
	for _, n := range []int{1, 2, 5, 10, 20, 50, 100, 500} {
		if n < least {
			counts = append(counts, n)
		}
	}
	return counts
}

// backbone opens the network of a run.
func (s *Study) backbone(r *Run, untrained bool) (*resnet.Model, error) {
	opt := resnet.Options{Threads: s.Threads, Batch: 128}
	if !untrained {
		return resnet.Open(filepath.Join(r.Dir, train.LastFile), opt)
	}
	net, err := s.fresh(r)
	if err != nil {
		return nil, err
	}
	prep, err := r.Variant.Recipe.Input()
	if err != nil {
		return nil, err
	}
	return resnet.FromModule(net.Module, resnet.Description{Name: untrainedName, Preprocess: prep}, opt)
}

// labelsPage is the page of the experiment labels.
func labelsPage(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	linear := &report.Figure{ID: "linear", Title: "Linear classifier", XLabel: "labels of each class", YLabel: "test accuracy", Percent: true}
	near := &report.Figure{ID: "neighbors", Title: "Nearest neighbors", XLabel: "labels of each class", YLabel: "test accuracy", Percent: true}
	table := &report.Table{Title: "Accuracy of the linear classifier"}
	for _, d := range s.Depths {
		type row struct {
			name string
			all  []labeled
		}
		var rows []row
		for i := range s.Variants {
			v := &s.Variants[i]
			if v.X != float64(d) {
				continue
			}
			var own, fresh []labeled
			for _, r := range s.usable(v) {
				l, err := s.judged(ctx, r, false)
				if err != nil {
					return nil, nil, err
				}
				own = append(own, l)
				if v.Family != supervisedName {
					continue
				}
				if l, err = s.judged(ctx, r, true); err != nil {
					return nil, nil, err
				}
				fresh = append(fresh, l)
			}
			if len(own) > 0 {
				rows = append(rows, row{v.Name, own})
			}
			if len(fresh) > 0 {
				name := untrainedName
				if len(s.Depths) > 1 {
					name += "-" + strconv.Itoa(d)
				}
				rows = append(rows, row{name, fresh})
			}
		}
		_, pretexts := s.Pretexts()
		ordered := slices.Concat([]string{untrainedName}, pretexts, []string{supervisedName})
		for _, w := range rows {
			color := slices.IndexFunc(ordered, func(n string) bool { return n == w.name || n+"-"+strconv.Itoa(d) == w.name })
			dashed := slices.Index(s.Depths, d) > 0
			a, b := report.Series{Name: w.name, Color: color, Dashed: dashed}, report.Series{Name: w.name, Color: color, Dashed: dashed}
			cells := []string{w.name}
			heads, names := []string{"backbone"}, []string{}
			for k, each := range w.all[0].Labels {
				var draws []features.Judgement
				for _, l := range w.all {
					draws = append(draws, l.Draws[k]...)
				}
				add := func(to *report.Series, of func(features.Judgement) float64) (mean, std float64) {
					mean, std = features.MeanStd(draws, of)
					to.X, to.Y, to.Err = append(to.X, float64(k)), append(to.Y, mean), append(to.Err, std)
					return mean, std
				}
				mean, std := add(&a, func(j features.Judgement) float64 { return j.Linear })
				add(&b, func(j features.Judgement) float64 { return j.KNN })
				text := fmt.Sprintf("%.1f %%", 100*mean)
				if len(draws) > 1 {
					text += fmt.Sprintf(" ± %.1f", 100*std)
				}
				name := "all"
				if each > 0 {
					name = strconv.Itoa(each)
				}
				cells, heads, names = append(cells, text), append(heads, name), append(names, name)
			}
			linear.Series, near.Series = append(linear.Series, a), append(near.Series, b)
			linear.XNames, near.XNames, table.Heads = names, names, heads
			table.Rows = append(table.Rows, cells)
		}
	}
	return []report.Section{{
		Title: "Accuracy by the number of labels",
		Text: []string{fmt.Sprintf("The backbones do not change: a linear classifier (logistic regression) and the nearest neighbors get the features of so "+
			"many labeled training pictures of each class, and are judged by the test pictures. Mean and standard deviation of %d random choices for each run. "+
			"The supervised backbone was trained with all labels, so it shows what can be reached and not what few labels give; the random one has its first weights.", labelDraws)},
		Figures: []*report.Figure{linear, near}, Tables: []*report.Table{table},
	}}, labelFindings(linear), nil
}

// labelFindings tells in words what the figure shows at 10 labels, or the number nearest
// to it, and with all.
func labelFindings(f *report.Figure) []string {
	if len(f.Series) == 0 {
		return nil
	}
	last := len(f.XNames) - 1
	at := slices.Index(f.XNames, "10")
	if at < 0 {
		at = max(0, last-1)
	}
	var out []string
	for _, k := range slices.Compact([]int{at, last}) {
		text := fmt.Sprintf("With %s labels of each class, a linear classifier of the features reaches", f.XNames[k])
		if f.XNames[k] == "all" {
			text = "With all labels, a linear classifier of the features reaches"
		}
		for i, s := range f.Series {
			if i > 0 {
				text += ","
			}
			text += fmt.Sprintf(" %.1f %% (%s)", 100*s.Y[k], s.Name)
		}
		out = append(out, text+".")
	}
	return out
}
