package train

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/chart"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/weights"
)

// results writes the reports of a run: results.csv, TensorBoard's events and the
// curves. A nil results writes nothing.
type results struct {
	dir    string
	head   []string   // of results.csv
	rows   [][]string // of results.csv
	events *eventWriter
	drawn  time.Time // when the curves were drawn last
	stale  *state    // what they do not show yet; nil if they are up to date
}

// curvesEvery is the time between two drawings of the curves: they take longer than an
// epoch of few pictures.
const curvesEvery = 5 * time.Second

var csvHead = []string{"epoch", "step", "lr", "train_loss", "train_top1", "train_top5",
	"val_loss", "val_top1", "val_top5", "val_map", "images_per_second", "seconds", "data_wait"}

// csvHeadPixels is for segmentation.
var csvHeadPixels = []string{"epoch", "step", "lr", "train_loss", "train_pixel_accuracy",
	"val_loss", "val_mean_iou", "val_pixel_accuracy", "images_per_second", "seconds", "data_wait"}

// csvHeadViews is for training without labels.
var csvHeadViews = []string{"epoch", "step", "lr", "train_loss", "train_spread", "train_dimensions", "val_knn", "images_per_second", "seconds", "data_wait"}

// csvHeadObjects is for detectors.
var csvHeadObjects = []string{"epoch", "step", "lr", "train_loss",
	"train_loss_objectness", "train_loss_rpn_box_reg", "train_loss_classifier", "train_loss_box_reg", "train_loss_mask",
	"val_box_ap", "val_box_ap50", "val_box_ap75", "val_mask_ap", "val_mask_ap50", "images_per_second", "seconds", "data_wait"}

// csvHeadRetina is for RetinaNets.
var csvHeadRetina = []string{"epoch", "step", "lr", "train_loss", "train_classification", "train_bbox_regression",
	"val_box_ap", "val_box_ap50", "val_box_ap75", "images_per_second", "seconds", "data_wait"}

// maxResults is the limit of results.csv, whose rows take some hundred bytes.
const maxResults = 64 << 20

// csvTimes is the number of columns at the end that hold times.
const csvTimes = 3

// eventsEvery is the number of steps between two points of TensorBoard's curves.
const eventsEvery = 10

// openResults starts the files of a run, or continues them from the state's epoch:
// rows of later epochs, which will be trained again, are dropped.
func openResults(dir string, st *state, meta weights.Meta, head []string) (*results, error) {
	r := &results{dir: dir, head: head}
	err := atomicfile.Write(filepath.Join(dir, RecipeFile), func(w io.Writer) error {
		_, err := io.WriteString(w, meta.Recipe)
		return err
	})
	if err != nil {
		return nil, err
	}
	old := map[string][]string{}
	if b, err := limitread.File(filepath.Join(dir, ResultsFile), maxResults); err == nil && len(st.History) > 0 {
		rows, _ := csv.NewReader(bytes.NewReader(b)).ReadAll() // damaged rows are written again
		for _, row := range rows {
			if len(row) == len(r.head) {
				old[row[0]] = row
			}
		}
	}
	for _, rec := range st.History {
		row := r.row(rec)
		if o := old[row[0]]; o != nil {
			copy(row[len(row)-csvTimes:], o[len(o)-csvTimes:]) // times are in no checkpoint
		}
		r.rows = append(r.rows, row)
	}
	if r.events, err = openEvents(dir, st.Update); err != nil {
		return nil, err
	}
	return r, nil
}

// row returns the cells of an epoch, without times.
func (r *results) row(rec EpochRecord) []string {
	f := func(x float64) string { return strconv.FormatFloat(x, 'g', 8, 64) }
	cells := map[string]string{"epoch": strconv.Itoa(rec.Epoch), "step": strconv.Itoa(rec.Step), "lr": f(rec.LR),
		"train_loss": f(rec.Train.Loss), "train_top1": f(rec.Train.Top1), "train_top5": f(rec.Train.Top5), "train_pixel_accuracy": f(rec.Train.PixelAccuracy)}
	if g := rec.Train.Gauge; g != nil {
		cells["train_spread"], cells["train_dimensions"] = f(g.Spread), f(g.Dimensions)
	}
	if d := rec.Train.Detection; d != nil {
		for name, v := range d.Parts {
			cells["train_"+name] = f(v)
		}
	}
	if v := rec.Val; v != nil && v.Detection != nil {
		d := v.Detection
		cells["val_box_ap"], cells["val_box_ap50"], cells["val_box_ap75"] = f(d.Boxes[0]), f(d.Boxes[1]), f(d.Boxes[2])
		if d.Masks != nil {
			cells["val_mask_ap"], cells["val_mask_ap50"] = f(d.Masks[0]), f(d.Masks[1])
		}
	} else if v != nil && v.KNN != nil {
		cells["val_knn"] = f(*v.KNN)
	} else if v != nil {
		cells["val_loss"], cells["val_mean_iou"], cells["val_pixel_accuracy"] = f(v.Loss), f(v.MeanIoU), f(v.PixelAccuracy)
		if v.MAP > 0 {
			cells["val_map"] = f(v.MAP)
		} else {
			cells["val_top1"], cells["val_top5"] = f(v.Top1), f(v.Top5)
		}
	}
	row := make([]string, len(r.head))
	for i, name := range r.head {
		row[i] = cells[name]
	}
	return row
}

// step writes a point of the curves within an epoch.
func (r *results) step(s StepRecord) error {
	if r == nil || r.events == nil || s.Step%eventsEvery != 0 {
		return nil
	}
	return r.wrap(r.events.scalars(s.Step, []string{"step/loss", "step/lr"}, []float64{s.Loss, s.LR}))
}

// wrap closes an event file that could not be written, since records after a gap
// could not be read. The next epoch starts another file.
func (r *results) wrap(err error) error {
	if err == nil {
		return nil
	}
	if r.events != nil {
		r.events.close() // after an error that matters more
		r.events = nil
	}
	return &unwritten{fmt.Errorf("TensorBoard events in %s: %w", r.dir, err)}
}

// epoch writes an epoch to all files.
func (r *results) epoch(rec EpochRecord, st *state, p pace) error {
	row := r.row(rec)
	for i, t := range [csvTimes]string{
		strconv.FormatFloat(p.rate, 'f', 1, 64), strconv.FormatFloat(p.elapsed.Seconds(), 'f', 1, 64), strconv.FormatFloat(p.wait, 'f', 4, 64),
	} {
		row[len(row)-csvTimes+i] = t
	}
	r.rows = append(r.rows, row)
	err := atomicfile.Write(filepath.Join(r.dir, ResultsFile), func(w io.Writer) error {
		var b bytes.Buffer
		cw := csv.NewWriter(&b)
		if err := cw.WriteAll(append([][]string{r.head}, r.rows...)); err != nil {
			return err
		}
		_, err := w.Write(b.Bytes())
		return err
	})
	if err != nil {
		return &unwritten{err}
	}
	if r.events == nil {
		if r.events, err = openEvents(r.dir, 0); err != nil {
			return &unwritten{err}
		}
	}
	tags, vals := rec.Train.scalars("train")
	tags, vals = append(tags, "lr", "images_per_second", "data_wait"), append(vals, rec.LR, p.rate, p.wait)
	if rec.Val != nil {
		t, v := rec.Val.scalars("val")
		tags, vals = append(tags, t...), append(vals, v...)
	}
	if err := r.wrap(r.events.scalars(rec.Step, tags, vals)); err != nil {
		return err
	}
	if err := r.wrap(r.events.flush()); err != nil {
		return err
	}
	r.stale = st
	if time.Since(r.drawn) < curvesEvery {
		return nil
	}
	return r.draw()
}

// draw draws the curves, if they are not up to date.
func (r *results) draw() error {
	if r.stale == nil {
		return nil
	}
	if err := r.curves(r.stale); err != nil {
		return err
	}
	r.drawn, r.stale = time.Now(), nil
	return nil
}

// scalars returns the names of TensorBoard's curves of a part, and their values.
func (m Metrics) scalars(part string) (tags []string, vals []float64) {
	if m.KNN != nil {
		return []string{"knn/" + part}, []float64{*m.KNN}
	}
	if d := m.Detection; d != nil {
		return d.scalars(part, m.Loss)
	}
	tags, vals = []string{"loss/" + part}, []float64{m.Loss}
	if m.Gauge != nil {
		return append(tags, "spread/"+part, "dimensions/"+part), append(vals, m.Gauge.Spread, m.Gauge.Dimensions)
	}
	if m.PixelAccuracy > 0 {
		tags, vals = append(tags, "pixel_accuracy/"+part), append(vals, m.PixelAccuracy)
		if part == "val" {
			tags, vals = append(tags, "mean_iou/"+part), append(vals, m.MeanIoU)
		}
		return tags, vals
	}
	tags, vals = append(tags, "top1/"+part, "top5/"+part), append(vals, m.Top1, m.Top5)
	if m.MAP > 0 {
		tags, vals = append(tags, "map/"+part), append(vals, m.MAP)
	}
	return tags, vals
}

// scalars is Metrics.scalars of a detector.
func (d *DetectionMetrics) scalars(part string, loss float64) (tags []string, vals []float64) {
	add := func(name string, v float64) { tags, vals = append(tags, name+"/"+part), append(vals, v) }
	if d.Parts != nil {
		add("loss", loss)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
		add(name, d.Parts[name])
	}
	if d.Boxes != nil {
		add("box_ap", d.Boxes[0])
		add("box_ap50", d.Boxes[1])
	}
	if d.Masks != nil {
		add("mask_ap", d.Masks[0])
		add("mask_ap50", d.Masks[1])
	}
	return tags, vals
}

// curves draws loss, accuracy and learning rate by epoch.
func (r *results) curves(st *state) error {
	var x, loss, top1, lr, vx, vloss, vtop1, spread []float64
	score := "top-1 accuracy, %"
	for _, rec := range st.History {
		x = append(x, float64(rec.Epoch))
		loss, top1, lr = append(loss, rec.Train.Loss), append(top1, 100*(rec.Train.Top1+rec.Train.PixelAccuracy)), append(lr, rec.LR)
		if g := rec.Train.Gauge; g != nil {
			spread = append(spread, g.Spread)
		}
		if v := rec.Val; v != nil {
			vx = append(vx, float64(rec.Epoch))
			vloss, vtop1 = append(vloss, v.Loss), append(vtop1, 100*v.Score())
			switch {
			case v.KNN != nil:
				score, vloss = "k-nearest-neighbor accuracy, %", nil
			case v.Detection != nil:
				score, vloss = "AP of boxes, %", nil // there is no loss of validation
			case v.MAP > 0:
				score = "mean average precision, %"
			case v.PixelAccuracy > 0:
				score = "mean IoU, %"
			}
		}
	}
	series := func(train, val []float64) []chart.Series {
		s := []chart.Series{{Name: "train", X: x, Y: train}}
		if len(val) > 0 {
			s = append(s, chart.Series{Name: "validation", X: vx, Y: val})
		}
		return s
	}
	accuracy := series(top1, vtop1)
	if score[0] != 't' && len(vtop1) > 0 {
		accuracy = accuracy[1:] // there is none of training
	}
	second := chart.Panel{Title: "Accuracy", XLabel: "epoch", YLabel: score, Series: accuracy}
	if len(spread) > 0 && len(vtop1) == 0 {
		second = chart.Panel{Title: "Spread of the features", XLabel: "epoch", YLabel: "spread, 1 is healthy", Series: []chart.Series{{X: x, Y: spread}}}
	}
	c, err := chart.Lines(
		chart.Panel{Title: "Loss", XLabel: "epoch", YLabel: "loss", Series: series(loss, vloss)},
		second,
		chart.Panel{Title: "Learning rate", XLabel: "epoch", YLabel: "learning rate", Series: []chart.Series{{X: x, Y: lr}}},
	)
	if err != nil {
		return err
	}
	for _, name := range []string{CurvesPNG, CurvesSVG} {
		if err := c.Save(filepath.Join(r.dir, name)); err != nil {
			return &unwritten{err}
		}
	}
	return nil
}

// close draws the curves and ends the event file.
func (r *results) close() error {
	if r == nil {
		return nil
	}
	err := r.draw()
	if r.events != nil {
		closed := r.events.close()
		r.events = nil
		if err == nil {
			err = r.wrap(closed)
		}
	}
	return err
}
