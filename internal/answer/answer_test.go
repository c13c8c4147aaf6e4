package answer

import "testing"

func TestScore(t *testing.T) {
	for _, c := range []struct{ better, worse int }{
		{Score("predictions", "softmax", 1), Score("features", "", 1)},
		{Score("main", "softmax", 1), Score("aux", "softmax", 1)},
		{Score("logits", "", 1), Score("pooled_features", "", 1)},
		{Score("output", "softmax", 1), Score("logits", "", 1)},
		{Score("out", "", 1), Score("maps", "", 3)},
		{Score("dense", "sigmoid", 1), Score("dense_1", "", 1)},
	} {
		if c.better <= c.worse {
			t.Errorf("%d is not above %d", c.better, c.worse)
		}
	}
	if Score("a", "", 1) != Score("b", "", -1) {
		t.Error("what is not known counts")
	}
}
