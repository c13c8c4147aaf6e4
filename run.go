package resnet

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
)

// Run computes all outputs of the network, by name, for a batch of inputs by name:
// infer.Output is what the network returns, and nn.ImageInput the pictures [N C H W],
// in either layout, as [Model.Preprocess] prepares them. It is for networks of several
// inputs or outputs (see nn.Context.Input); the other methods, which take pictures
// alone, return an error if the network needs more. A detector has no Run.
func (m *Model) Run(ctx context.Context, in infer.Tensors) (infer.Tensors, error) {
	if m.task == models.Detection {
		return nil, fmt.Errorf("resnet: %s is a detector: use Detect, not Run", m.name)
	}
	out, err := m.runner.Run(ctx, infer.Query{}, in)
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	return out, nil
}
