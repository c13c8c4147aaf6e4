package models

import (
	"fmt"
	"strconv"
	"strings"
)

// The networks for CIFAR (He et al. 2015, section 4.2): a 3x3 convolution,
// three stages of n basic blocks with 16, 32 and 64 channels on images of 32,
// 16 and 8 pixels, global average pooling: 6n+2 weight layers. Shortcuts are
// option A. Keys are as for ImageNet: layer1.0.conv1.weight … fc.bias.

const cifarSuffix = "-cifar"

// cifarOf returns the options of the network of depth 6n+2.
func cifarOf(depth int) ([]Option, error) {
	n := (depth - 2) / 6
	if n < 1 || depth != 6*n+2 {
		return nil, fmt.Errorf("models: a CIFAR network of depth %d does not exist: depths are 6n+2, such as %d or %d",
			depth, 6*max(n, 1)+2, 6*max(n, 1)+8)
	}
	return []Option{
		Stem(StemCIFAR), Blocks(BlockBasic, n, n, n), Width(16), InputSize(32), Classes(10), Shortcuts(ShortcutA),
	}, nil
}

func cifarTable() []named {
	var rows []named
	for _, kind := range []struct {
		prefix, about string
		opts          []Option
	}{
		{"resnet", "ResNet for CIFAR, %d layers, shortcuts A", nil},
		{"plain", "plain network for CIFAR, %d layers, no shortcuts", []Option{Shortcuts(ShortcutNone)}},
	} {
		for _, depth := range []int{20, 32, 44, 56, 110, 1202} {
			if kind.prefix == "plain" && depth > 110 {
				continue // such a plain network does not train
			}
			opts, _ := cifarOf(depth)
			rows = append(rows, named{
				kind.prefix + strconv.Itoa(depth) + cifarSuffix, fmt.Sprintf(kind.about, depth), append(opts, kind.opts...),
			})
		}
	}
	return rows
}

// cifarOptions reads names such as resnet14-cifar, and likewise plain,
// preresnet and highway; ok is false if name is not of that form.
func cifarOptions(name string) (opts []Option, ok bool, err error) {
	base, ok := strings.CutSuffix(name, cifarSuffix)
	if !ok {
		return nil, false, nil
	}
	for _, kind := range []struct {
		prefix string
		of     func(depth int) ([]Option, error)
		opts   []Option
	}{
		{"resnet", cifarOf, nil},
		{"plain", cifarOf, []Option{Shortcuts(ShortcutNone)}},
		{"preresnet", cifarOf, []Option{PreAct()}},
		{highwayPrefix, highwayOf, nil},
	} {
		digits, ok := strings.CutPrefix(base, kind.prefix)
		if !ok {
			continue
		}
		depth, err := strconv.Atoi(digits)
		if err != nil {
			return nil, false, nil
		}
		opts, err := kind.of(depth)
		return append(opts, kind.opts...), true, err
	}
	return nil, false, nil
}

// ResNet20 returns the network of 20 weight layers for CIFAR.
func ResNet20(opts ...Option) (*Model, error) { return New("resnet20-cifar", opts...) }

// ResNet32 returns the network of 32 weight layers for CIFAR.
func ResNet32(opts ...Option) (*Model, error) { return New("resnet32-cifar", opts...) }

// ResNet44 returns the network of 44 weight layers for CIFAR.
func ResNet44(opts ...Option) (*Model, error) { return New("resnet44-cifar", opts...) }

// ResNet56 returns the network of 56 weight layers for CIFAR.
func ResNet56(opts ...Option) (*Model, error) { return New("resnet56-cifar", opts...) }

// ResNet110 returns the network of 110 weight layers for CIFAR.
func ResNet110(opts ...Option) (*Model, error) { return New("resnet110-cifar", opts...) }
