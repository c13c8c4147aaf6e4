package train

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
)

// doubt returns why the best result of a run is worth little; "" if it is not, or
// nothing was evaluated. One class answered always gives the accuracy that others
// must exceed.
func doubt(m *Metrics, ds data.Dataset) string {
	if m != nil && m.Detection != nil && m.Detection.Objects > 0 && m.Detection.Boxes[1] < 0.01 {
		return fmt.Sprintf("the best AP50, %.3f, means that nearly no object is found: the detector has learned nothing useful. "+
			"More epochs (detectors need hundreds of steps), a trained model to start from (--model FILE) or another learning rate (resnet train --lr-find) may help; resnet data check looks for faults in the data", m.Detection.Boxes[1])
	}
	if m == nil || ds == nil || ds.MultiLabel() || m.Samples == 0 || m.KNN != nil {
		return ""
	}
	most, class := 0, 0
	for k, n := range data.ClassCounts(ds) {
		if n > most {
			most, class = n, k
		}
	}
	share := float64(most) / float64(ds.Len())
	right := int(math.Round(m.Top1 * float64(m.Samples)))
	chance := tail(m.Samples, right, share) > 0.05
	switch {
	case m.Top1 <= share || chance && m.Samples >= 50:
		return fmt.Sprintf("the best top-1, %s of %d pictures, is not reliably better than always answering %q (%s): the network has learned nothing useful. "+
			"More epochs, another learning rate (resnet train --lr-find) or a trained model to start from (--model FILE) may help; resnet data check looks for faults in the data",
			term.Percent(m.Top1), m.Samples, ds.Classes()[class], term.Percent(share))
	case chance:
		return fmt.Sprintf("the best top-1, %s of %d pictures, may be chance: always answering %q gives %s. Evaluate on more pictures",
			term.Percent(m.Top1), m.Samples, ds.Classes()[class], term.Percent(share))
	}
	return ""
}

// tail returns the probability of k or more successes in n trials of probability p.
func tail(n, k int, p float64) float64 {
	if k <= 0 || p >= 1 {
		return 1
	}
	lg := func(x int) float64 {
		v, _ := math.Lgamma(float64(x) + 1)
		return v
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}
