package weights_test

import (
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// BenchmarkLoad reads files of about the size of a ResNet-50's (25.6 million
// numbers).
func BenchmarkLoad(b *testing.B) {
	f := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		f.Tensors[name+".weight"] = tensor.New(512, 512, 3, 3)
		for i := range f.Tensors[name+".weight"].Float32s() {
			f.Tensors[name+".weight"].Float32s()[i] = float32(i)
		}
	}
	st, pth := filepath.Join(b.TempDir(), "a.safetensors"), filepath.Join(b.TempDir(), "a.pth")
	if err := weights.Save(st, f, weights.SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	if err := weights.SavePyTorch(pth, f, nil, weights.SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	for name, path := range map[string]string{"safetensors": st, "pytorch": pth} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(12 * 512 * 512 * 9 * 4)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := weights.Load(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
