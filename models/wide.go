package models

import (
	"fmt"
	"strconv"
	"strings"
)

// Wide residual networks for CIFAR (Zagoruyko and Komodakis 2016): WRN-d-k is a
// pre-activation network of (d-4)/6 basic blocks in each of three stages, whose
// channels are k times 16, 32 and 64; the stem has 16. Shortcuts are of option
// B. [BlockDropout] puts dropout between the convolutions of each block (section
// 2.4; 0.3 for CIFAR in the paper). The depth d counts the three projections but
// not the last linear layer.
//
// Their counterparts for ImageNet are wide_resnet50_2 and wide_resnet101_2.

const widePrefix = "wrn-"

// wideOf returns the options of WRN-depth-widen.
func wideOf(depth, widen int) ([]Option, error) {
	n := (depth - 4) / 6
	if n < 1 || depth != 6*n+4 {
		return nil, fmt.Errorf("models: a wide network of depth %d does not exist: depths are 6n+4, such as %d or %d",
			depth, 6*max(n, 1)+4, 6*max(n, 1)+10)
	}
	if widen < 1 || widen > 1000 {
		return nil, fmt.Errorf("models: a wide network cannot be %d times as wide: the width is 1 to 1000, as in wrn-28-10", widen)
	}
	return []Option{
		Stem(StemCIFAR), StemWidth(16), Blocks(BlockBasic, n, n, n), Width(16 * widen), PreAct(),
		InputSize(32), Classes(10), Shortcuts(ShortcutB),
	}, nil
}

// wideOptions reads names such as wrn-22-8; ok is false if name is not of that
// form.
func wideOptions(name string) (opts []Option, ok bool, err error) {
	rest, ok := strings.CutPrefix(name, widePrefix)
	if !ok {
		return nil, false, nil
	}
	d, k, _ := strings.Cut(rest, "-")
	depth, err1 := strconv.Atoi(d)
	widen, err2 := strconv.Atoi(k)
	if err1 != nil || err2 != nil {
		return nil, true, fmt.Errorf("models: unknown model %q; a wide network is named wrn-DEPTH-WIDTH, as in wrn-28-10", name)
	}
	opts, err = wideOf(depth, widen)
	return opts, true, err
}

func wideTable() []named {
	var rows []named
	for _, dk := range [][2]int{{16, 4}, {16, 8}, {22, 8}, {28, 10}, {40, 1}, {40, 2}, {40, 4}} {
		opts, _ := wideOf(dk[0], dk[1])
		rows = append(rows, named{
			fmt.Sprintf("%s%d-%d", widePrefix, dk[0], dk[1]),
			fmt.Sprintf("wide ResNet for CIFAR, %d layers, %d times as wide", dk[0], dk[1]), opts,
		})
	}
	return rows
}
