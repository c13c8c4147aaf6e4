package models

import "github.com/resnet-go/resnet/nn"

// Option changes a [Config].
type Option func(*Config)

// Classes sets the number of logits.
func Classes(n int) Option { return func(c *Config) { c.Classes = n } }

// InChannels sets the channels of the images: 1 for grey, 3 for RGB.
func InChannels(n int) Option { return func(c *Config) { c.InChannels = n } }

// InputSize sets the height and width of the images the network is meant for.
func InputSize(n int) Option { return func(c *Config) { c.InputSize = n } }

// Stem sets what comes before the first block.
func Stem(stem string) Option { return func(c *Config) { c.Stem = stem } }

// Blocks sets the kind of block and how many of them each stage has.
func Blocks(block string, layers ...int) Option {
	return func(c *Config) { c.Block, c.Layers = block, layers }
}

// Width sets the planes of the first stage, 64 for ImageNet and 16 for CIFAR.
func Width(n int) Option { return func(c *Config) { c.Width = n } }

// Groups sets the groups of the bottleneck's 3x3 convolution and their width
// for 64 planes: 32 and 4 for ResNeXt-50 32x4d.
func Groups(groups, widthPerGroup int) Option {
	return func(c *Config) { c.Groups, c.WidthPerGroup = groups, widthPerGroup }
}

// Shortcuts sets the kind of shortcut.
func Shortcuts(s Shortcut) Option { return func(c *Config) { c.Shortcut = s } }

// Activation sets the activation function by its name.
func Activation(name string) Option { return func(c *Config) { c.Activation = name } }

// NoNorm takes out batch norm and gives the convolutions biases.
func NoNorm() Option { return func(c *Config) { c.NoNorm = true } }

// V1 puts the bottleneck's stride on its first 1x1 convolution, as the paper has it.
func V1() Option { return func(c *Config) { c.V1 = true } }

// The first weights of convolutions.
const (
	InitHe     = ""       // He et al. 2015b, by fan out
	InitXavier = "xavier" // Glorot and Bengio 2010, normal
	InitSmall  = "small"  // normal with a deviation of 0.01, as in AlexNet (Krizhevsky et al. 2012)
)

var convInits = map[string]nn.Initializer{InitHe: nil, InitXavier: nn.XavierNormal(), InitSmall: nn.Normal(0, 0.01)}

// ConvInit chooses the first weights of all convolutions.
func ConvInit(kind string) Option { return func(c *Config) { c.ConvInit = kind } }

// ZeroInit lets each residual branch start at zero (Goyal et al. 2017, section 5.1).
func ZeroInit() Option { return func(c *Config) { c.ZeroInit = true } }

// Dilate says for the second and later stages whether they dilate instead of
// striding, which keeps the resolution for segmentation and detection.
func Dilate(stages ...bool) Option { return func(c *Config) { c.Dilate = stages } }

// DropPath sets the drop probability of the last block's branch, which falls
// linearly towards the first (Huang et al. 2016).
func DropPath(p float32) Option { return func(c *Config) { c.DropPath = p } }

// Dropout sets the dropout before the last layer.
func Dropout(p float32) Option { return func(c *Config) { c.Dropout = p } }

// PreAct puts norm and activation before each convolution (He et al. 2016).
func PreAct() Option { return func(c *Config) { c.PreAct = true } }

// StemWidth sets the channels of the stem where they differ from the first
// stage's planes.
func StemWidth(n int) Option { return func(c *Config) { c.StemWidth = n } }

// BlockDropout sets the dropout before each block's last convolution
// (Zagoruyko and Komodakis 2016, section 2.4).
func BlockDropout(p float32) Option { return func(c *Config) { c.BlockDropout = p } }

// Attention ends each branch with an attention: [AttentionSE], [AttentionECA]
// or [AttentionCBAM].
func Attention(kind string) Option { return func(c *Config) { c.Attention = kind } }

// Reduction sets how many times fewer channels the bottleneck of SE and CBAM
// has, 16 without it.
func Reduction(n int) Option { return func(c *Config) { c.Reduction = n } }

// Join sets how branch and shortcut meet: [JoinAdd] and its like.
func Join(kind string) Option { return func(c *Config) { c.Join = kind } }

// GateBias sets the first bias of the gates of highways and gated joins: the
// more negative, the more the input is carried.
func GateBias(b float32) Option { return func(c *Config) { c.GateBias = b } }

// AvgDown lets projections average 2x2 pixels before a 1x1 convolution of
// stride 1, in place of one of stride 2 (He et al. 2019, figure 2c).
func AvgDown() Option { return func(c *Config) { c.AvgDown = true } }

// Blur lets strided convolutions and the stem's pooling run at stride 1, blur
// and subsample then (Zhang 2019); see [nn.BlurPool2d].
func Blur() Option { return func(c *Config) { c.Blur = true } }
