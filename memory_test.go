package resnet

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/budget"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// A small file that asks for huge pictures is refused when it is opened, before their
// memory is allocated.
func TestFileThatAsksForHugePictures(t *testing.T) {
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	net, err := models.New("resnet20-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	arch, err := json.Marshal(net.Config)
	if err != nil {
		t.Fatal(err)
	}
	save := func(side int) string {
		prep.Width, prep.Height, prep.Resize = side, side, 0
		b, err := json.Marshal(prep)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "m.safetensors")
		f := &weights.File{Meta: weights.Meta{Architecture: arch, Preprocess: b}, Tensors: nn.Values(net)}
		if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, side := range []int{4096, 16384} {
		_, err = Open(save(side), Options{})
		var e *budget.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "--max-memory") || e.Need <= e.Limit {
			t.Errorf("pictures of %d x %d: error %v", side, side, err)
		}
	}
	path := save(1300) // large, but not too large
	if _, err := Open(path, Options{}); err != nil {
		t.Error(err)
	}
	SetMaxMemory(64 << 20)
	defer SetMaxMemory(0)
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "set by --max-memory") {
		t.Errorf("with a limit of 64 MiB: %v", err)
	}
}
