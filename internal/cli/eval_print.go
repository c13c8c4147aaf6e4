package cli

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
)

func (c *evalCommand) printSingle(e *evaluation) error {
	r := e.Single
	c.head(e)
	c.printf("pictures     %s\n", term.Count(r.Samples))
	c.printf("top-1        %s  (%s wrong)\n", term.Percent(r.Top1), term.Count(r.Samples-int(r.Top1*float64(r.Samples)+0.5)))
	c.printf("top-5        %s\n", term.Percent(r.Top5))
	c.printf("loss         %.4f\n", r.Loss)
	k := r.Calibration
	c.printf("calibration  ECE %s; at temperature %.3f: ECE %s, loss %.4f\n\n",
		term.Percent(k.ECE), k.Temperature, term.Percent(k.ECEScaled), k.LossScaled)

	t := classTable()
	for _, class := range r.Classes {
		classRow(t, class.Name, class.Samples, class.Scores)
	}
	t.Rule()
	classRow(t, "mean of classes", r.Samples, r.Macro)
	classRow(t, "mean by pictures", r.Samples, r.Weighted)
	if _, err := t.WriteTo(c.out); err != nil {
		return err
	}
	if err := c.printConfusion(r.Confusion); err != nil {
		return err
	}
	if len(r.MostMixedUp) > 0 {
		c.printf("\nmixed up most\n")
		t := term.NewTable("true", "taken for", ">pictures", ">of the class")
		for _, p := range r.MostMixedUp {
			t.Row(p.True, p.Predicted, term.Count(p.Count), term.Percent(p.Share))
		}
		if _, err := t.WriteTo(c.out); err != nil {
			return err
		}
	}
	if len(e.Worst) == 0 {
		return nil
	}
	c.printf("\nmost wrong\n")
	t = term.NewTable("picture", "true", "taken for", ">probability", ">of the true", ">loss")
	for _, p := range e.Worst {
		t.Row(p.Name, p.True, p.Predicted, term.Percent(p.Probability), term.Percent(p.TrueProbability), fmt.Sprintf("%.3f", p.Loss))
	}
	_, err := t.WriteTo(c.out)
	return err
}

func classTable() *term.Table {
	return term.NewTable("class", ">pictures", ">precision", ">recall", ">F1")
}

func classRow(t *term.Table, name string, n int, s metrics.Scores) {
	t.Row(name, term.Count(n), term.Percent(s.Precision), term.Percent(s.Recall), fmt.Sprintf("%.4f", s.F1))
}

// printConfusion prints the matrix if it fits on a screen.
func (c *evalCommand) printConfusion(m *metrics.Confusion) error {
	const most = 30
	if len(m.Classes) > most {
		c.printf("\nThe confusion matrix of %d classes is in --json and --out.\n", len(m.Classes))
		return nil
	}
	c.printf("\nconfusion: a row is a true class, a column what it was taken for\n")
	heads := []string{"true", ">#"}
	for i := range m.Classes {
		heads = append(heads, fmt.Sprintf(">%d", i))
	}
	t := term.NewTable(heads...)
	for i, row := range m.Counts {
		cells := []any{m.Classes[i], i}
		for _, n := range row {
			if n == 0 {
				cells = append(cells, "·")
				continue
			}
			cells = append(cells, n)
		}
		t.Row(cells...)
	}
	_, err := t.WriteTo(c.out)
	return err
}

func (c *evalCommand) printMulti(e *evaluation) error {
	r := e.Multi
	c.head(e)
	c.printf("pictures  %s\n", term.Count(r.Samples))
	c.printf("mAP       %s\n", term.Percent(r.MAP))
	c.printf("exact     %s  (all labels right)\n", term.Percent(r.Exact))
	c.printf("hamming   %s  (wrong decisions)\n", term.Percent(r.Hamming))
	c.printf("loss      %.4f\n\n", r.Loss)
	t := term.NewTable("label", ">pictures", ">precision", ">recall", ">F1", ">AP")
	row := func(name string, n int, s metrics.Scores, ap string) {
		t.Row(name, term.Count(n), term.Percent(s.Precision), term.Percent(s.Recall), fmt.Sprintf("%.4f", s.F1), ap)
	}
	for _, class := range r.Classes {
		row(class.Name, class.Samples, class.Scores, term.Percent(class.AP))
	}
	t.Rule()
	row("mean of labels", r.Samples, r.Macro, term.Percent(r.MAP))
	row("all decisions", r.Samples, r.Micro, "")
	_, err := t.WriteTo(c.out)
	return err
}
