package cli

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInspectVision: filters and feature maps of detectors and segmentation networks are
// drawn, at the size in which these see a picture.
func TestInspectVision(t *testing.T) {
	dir := t.TempDir()
	picture, out := filepath.Join(dir, "x.png"), filepath.Join(dir, "sheet.png")
	writePicture(t, picture, 1)
	for _, c := range []struct {
		model string
		args  []string
		want  inspectLine
	}{
		{detectorModel(t), nil, inspectLine{Layer: "backbone.body.conv1", Shape: []int{16, 3, 3, 3}}},
		{detectorModel(t), []string{picture}, inspectLine{Layer: "backbone.body.conv1", Shape: []int{16, 32, 32}}},
		{detectorModel(t), []string{picture, "--layer", "backbone.fpn.layer_blocks.1"}, inspectLine{Layer: "backbone.fpn.layer_blocks.1", Shape: []int{8, 16, 16}}},
		{pixelModel(t), []string{picture}, inspectLine{Layer: "encoder.conv1", Shape: []int{16, 32, 32}}},
		{pixelModel(t), []string{picture, "--layer", "encoder.layer3"}, inspectLine{Layer: "encoder.layer3", Shape: []int{64, 8, 8}}},
	} {
		args := append([]string{"inspect", "-m", c.model, "-o", out, "--json"}, c.args...)
		var line inspectLine
		if err := json.Unmarshal([]byte(done(t, args...)), &line); err != nil || line.Layer != c.want.Layer || !slices.Equal(line.Shape, c.want.Shape) {
			t.Errorf("%s: %+v, %v, want %+v", args, line, err, c.want)
		}
		readPNG(t, out)
	}
}

// TestExplainObjects: the best object, numbered ones and those of a class are
// explained, as text, JSON and a sheet; what does not go together is an error.
func TestExplainObjects(t *testing.T) {
	model, dir := detectorModel(t), t.TempDir()
	picture, sheet := filepath.Join(dir, "x.png"), filepath.Join(dir, "sheet.png")
	writePicture(t, picture, 1)
	var found detectLine
	if err := json.Unmarshal([]byte(done(t, "detect", "-m", model, picture, "--threshold", "0", "--json")), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Objects) < 2 {
		t.Fatalf("%d objects", len(found.Objects))
	}
	var line explainLine
	text := done(t, "explain", "-m", model, picture, "--box", "2,1", "-o", sheet, "--json")
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	if len(line.Maps) != 2 {
		t.Fatalf("%s", text)
	}
	for i, m := range line.Maps {
		o := found.Objects[1-i]
		if m.Object != 2-i || *m.Box != o.Box || m.Class != o.Class || m.Probability != o.Score || !strings.HasPrefix(m.Layer, "backbone.fpn.layer_blocks.") {
			t.Errorf("the map is of %+v, want %+v", m, o)
		}
	}
	readPNG(t, sheet)
	if text := done(t, "explain", "-m", model, picture, "-o", sheet, "--layer", "backbone.body.layer3"); !strings.Contains(text, "object 1, ") || !strings.Contains(text, "layer3") {
		t.Errorf("output %s", text)
	}
	done(t, "explain", "-m", model, picture, "--class", found.Objects[0].Class, "--method", "guided", "--raw", filepath.Join(dir, "map.npy"))
	for want, args := range map[string][]string{
		"is below 1":         {"--box", "0"},
		"leave out --class":  {"--box", "1", "--class", "Bag"},
		"counted from 1":     {"--box", "100"},
		"is for classifiers": {"--method", "occlusion"},
		"no layer":           {"--layer", "layer9"},
		"nothing of class background, which stands for no object": {"--class", "background"},
		"is a model for classifi":                                 {"--box", "1", "-m", fashionModel(t, nil)},
	} {
		args = append([]string{"explain", "-m", model, picture, "-o", sheet}, args...)
		if code, _, errs := cli(t, args...); code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s", args, code, errs)
		}
	}
}
