package train

// plateauState is the progress of a plateau schedule.
type plateauState struct {
	Scale  float64 `json:"scale"` // of the peak
	Best   float64 `json:"best"`  // the lowest loss
	Waited int     `json:"waited"`
}

// plateauThreshold is the share by which a loss must fall to count as lower.
const plateauThreshold = 1e-4

// plateau lowers the rate of a plateau schedule after an evaluation without a
// lower loss, and reports whether it did.
func (s *state) plateau(lr *Schedule, loss float64) bool {
	if lr.Kind != Plateau {
		return false
	}
	p := s.Plateau
	if p == nil {
		s.Plateau = &plateauState{Scale: 1, Best: loss}
		return false
	}
	if loss < p.Best*(1-plateauThreshold) {
		p.Best, p.Waited = loss, 0
		return false
	}
	p.Waited++
	patience := lr.Patience
	if patience == 0 {
		patience = 10
	}
	if p.Waited <= patience {
		return false
	}
	before := p.Scale
	p.Waited = 0
	p.Scale = max(p.Scale*orDefault(lr.Gamma, 0.1), lr.Final)
	return p.Scale < before
}
