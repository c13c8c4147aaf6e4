package train

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// TestDetectKeysOfDetectors: a name of a detector becomes what the keys of the recipe
// ask for, and a trained one must be that.
func TestDetectKeysOfDetectors(t *testing.T) {
	dir := objectScenes(t, 2, 1, 1)
	splits := objectConfig(t, dir, "").Splits
	build := func(name string, trained bool, set ...string) (models.Config, *job, error) {
		conf, err := models.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := ParseRecipe("objects.yaml", []byte(strings.Replace(objectRecipe, "channels: 16, box_features: 32, ", "", 1)), set...)
		if err != nil {
			t.Fatal(err)
		}
		j := &job{rec: rec, splits: splits}
		err = j.becomeDetector(&conf, trained)
		return conf, j, err
	}
	const faster = "fasterrcnn_resnet20-cifar_fpn"
	for _, c := range []struct {
		model, becomes string
		set            []string
		key            string // that the file of a detector does not have
	}{
		{faster, faster, nil, ""},
		{faster, faster, []string{"detect.kind=fasterrcnn", "detect.channels=256", "detect.box_features=1024"}, ""},
		{faster, "retinanet_resnet20-cifar_fpn", []string{"detect.kind=retinanet"}, "detect.kind"},
		{faster, "maskrcnn_resnet20-cifar_fpn_v2", []string{"detect.kind=maskrcnn", "detect.v2=true"}, "detect.kind"},
		{faster, faster + "_v2", []string{"detect.v2=true"}, "detect.v2"},
		{faster + "_v2", "retinanet_resnet20-cifar_fpn_v2", []string{"detect.kind=retinanet"}, "detect.kind"},
		{faster, faster, []string{"detect.channels=16"}, "detect.channels"},
		{faster, faster, []string{"detect.box_features=32"}, "detect.box_features"},
		{"maskrcnn_resnet18_fpn", "fasterrcnn_resnet18_fpn", []string{"detect.kind=fasterrcnn"}, "detect.kind"},
		{"resnet20-cifar", faster + "_v2", []string{"detect.v2=true"}, ""},
	} {
		conf, j, err := build(c.model, false, c.set...)
		if err != nil {
			t.Errorf("%s %v: %v", c.model, c.set, err)
			continue
		}
		named, err := models.Lookup(c.becomes)
		if err != nil {
			t.Fatal(err)
		}
		if h, d := conf.Detection, j.rec.Detect; conf.Name != c.becomes || h.Kind != named.Detection.Kind || h.V2 != named.Detection.V2 || len(h.Anchors.Sizes) != len(named.Detection.Anchors.Sizes) ||
			d.Channels > 0 && h.Channels != d.Channels || d.BoxFeatures > 0 && h.BoxFeatures != d.BoxFeatures {
			t.Errorf("%s %v: %s, %+v", c.model, c.set, conf.Name, *h)
		}
		if _, err := conf.Build(); err != nil {
			t.Errorf("%s %v: %v", c.model, c.set, err)
		}
		if other := c.becomes != c.model && strings.Contains(c.model, "_fpn"); other != slices.ContainsFunc(j.notes, func(n string) bool { return strings.Contains(n, c.becomes+" of "+c.model) }) {
			t.Errorf("%s %v: notes %q", c.model, c.set, j.notes)
		}
		_, _, err = build(c.model, true, c.set...)
		if key := (*keyError)(nil); (c.key != "") != errors.As(err, &key) || c.key != "" && (key.key != c.key || !strings.Contains(key.problem, "leave the key out")) {
			t.Errorf("the file of %s %v: %v", c.model, c.set, err)
		}
	}
	// What a RetinaNet does not have is not in its recipe.
	_, j, err := build("retinanet_resnet20-cifar_fpn", true, "detect.box_features=32")
	if err != nil || j.rec.Detect.Proposals != 0 || j.rec.Detect.BoxFeatures != 0 || !strings.Contains(strings.Join(j.notes, "\n"), "detect.box_features and detect.proposals: left out") {
		t.Errorf("%v, %+v, %q", err, j.rec.Detect, j.notes)
	}
}

// TestNothingToEvaluate: a validation part without objects is noted once, the last epoch
// counts, and patience does not end the run.
func TestNothingToEvaluate(t *testing.T) {
	cfg := objectConfig(t, objectScenes(t, 4, 2, 1), t.TempDir(), "epochs=3", "early_stop={patience: 1}")
	empty := *objectsOf(cfg.Splits.Val)
	empty.Pictures = slices.Clone(empty.Pictures)
	for i := range empty.Pictures {
		empty.Pictures[i].Objects = nil
	}
	cfg.Splits.Val = &empty
	var log strings.Builder
	cfg.Log.W = &log
	r := mustRun(t, cfg)
	if r.Epochs != 3 || r.Stopped != "" || r.Best != nil || r.Last.Val != nil || r.BestFile == "" {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"AP cannot be measured", "early_stop (--patience) has no effect"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has not once %q:\n%s", want, &log)
		}
	}
	if s := log.String(); strings.Contains(s, "-1.000") || strings.Contains(s, "(best)") {
		t.Error(s)
	}
	m := Metrics{Detection: &DetectionMetrics{Boxes: []float64{-1, -1}, Masks: []float64{-1, -1}}}
	if got := m.text(); got != "box AP none, AP50 none, mask AP none" {
		t.Error(got)
	}
}

// TestBoxesBelongToClasses: for classes of other names, or in another order, the layers of
// scores and of boxes are both new; else both are those of the file.
func TestBoxesBelongToClasses(t *testing.T) {
	splits := objectConfig(t, objectScenes(t, 2, 1, 1), "").Splits // Bag, Trouser
	build := func(seed uint64) *models.Model {
		net, err := models.New("fasterrcnn_resnet8-cifar_fpn", models.Classes(3), func(c *models.Config) {
			c.Detection.Channels, c.Detection.BoxFeatures = 8, 8
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := nn.Init(net, seed); err != nil {
			t.Fatal(err)
		}
		return net
	}
	const box, body = "roi_heads.box_predictor.", "roi_heads.box_head.fc6.weight"
	for _, c := range []struct {
		classes []string
		kept    bool
	}{
		{[]string{background, "Bag", "Trouser"}, true},
		{[]string{background, "Trouser", "Bag"}, false},
		{[]string{background, "Bag", "Shirt"}, false},
	} {
		of, net := build(1), build(2)
		file := nn.Values(of)
		j := &job{rec: &Recipe{Detect: &DetectRecipe{}}, splits: splits}
		if err := j.keepHead(net, &modelfile.Result{Model: of, File: &weights.File{Tensors: file, Meta: weights.Meta{Classes: c.classes}}}, "x"); err != nil {
			t.Fatal(err)
		}
		got := nn.Values(net)
		for _, layer := range []string{"cls_score.weight", "bbox_pred.weight"} {
			if sameValues(got[box+layer], file[box+layer]) != c.kept {
				t.Errorf("%q: %s is that of the file: %v, want %v", c.classes, layer, !c.kept, c.kept)
			}
		}
		if !sameValues(got[body], file[body]) {
			t.Errorf("%q: %s is not that of the file", c.classes, body)
		}
		if notes := strings.Join(j.notes, "\n"); c.kept != (notes == "") || !c.kept && !strings.Contains(notes, "boxes (roi_heads.box_predictor.bbox_pred)") {
			t.Errorf("%q: %q", c.classes, notes)
		}
	}
}
