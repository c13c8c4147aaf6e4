// Package embedded holds what the program carries inside itself: a small
// labeled sample to train on and a small trained model to predict with.
package embedded

import (
	"embed"
	"errors"
	"io/fs"
)

// The patterns name a folder and a stem so that a build works before the model
// has been trained.
//
//go:embed fashion cifar10.*
var files embed.FS

// ModelName is the file of the embedded model.
const ModelName = "cifar10.safetensors"

// SampleName is what messages and model files call the embedded sample.
const SampleName = "embedded:fashion"

// Fashion returns a balanced sample of Fashion-MNIST (Xiao, Rasul and Vollgraf,
// arXiv 1708.07747) as the IDX files that data.OpenIDX reads: 6,000 training
// and 1,000 test images, 28 x 28 gray, ten classes.
func Fashion() fs.FS {
	sub, err := fs.Sub(files, "fashion")
	if err != nil {
		panic(err) // only if the name above is not a valid path
	}
	return sub
}

// ErrNoModel is the error of Model where the program was built without one.
var ErrNoModel = errors.New("this build has no model inside: name a model file (--model)")

// Model returns the bytes of the embedded model, a safetensors file.
func Model() ([]byte, error) {
	b, err := files.ReadFile(ModelName)
	if err != nil {
		return nil, ErrNoModel
	}
	return b, nil
}
