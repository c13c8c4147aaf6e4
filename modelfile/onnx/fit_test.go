package onnx

import (
	"slices"
	"testing"
)

// TestOpenSizesOfMaps sees that a network that gives a map of classes for pictures of any
// size is not taken for a classifier of pictures as large as its channels.
func TestOpenSizesOfMaps(t *testing.T) {
	for _, dims := range [][]int64{{-1, 3, -1, -1}, {1, 3, -1, -1}, {-1, -1, -1, -1}, {-1, 3, 64, -1}, {-1, 3, -1, 64}} {
		p := file(13, []*nodeProto{op("Conv", []string{"x", "w"}, attrIs("pads", 1, 1, 1, 1))}, floatsOf("w", make([]float32, 2*3*3*3), 2, 3, 3, 3))
		p.graph.inputs[0].dims, p.graph.inputs[0].names = dims, make([]string, 4)
		m, err := Decode(bytesOf(p))
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.FitPictures(PictureOptions{})
		if err != nil {
			t.Errorf("%v: %v", dims, err)
			continue
		}
		if !got.Maps || !got.Free || got.Classes != 2 || got.Input[0] != 3 || slices.Min(got.Input[1:]) < 28 {
			t.Errorf("%v: pictures %v, maps %v, free %v, %d classes", dims, got.Input, got.Maps, got.Free, got.Classes)
		}
	}
}
