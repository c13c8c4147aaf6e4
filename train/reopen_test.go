package train_test

import (
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/train"
)

// TestSavedNetworksOpen: a network saved after Compile can be opened from its
// file, however it was made. (Preprocess is given because nothing was trained.)
func TestSavedNetworksOpen(t *testing.T) {
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	byName := func(opts ...models.Option) (*models.Model, error) { return models.New("resnet20-cifar", opts...) }
	for name, build := range map[string]func(...models.Option) (*models.Model, error){"New": byName, "ResNet20": models.ResNet20} {
		net, err := build(models.Width(4), models.ConvInit(models.InitSmall), models.Blur())
		if err != nil {
			t.Fatal(err)
		}
		c, err := train.Compile(net, train.CrossEntropy{}, train.AdamW{LR: 1e-3})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "net.safetensors")
		if err := c.Save(file); err != nil {
			t.Fatal(err)
		}
		if _, err := resnet.Open(file, resnet.Options{Weights: resnet.WeightsOnly{Preprocess: &prep}}); err != nil {
			t.Errorf("a network of %s: %v", name, err)
		}
	}
}
