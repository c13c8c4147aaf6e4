package models

import "github.com/resnet-go/resnet/nn"

// InitKind is a distribution of the first weights of convolutions.
type InitKind string

// The first weights of convolutions.
const (
	InitHe     InitKind = ""       // He et al. 2015b, by fan out
	InitXavier InitKind = "xavier" // Glorot and Bengio 2010, normal
	InitSmall  InitKind = "small"  // normal with a deviation of 0.01, as in AlexNet (Krizhevsky et al. 2012)
	InitDirac  InitKind = "dirac"  // the first filters keep the image as it is, see [nn.Dirac]; the stem as InitHe
)

// ConvInit chooses the first weights of all convolutions.
func ConvInit(kind InitKind) Option { return func(c *Config) { c.ConvInit = kind } }

var convInitKnob = knob{
	key: "conv_init",
	variants: []named{
		{"xavier-init", "convolutions start as Glorot and Bengio propose", []Option{ConvInit(InitXavier)}},
		{"small-init", "convolutions start with a deviation of 0.01", []Option{ConvInit(InitSmall)}},
		{"dirac-init", "convolutions start as the identity where channels allow", []Option{ConvInit(InitDirac)}},
	},
	check: func(cfg Config) error {
		return known("conv_init", cfg.ConvInit, InitHe, InitXavier, InitSmall, InitDirac)
	},
	network: func(cfg Config, r *ResNet) {
		init := map[InitKind]nn.Initializer{InitXavier: nn.XavierNormal(), InitSmall: nn.Normal(0, 0.01),
			InitDirac: nn.Dirac(nn.HeNormal(nn.FanOut))}[cfg.ConvInit]
		if init == nil {
			return
		}
		for _, m := range nn.Modules(r) {
			if conv, ok := m.(*nn.Conv2d); ok {
				conv.Weight.Init = init
			}
		}
	},
}

// ZeroInit starts each residual branch at zero, so that each block starts as
// its shortcut (Goyal et al. 2017, section 5.1).
func ZeroInit() Option { return func(c *Config) { c.ZeroInit = true } }

var zeroInitKnob = knob{
	key:      "zero_init",
	variants: []named{{"zero-init", "branches start at zero", []Option{ZeroInit()}}},
	residual: func(cfg Config) bool { return cfg.ZeroInit },
	block: func(cfg Config, b *VariantBlock, _, _ int) {
		if cfg.ZeroInit {
			startAtZero(b)
		}
	},
}

// startAtZero sets the last scale of the branch to zero: the norm's if a norm
// comes last, else the convolution's weights.
func startAtZero(b Block) {
	last := b.anatomy().last()
	scale := last.conv.Weight
	if bn, ok := last.norm.(*nn.BatchNorm); ok && !b.anatomy().preAct {
		scale = bn.Weight
	}
	scale.Init = nn.Constant(0)
}
