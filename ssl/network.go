// Package ssl trains backbones without labels (self-supervised learning). [New] puts a
// projector, and what else a [Method] needs, above a network of package models. The
// result is a module whose output in training is the loss of a batch of views, so that
// a step of training is one graph, in which the stopped gradient is [graph.Detach] and
// the moving average of BYOL's target is [graph.EMA]. Package train trains it by the
// recipes simsiam, byol, simclr, barlow, vicreg and rotation.
package ssl

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// The other ports of the graph of a training step.
const (
	// MomentumInput is a scalar input, the decay of BYOL's target: see
	// [Config.MomentumAt].
	MomentumInput = "target_momentum"
	// SpreadOutput is a scalar output that shows whether the network collapses: the
	// standard deviation of each coordinate of the first views' projections, normalized
	// to length 1, as a mean over the coordinates and times the root of their number
	// (Chen and He 2021, section 4.1). It is about 1 if the projections spread over the
	// sphere and 0 if they are all alike. For rotation, it is that of the backbone's
	// features, which are not negative: healthy values are smaller.
	SpreadOutput = "spread"
	// DimensionsOutput is a scalar output that shows the other way to collapse, which the
	// spread does not: the effective number of directions in which the normalized first
	// projections differ, tr(C)²/tr(C²) of their covariance C (the participation ratio). It
	// is 1 if they all lie on one line, and at most the number of pictures less 1.
	DimensionsOutput = "dimensions"
)

// Network is a backbone under training without labels. In training, Forward takes views
// of N pictures, [2N C H W], the first views of all pictures before the second, and
// returns the loss, a scalar; for rotation, [4N C H W], all pictures turned by 0, 90, 180
// and 270 degrees counterclockwise. Views pass through the backbone one after the other,
// so that batch norms see one view at a time, as in the papers' code. At inference, it
// returns the backbone's features [N F].
//
// The state-dict keys of the backbone are its own; those of the other parts begin with
// "pretext." (weights.PretextPrefix), by which a model file keeps them as state of the training.
type Network struct {
	*models.Model

	Projector  nn.Sequential `key:"pretext.projector"`
	Predictor  nn.Sequential `key:"pretext.predictor"`  // SimSiam, BYOL
	Norm       *nn.BatchNorm `key:"pretext.norm"`       // Barlow
	Target     *models.Model `key:"pretext.target"`     // BYOL
	TargetProj nn.Sequential `key:"pretext.targetproj"` // BYOL
	Turned     *nn.Linear    `key:"pretext.turned"`     // Rotation

	pretext Config
}

// New returns a network that trains a backbone, which has no last layer: a
// configuration of 0 classes. The backbone gets its values from [nn.Init] or [nn.Load]
// before or after, the rest from [Network.Start].
func New(backbone *models.Model, c Config) (*Network, error) {
	if backbone == nil {
		return nil, errors.New("ssl: the backbone is nil")
	}
	if task := backbone.Config.Task(); task != models.Features {
		return nil, fmt.Errorf("ssl: %s is a network for %s, must be a backbone without a last layer: build it with 0 classes", backbone.Config.Name, task)
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("ssl: %w", err)
	}
	c = c.Complete()
	n := &Network{Model: backbone, pretext: c}
	f := backbone.Config.Features()
	switch c.Method {
	case Rotation:
		n.Turned = nn.NewLinear(f, 4)
		return n, nil
	case SimSiam:
		// The norms of the projector and within the predictor, and none at its end: the
		// paper's table 3.
		n.Projector = projector(f, c, true)
		n.Predictor = nn.Sequential{withoutBias(nn.NewLinear(c.Dim, c.Predictor)), nn.NewBatchNorm1d(c.Predictor), nn.NewReLU(), nn.NewLinear(c.Predictor, c.Dim)}
	case BYOL:
		n.Projector = projector(f, c, false)
		n.Predictor = nn.Sequential{nn.NewLinear(c.Dim, c.Predictor), nn.NewBatchNorm1d(c.Predictor), nn.NewReLU(), nn.NewLinear(c.Predictor, c.Dim)}
		var err error
		if n.Target, err = backbone.Config.Build(); err != nil {
			return nil, fmt.Errorf("ssl: the target: %w", err)
		}
		n.TargetProj = projector(f, c, false)
		for _, p := range n.targets() {
			p.target.Frozen = true
		}
	case Barlow:
		n.Projector = projector(f, c, false)
		n.Norm = plainNorm(c.Dim)
	default:
		n.Projector = projector(f, c, false)
	}
	return n, nil
}

// projector returns linear layers with norms and ReLUs between them; normed ends in a
// norm without parameters.
func projector(in int, c Config, normed bool) nn.Sequential {
	var s nn.Sequential
	for range c.Layers - 1 {
		s = append(s, withoutBias(nn.NewLinear(in, c.Hidden)), nn.NewBatchNorm1d(c.Hidden), nn.NewReLU())
		in = c.Hidden
	}
	last := nn.NewLinear(in, c.Dim)
	if !normed {
		return append(s, last)
	}
	return append(s, withoutBias(last), plainNorm(c.Dim))
}

// withoutBias leaves out a bias that the norm behind the layer would cancel.
func withoutBias(l *nn.Linear) *nn.Linear {
	l.Bias = nil
	return l
}

// plainNorm returns a batch norm whose scale stays 1 and whose shift stays 0: PyTorch's
// affine=False.
func plainNorm(features int) *nn.BatchNorm {
	b := nn.NewBatchNorm1d(features)
	b.Weight.Frozen, b.Bias.Frozen = true, true
	return b
}

// Pretext returns the configuration, complete.
func (n *Network) Pretext() Config { return n.pretext }

// twin is a parameter of BYOL's target and the one that it follows.
type twin struct{ target, online *nn.Param }

// targets returns the parameters of BYOL's target; none for another method. Running
// statistics are not among them: the target has its own.
func (n *Network) targets() []twin {
	if n.Target == nil {
		return nil
	}
	var all []twin
	for _, pair := range [][2]nn.Module{{n.Target, n.Model}, {n.TargetProj, n.Projector}} {
		online := nn.Params(pair[1])
		for i, e := range nn.Params(pair[0]) {
			if !e.Param.Buffer {
				all = append(all, twin{e.Param, online[i].Param})
			}
		}
	}
	return all
}

// Start gives everything above the backbone its first values, by the seed, and BYOL's
// target the backbone's, which must have some. It does not change the backbone.
func (n *Network) Start(seed uint64) error {
	before := map[*nn.Param]*tensor.Tensor{}
	for _, e := range nn.Params(n.Model) {
		if e.Param.Value == nil {
			return fmt.Errorf("ssl: the backbone's parameter %q has no value: initialize or load the backbone first", e.Name)
		}
		before[e.Param] = e.Param.Value
	}
	err := nn.Init(n, seed)
	for p, v := range before {
		p.Value = v
	}
	if err != nil {
		return err
	}
	for _, t := range n.targets() {
		t.target.Value = t.online.Value.Clone()
	}
	if n.Target != nil { // a trained backbone's statistics, too
		online := nn.Params(n.Model)
		for i, e := range nn.Params(n.Target) {
			if e.Param.Buffer {
				e.Param.Value = online[i].Param.Value.Clone()
			}
		}
	}
	return nil
}

// Forward returns the loss in training, else features.
func (n *Network) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if !c.Training {
		return c.Call(n.Model, x)
	}
	rows := n.pretext.Rows()
	if len(x.Shape) != 4 || x.Shape[0]%rows != 0 || x.Shape[0] < 2*rows {
		c.Failf("the input must be %d rows [C H W] of each of two or more pictures, got %v", rows, x.Shape)
	}
	pictures := x.Shape[0] / rows
	if n.pretext.Method == Rotation {
		return n.rotation(c, x, pictures)
	}
	var views, z [2]*graph.Value
	for i := range views {
		views[i] = c.Slice(x, 0, i*pictures, pictures, 1)
		z[i] = c.Call(n.Projector, c.Call(n.Model, views[i]))
	}
	gauge(c, z[0])
	switch n.pretext.Method {
	case SimSiam:
		return n.simsiam(c, z)
	case BYOL:
		return n.byol(c, views, z)
	case SimCLR:
		return n.simclr(c, z)
	case Barlow:
		return n.barlow(c, z)
	default:
		return n.vicreg(c, z)
	}
}
