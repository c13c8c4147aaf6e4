package ssl

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
)

// Method is a way to learn without labels.
type Method string

// The methods.
const (
	// SimSiam predicts the projection of one view from the other, with a stopped
	// gradient (Chen and He 2021, arXiv 2011.10566, algorithm 1).
	SimSiam Method = "simsiam"
	// BYOL predicts the projection that a moving average of the network gives of the
	// other view (Grill et al. 2020, arXiv 2006.07733, section 3.1).
	BYOL Method = "byol"
	// SimCLR tells the other view of a picture from all other pictures of the batch
	// (Chen et al. 2020, arXiv 2002.05709, equation 1: NT-Xent).
	SimCLR Method = "simclr"
	// Barlow makes the correlations of the features of two views the identity
	// (Zbontar et al. 2021, arXiv 2103.03230, equation 1: Barlow Twins).
	Barlow Method = "barlow"
	// VICReg keeps two views close, each feature varying and no two of them correlated
	// (Bardes et al. 2022, arXiv 2105.04906, section 4).
	VICReg Method = "vicreg"
	// Rotation recognizes by which of four right angles a picture was turned
	// (Gidaris et al. 2018, arXiv 1803.07728, section 2).
	Rotation Method = "rotation"
)

// Methods returns the names of all methods.
func Methods() []string {
	return []string{string(SimSiam), string(BYOL), string(SimCLR), string(Barlow), string(VICReg), string(Rotation)}
}

// Config describes what is trained above the backbone. A zero number stands for the
// method's usual value, see [Config.Complete].
type Config struct {
	Method Method `yaml:"method"`
	// The projector maps the backbone's features to Dim numbers by Layers linear
	// layers, of which the inner ones have Hidden outputs. Rotation has none.
	Layers int `yaml:"layers,omitempty"`
	Hidden int `yaml:"hidden,omitempty"`
	Dim    int `yaml:"dim,omitempty"`
	// Predictor is the number of hidden units of the predictor of SimSiam and BYOL.
	Predictor int `yaml:"predictor,omitempty"`
	// Temperature divides the similarities of SimCLR.
	Temperature float64 `yaml:"temperature,omitempty"`
	// Lambda is the weight of the correlations between different features of Barlow.
	Lambda float64 `yaml:"lambda,omitempty"`
	// Similarity, Variance and Covariance are the weights of VICReg's three terms.
	Similarity float64 `yaml:"similarity,omitempty"`
	Variance   float64 `yaml:"variance,omitempty"`
	Covariance float64 `yaml:"covariance,omitempty"`
	// Scale multiplies the loss of Barlow.
	Scale float64 `yaml:"scale,omitempty"`
	// Momentum is the decay of BYOL's target at the start of training; it rises to 1 at
	// the end, see [Config.MomentumAt].
	Momentum float64 `yaml:"momentum,omitempty"`
	// NoStopGradient lets the gradient of SimSiam flow into both branches, which makes
	// it collapse: an experiment of the paper (section 4.1).
	NoStopGradient bool `yaml:"no_stop_gradient,omitempty"`
}

// Complete returns the configuration with the usual values of its method for zeros:
// those of the papers' experiments on CIFAR-10, or of solo-learn, a collection of all
// methods, where the paper has none.
func (c Config) Complete() Config {
	or := func(x *int, usual int) {
		if *x == 0 {
			*x = usual
		}
	}
	orF := func(x *float64, usual float64) {
		if *x == 0 {
			*x = usual
		}
	}
	layers, hidden, dim := 2, 2048, 2048
	switch c.Method {
	case SimSiam:
		or(&c.Predictor, 512)
	case BYOL:
		hidden, dim = 4096, 256
		or(&c.Predictor, 4096)
		orF(&c.Momentum, 0.99)
	case SimCLR:
		dim = 128
		orF(&c.Temperature, 0.5)
	case Barlow:
		layers = 3
		orF(&c.Lambda, 0.0051)
		orF(&c.Scale, 0.1)
	case VICReg:
		layers = 3
		orF(&c.Similarity, 25)
		orF(&c.Variance, 25)
		orF(&c.Covariance, 1)
	case Rotation:
		return c
	}
	or(&c.Layers, layers)
	or(&c.Hidden, hidden)
	or(&c.Dim, dim)
	return c
}

// The limits of a projector: wider ones are a mistake.
const (
	maxLayers = 8
	maxWidth  = 1 << 16
)

// Check returns an error that names the field that is out of range or does not belong
// to the method.
func (c Config) Check() error {
	if !slices.Contains(Methods(), string(c.Method)) {
		if c.Method == "" {
			return fmt.Errorf("method is empty: name one of %s", strings.Join(Methods(), ", "))
		}
		return fmt.Errorf("unknown method %q%s", c.Method, suggest.Phrase(string(c.Method), Methods()))
	}
	of := func(ms ...Method) bool { return slices.Contains(ms, c.Method) }
	for _, f := range []struct {
		name       string
		v          float64
		fits       bool
		least, top float64
	}{
		{"layers", float64(c.Layers), !of(Rotation), 1, maxLayers},
		{"hidden", float64(c.Hidden), !of(Rotation), 1, maxWidth},
		{"dim", float64(c.Dim), !of(Rotation), 2, maxWidth},
		{"predictor", float64(c.Predictor), of(SimSiam, BYOL), 1, maxWidth},
		{"temperature", c.Temperature, of(SimCLR), 1e-3, 100},
		{"lambda", c.Lambda, of(Barlow), 1e-9, 1e3},
		{"scale", c.Scale, of(Barlow), 1e-9, 1e3},
		{"similarity", c.Similarity, of(VICReg), 1e-9, 1e6},
		{"variance", c.Variance, of(VICReg), 1e-9, 1e6},
		{"covariance", c.Covariance, of(VICReg), 1e-9, 1e6},
		{"momentum", c.Momentum, of(BYOL), 1e-9, 1},
	} {
		switch {
		case f.v == 0:
		case !f.fits:
			return fmt.Errorf("%s is %v, but the method %s has no such setting: leave it out", f.name, f.v, c.Method)
		case !(f.v >= f.least && f.v <= f.top):
			return fmt.Errorf("%s is %v, must be %v to %v, or 0 for the usual value", f.name, f.v, f.least, f.top)
		}
	}
	if c.NoStopGradient && !of(SimSiam) {
		return fmt.Errorf("no_stop_gradient is set, but the method is %s: it belongs to simsiam", c.Method)
	}
	return nil
}

// Rows returns the number of rows that a batch has of each picture: two views, or four
// rotations.
func (c Config) Rows() int {
	if c.Method == Rotation {
		return 4
	}
	return 2
}

// MomentumAt returns the decay of BYOL's target for the forward pass of an update,
// numbered from 0, of a training of total updates. It follows
//
//	1 - (1-Momentum)*(cos(π k/total)+1)/2
//
// with k the number of updates before the one whose result the target takes in, as in
// code that updates the target after the optimizer (Grill et al. 2020, appendix J: k and
// K). At update 0 there is nothing to take in.
func (c Config) MomentumAt(update, total int) float64 {
	k := float64(max(update-1, 0))
	return 1 - (1-c.Complete().Momentum)*(math.Cos(math.Pi*k/float64(max(total, 1)))+1)/2
}
