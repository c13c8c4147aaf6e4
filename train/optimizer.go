package train

// Optimizer is how a network learns: [SGD], [AdamW], [LARS], or an
// [OptimizerRecipe] as recipes have it.
type Optimizer interface {
	// recipe returns the optimizer as recipes have it, and its learning rate.
	recipe() (o OptimizerRecipe, lr float64)
}

// SGD is stochastic gradient descent; see graph.SGD. LR is the learning rate,
// with a [Schedule] its peak. Weight decay leaves out biases and normalization.
type SGD struct {
	LR, Momentum, WeightDecay float64
	Nesterov                  bool
	ClipNorm                  float64 // limit of the gradients' norm; 0 is off
}

func (o SGD) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "sgd", Momentum: o.Momentum, Nesterov: o.Nesterov, WeightDecay: o.WeightDecay, ClipNorm: o.ClipNorm}, o.LR
}

// AdamW is Adam with decoupled weight decay; see graph.AdamW. LR is the learning
// rate, with a [Schedule] its peak. Weight decay leaves out biases and
// normalization. Zero betas and Eps are PyTorch's defaults 0.9, 0.999 and 1e-8.
type AdamW struct {
	LR, WeightDecay, Beta1, Beta2, Eps float64
	ClipNorm                           float64 // limit of the gradients' norm; 0 is off
}

func (o AdamW) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "adamw", WeightDecay: o.WeightDecay, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, ClipNorm: o.ClipNorm}, o.LR
}

// LARS is for very large batches; see graph.LARS. LR is the learning rate, with
// a [Schedule] its peak. Weight decay leaves out biases and normalization. A
// zero Trust is 0.001.
type LARS struct {
	LR, Momentum, WeightDecay, Trust float64
}

func (o LARS) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "lars", Momentum: o.Momentum, WeightDecay: o.WeightDecay, Trust: o.Trust}, o.LR
}

func (o OptimizerRecipe) recipe() (OptimizerRecipe, float64) { return o, 0 }
