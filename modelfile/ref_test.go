package modelfile_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// ours writes a model file of this project.
func ours(t *testing.T, path string) {
	t.Helper()
	m, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	arch, err := json.Marshal(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Meta: weights.Meta{Architecture: arch}, Tensors: nn.Values(m)}
	if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
}

// What each text means, and what opening it does. The current folder is one with
// the files and folders below.
func TestRef(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HF_HUB_OFFLINE", "1")
	for _, v := range []string{"HOME", "HF_HOME", "TORCH_HOME", "KERAS_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	ours(t, "model.safetensors")
	for _, same := range []string{"model@epoch3.safetensors", "resnet18@home", "plain", "timm/resnet50.a1_in1k", "resnet34/best.safetensors"} {
		b, err := os.ReadFile("model.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(same), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(same, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("a@b", 0o755); err != nil {
		t.Fatal(err)
	}
	type ref = modelfile.Ref
	noRef := ref{Name: "-", File: "-"}
	for _, c := range []struct {
		text  string
		ref   ref    // noRef if Parse fails
		is    error  // that the error wraps, or nil
		wants string // part of the error of Parse or Open; "" if both succeed
	}{
		{"", ref{}, nil, ""},
		{"model.safetensors", ref{File: "model.safetensors"}, nil, ""},
		{"./model.safetensors", ref{File: "./model.safetensors"}, nil, ""},
		{"resnet8-cifar@model.safetensors", ref{Name: "resnet8-cifar", File: "model.safetensors"}, nil, ""},
		{"resnet8-cifar@model@epoch3.safetensors", ref{Name: "resnet8-cifar", File: "model@epoch3.safetensors"}, nil, ""},

		// A file that exists goes before all else.
		{"model@epoch3.safetensors", ref{File: "model@epoch3.safetensors"}, nil, ""},
		{"resnet18@home", ref{File: "resnet18@home"}, nil, ""},
		{"plain", ref{File: "plain"}, nil, ""},
		{"timm/resnet50.a1_in1k", ref{File: "timm/resnet50.a1_in1k"}, nil, ""},
		{"resnet8-cifar@timm/resnet50.a1_in1k", ref{Name: "resnet8-cifar", File: "timm/resnet50.a1_in1k"}, nil, ""},
		{"resnet34/best.safetensors", ref{File: "resnet34/best.safetensors"}, nil, ""},

		// Names.
		{"resnet18", ref{Name: "resnet18"}, modelfile.ErrNoWeights, "resnet18 is a network without weights: give resnet18@FILE"},
		{"resnet50+se", ref{Name: "resnet50+se"}, modelfile.ErrNoWeights, "give resnet50+se@FILE"},
		{"resnet34", ref{Name: "resnet34"}, modelfile.ErrNoWeights, "give resnet34@FILE"}, // there is a folder, too
		{"resnet81", noRef, modelfile.ErrUnknown, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"resnet81@model.safetensors", noRef, modelfile.ErrUnknown, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"resnet18@", noRef, nil, "resnet18@ names no file: give resnet18@FILE"},

		// Folders.
		{"a@b", ref{File: "a@b"}, nil, "a@b is a folder; a model is a file, such as " + filepath.Join("a@b", "best.safetensors")},
		{"timm", ref{File: "timm"}, nil, "timm is a folder"},
		{".", ref{File: "."}, nil, ""}, // it has model.safetensors
		{"resnet18@timm", ref{Name: "resnet18", File: "timm"}, nil, "timm is a folder"},

		// Files that are missing.
		{"modle.safetensors", ref{File: "modle.safetensors"}, fs.ErrNotExist, "cannot open the model file modle.safetensors: no such file or directory; did you mean model.safetensors?"},
		{"none.onnx", ref{File: "none.onnx"}, fs.ErrNotExist, "cannot open the model file none.onnx: no such file"},
		{"nowhere/model.pth", ref{File: "nowhere/model.pth"}, fs.ErrNotExist, "there is no folder nowhere"},
		{"runs/me@home/best.safetensors", ref{File: "runs/me@home/best.safetensors"}, fs.ErrNotExist, "cannot open the model file runs/me@home/best.safetensors"},
		{"v1.2@home.pth", ref{File: "v1.2@home.pth"}, fs.ErrNotExist, "cannot open the model file v1.2@home.pth"},
		{"resnet18@none", ref{Name: "resnet18", File: "none"}, fs.ErrNotExist, "cannot open the model file none: no such file"},
		{"keras/model.h5", ref{File: "keras/model.h5"}, fs.ErrNotExist, "cannot open the model file keras/model.h5"},

		{"timm/resnet50.a2_in1k", ref{File: "timm/resnet50.a2_in1k"}, fs.ErrNotExist, "for the published model, give hf://timm/resnet50.a2_in1k"},

		// What is not on this machine, without a network.
		{"microsoft/resnet-50", ref{Remote: hub.Name{Kind: hub.HuggingFace, Repo: "microsoft/resnet-50"}}, hub.ErrOffline, "HF_HUB_OFFLINE"},
		{"hf://timm/resnet50.a2_in1k@v1", ref{Remote: hub.Name{Kind: hub.HuggingFace, Repo: "timm/resnet50.a2_in1k", Revision: "v1"}}, hub.ErrOffline, "timm/resnet50.a2_in1k"},
		{"torchvision/resnet50:IMAGENET1K_V2", ref{Remote: hub.Name{Kind: hub.Torchvision, Repo: "resnet50", Revision: "IMAGENET1K_V2"}}, hub.ErrOffline, "resnet50-11ad3fa6.pth"},
		{"torchvision/resnet55", ref{Remote: hub.Name{Kind: hub.Torchvision, Repo: "resnet55"}}, hub.ErrNotFound, "resnet50"},
		{"keras/resnet50", ref{Remote: hub.Name{Kind: hub.Keras, Repo: "resnet50"}}, hub.ErrOffline, "copy it to"},
		{"https://example.org/resnet50.pth#sha256=00", noRef, nil, "64 digits"},
		{"resnet50@https://example.org/resnet50.pth", ref{Name: "resnet50", Remote: hub.Name{Kind: hub.Address, Repo: "https://example.org/resnet50.pth"}}, hub.ErrOffline, "example.org"},
		{"resnet50@microsoft/resnet-50", ref{Name: "resnet50", Remote: hub.Name{Kind: hub.HuggingFace, Repo: "microsoft/resnet-50"}}, hub.ErrOffline, "microsoft/resnet-50"},
	} {
		got, err := modelfile.Parse(c.text)
		if (err != nil) != (c.ref == noRef) || err == nil && got != c.ref {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.text, got, err, c.ref)
			continue
		}
		if err == nil {
			if again, err := modelfile.Parse(got.String()); got.Remote != (hub.Name{}) && (err != nil || again != got) {
				t.Errorf("Parse(%q).String() = %q, which is %+v, %v", c.text, got, again, err)
			} else if got.Remote == (hub.Name{}) && got.String() != c.text {
				t.Errorf("Parse(%q).String() = %q", c.text, got)
			}
			if want := c.ref.File != "" || c.ref.Remote != (hub.Name{}) || c.text == ""; got.HasWeights() != want {
				t.Errorf("Parse(%q).HasWeights() = %v", c.text, !want)
			}
			_, err = got.Open(modelfile.Options{})
		}
		if runtime.GOOS == "windows" {
			c.wants = strings.ReplaceAll(c.wants, "no such file or directory", "The system cannot find")
		}
		switch {
		case c.wants == "" && err != nil:
			t.Errorf("%q: error %v", c.text, err)
		case c.wants != "" && (err == nil || !strings.Contains(err.Error(), c.wants)):
			t.Errorf("%q: error %v, want one with %q", c.text, err, c.wants)
		case c.is != nil && !errors.Is(err, c.is):
			t.Errorf("%q: error %v, want one that wraps %v", c.text, err, c.is)
		}
	}
}

// Choices that change a network are refused for a model that is not named.
func TestOptionsThatNeedAName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	ours(t, path)
	keys, err := weights.ParseKeyMap("a=b")
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range []modelfile.Options{{Keys: keys}, {Partial: true}, {Classes: 3}} {
		for _, model := range []string{path, ""} {
			if _, err := modelfile.Open(model, opt); err == nil || !strings.Contains(err.Error(), "name a network: NAME@FILE") {
				t.Errorf("%q with %+v: error %v", model, opt, err)
			}
		}
	}
}

// A file that does not say which network it is for can be asked for as it is.
func TestBare(t *testing.T) {
	path, values := torchFile(t, "resnet8-cifar", itself)
	if _, err := modelfile.Open(path, modelfile.Options{}); !errors.Is(err, modelfile.ErrNoNetwork) {
		t.Errorf("error %v", err)
	}
	r, err := modelfile.Open(path, modelfile.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Module != nil || r.Resumable() || len(r.File.Tensors) != len(values) || r.Source.Format != weights.PyTorch {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(path); err != nil || r.Size != info.Size() {
		t.Errorf("%d bytes, %v", r.Size, err)
	}
}
