package models

import (
	"math"
	"reflect"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// TestOneNetworkPerName: New and the function of the same network give the same
// modules and first weights, also with options that change how weights start.
func TestOneNetworkPerName(t *testing.T) {
	options := [][]Option{
		nil, {ConvInit(InitSmall)}, {ConvInit(InitXavier), NoNorm(), ZeroInit()},
		{PreAct(), Attention(AttentionCBAM), Join(JoinGate), GateBias(-3), DropPath(0.2), BlockDropout(0.1), Blur()},
	}
	for name, build := range map[string]func(...Option) (*Model, error){
		"resnet18": ResNet18, "resnet34": ResNet34, "resnet50": ResNet50, "resnet101": ResNet101, "resnet152": ResNet152,
		"resnet20-cifar": ResNet20, "resnet32-cifar": ResNet32, "resnet44-cifar": ResNet44, "resnet56-cifar": ResNet56,
		"resnet110-cifar": ResNet110,
	} {
		for _, opts := range options {
			opts = append(opts, Width(16))
			a, err := New(name, opts...)
			if err != nil {
				t.Fatal(err)
			}
			b, err := build(opts...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.Config, b.Config) {
				t.Errorf("%s: New has the config %+v, the function %+v", name, a.Config, b.Config)
			}
			for _, m := range []*Model{a, b} {
				if err := nn.Init(m, 3); err != nil {
					t.Fatal(err)
				}
			}
			want, got := nn.Params(a), nn.Params(b)
			if len(want) != len(got) {
				t.Errorf("%s: %d tensors and %d", name, len(want), len(got))
				continue
			}
			for i, e := range want {
				if got[i].Name != e.Name || !reflect.DeepEqual(got[i].Param.Value, e.Param.Value) {
					t.Errorf("%s: %s differs from %s", name, got[i].Name, e.Name)
					break
				}
			}
		}
	}
}

// TestConvInitReachesEveryDoor: the variance of the first convolution of
// ResNet20 with InitSmall is 0.01², not He's.
func TestConvInitReachesEveryDoor(t *testing.T) {
	m, err := ResNet20(ConvInit(InitSmall))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	var squares float64
	v := m.Conv1.(*nn.Conv2d).Weight.Value.Float32s()
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if rms := math.Sqrt(squares / float64(len(v))); math.Abs(rms-0.01) > 0.001 {
		t.Errorf("conv1.weight has the deviation %g, want 0.01", rms)
	}
}

// TestVariantBlockRunsAsItsBlock: without changes a VariantBlock writes the
// graph that the block inside writes.
func TestVariantBlockRunsAsItsBlock(t *testing.T) {
	for _, opt := range []BlockOptions{{}, {Stride: 2}, {NoNorm: true}} {
		for _, build := range []func() Block{
			func() Block { return NewBasicBlock(8, 8, opt) },
			func() Block { return NewBottleneck(8, 2, opt) },
			func() Block { return NewPreActBasicBlock(8, 8, opt) },
			func() Block { return NewPreActBottleneck(8, 2, opt) },
			func() Block { b := NewPreActBasicBlock(8, 8, opt); b.First = true; return b },
			func() Block { b := NewPreActBottleneck(8, 2, opt); b.First = true; return b },
		} {
			for _, training := range []bool{false, true} {
				var written [][]string
				for _, m := range []nn.Module{build(), NewVariantBlock(build())} {
					tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 8, 6, 6), Training: training})
					if err != nil {
						t.Fatal(err)
					}
					var nodes []string
					for _, n := range tr.Graph.Nodes {
						line := n.String()
						for _, in := range n.In {
							line += " " + in.Node.Path + "/" + in.Node.Op.Name()
						}
						nodes = append(nodes, line)
					}
					written = append(written, nodes)
				}
				if !reflect.DeepEqual(written[0], written[1]) {
					t.Errorf("%T, %+v: the graph is\n%q, in a VariantBlock\n%q", build(), opt, written[0], written[1])
				}
			}
		}
	}
}
