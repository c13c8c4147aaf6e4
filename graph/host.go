package graph

import "github.com/resnet-go/resnet/tensor"

// HostOp is an operator of your own that computes itself: any type with a name, a
// shape rule and Compute is one. The engine runs it as one step of a plan, among its
// own kernels, in inference and in training; a detector chooses its proposals and
// samples its targets so. Shapes are those of the shape rule, so an operator whose
// results vary in number gives a fixed capacity and a mask.
//
// To let gradients pass, implement [Differentiable], too: Grad may apply another HostOp.
// Without it, a loss that depends on the outputs stops with an [*Error]; where no
// gradient should pass, apply [Detach] to the outputs.
type HostOp interface {
	Op
	// Compute sets the elements of out from in. The tensors have the types of the
	// shape rule and are laid out as N, C, H, W, whatever the engine does inside; in
	// may be shared with other operators and must only be read, and the elements of
	// out are undefined before. Neither may be kept after the return.
	//
	// An error ends the run, which returns it with the operator's name and module
	// path. Compute must depend on nothing but in, so that a run can be repeated:
	// random numbers come from a seed and a step among the inputs. It is called by one
	// goroutine for each run, but runs may overlap, so it must not change the operator
	// without a lock.
	Compute(in, out []*tensor.Tensor) error
}
