package graph

// Detach is its input, through which no gradient flows: PyTorch's detach. It cuts
// proposals from the detector that made them, and the target branch of SimSiam
// (Chen and He 2021) from the loss. Input of any type and shape; output the same.
type Detach struct{}

func (Detach) Name() string { return "Detach" }

func (Detach) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	return []Type{in[0]}, nil
}
