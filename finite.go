package resnet

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNonFinite is wrapped by the error for a picture on which the network gives
// numbers that are not finite.
var ErrNonFinite = errors.New("not a finite number")

// CheckFinite returns an error that wraps [ErrNonFinite] and names the picture and the
// model if the logits or features of one picture, as [Model.Forward] has computed them,
// are no numbers to go on with; either may be nil. Logits of minus infinity are the
// logarithm of a probability of 0.
func (m *Model) CheckFinite(picture string, logits, features []float32) error {
	what, v := "", float32(0)
	bad := func(v float32) bool { return v != v || math.IsInf(float64(v), 1) }
	if i := slices.IndexFunc(logits, bad); i >= 0 && len(m.classes) > 0 {
		what, v = "score of the class "+m.classes[min(i, len(m.classes)-1)], logits[i]
	} else if i := slices.IndexFunc(features, func(v float32) bool { return bad(v) || math.IsInf(float64(v), -1) }); i >= 0 {
		what, v = fmt.Sprintf("feature %d", i), features[i]
	}
	if what == "" {
		return nil
	}
	return fmt.Errorf("%s: the model %s gives %v as the %s, which is %w: its weights or its preprocessing do not suit the picture", picture, m.name, v, what, ErrNonFinite)
}
