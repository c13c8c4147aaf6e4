package modelfile

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

// Ref is what a user names a model by: the MODEL of the commands, --model, and
// the argument of resnet.Open. [Parse] makes it from a text.
//
//	text        Name  File    the model
//	""                        the model inside the program
//	NAME        NAME          the network of that name in package models, without weights
//	FILE              FILE    the network that the file describes, with its weights
//	NAME@FILE   NAME  FILE    the network of that name, with the weights in the file
type Ref struct {
	Name string // of a network in package models
	File string // path
}

// ErrUnknown is wrapped by the error for a name that no network has.
var ErrUnknown = errors.New("unknown model")

// ErrNoWeights is wrapped by the error of [Ref.Open] for the name of a network
// without a file of weights.
var ErrNoWeights = errors.New("a network without weights")

// ErrRemote is wrapped by the error of [Parse] for a model that is not on this
// machine.
var ErrRemote = errors.New("models are not downloaded yet")

// unknownError is an error of package models about a name.
type unknownError struct{ error }

func (e unknownError) Error() string        { return strings.TrimPrefix(e.error.Error(), "models: ") }
func (e unknownError) Is(target error) bool { return target == ErrUnknown }
func (e unknownError) Unwrap() error        { return e.error }

// Lookup returns the description of the network of that name in package models.
// The error for an unknown name wraps [ErrUnknown].
func Lookup(name string) (models.Config, error) {
	cfg, err := models.Lookup(name)
	if err != nil {
		return cfg, unknownError{err}
	}
	return cfg, nil
}

// Parse returns what a text names. The order is:
//
//  1. The name of the model inside the program ([EmbeddedName]), as messages have
//     it, is that model. A URL is an error that wraps [ErrRemote].
//  2. A text that is the path of an existing file is that file, even with an @.
//  3. A hub's name for weights (timm/resnet50.a1_in1k) wraps [ErrRemote], too.
//  4. A text whose part before the @ has a slash or a dot is a path. Nothing
//     looks at the file here: [Ref.Open] reports that it is missing, or a folder.
//  5. The rest is NAME or NAME@FILE. The error for a name that no network has
//     wraps [ErrUnknown] and suggests the nearest name, unless there is a folder of
//     that name.
func Parse(text string) (Ref, error) {
	switch {
	case text == "", text == EmbeddedName && !exists(text):
		return Ref{}, nil
	case isURL(text):
		return Ref{}, remoteError(text)
	case isPath(text) && !strings.Contains(text, "@") && !isHub(text):
		return Ref{File: text}, nil
	}
	info, err := os.Stat(text)
	if err == nil && !info.IsDir() {
		return Ref{File: text}, nil
	}
	ref, parseErr := parseName(text)
	if parseErr != nil && err == nil {
		return Ref{File: text}, nil // a folder, as opening it will report
	}
	return ref, parseErr
}

// parseName is [Parse] for a text that is not the name of a file.
func parseName(text string) (Ref, error) {
	name, file, hasFile := strings.Cut(text, "@")
	switch {
	case isHub(text):
		return Ref{}, remoteError(text)
	case isPath(name):
		return Ref{File: text}, nil // such as runs/me@home/best.safetensors
	}
	if _, err := Lookup(name); err != nil {
		return Ref{}, err
	}
	switch {
	case !hasFile:
		return Ref{Name: name}, nil
	case file == "":
		return Ref{}, fmt.Errorf("%s names no file: give %s@FILE", text, name)
	case isURL(file), isHub(file) && !exists(file):
		return Ref{}, remoteError(file)
	}
	return Ref{name, file}, nil
}

// String returns a text that [Parse] reads as r.
func (r Ref) String() string {
	switch {
	case r.Name == "":
		return r.File
	case r.File == "":
		return r.Name
	}
	return r.Name + "@" + r.File
}

// HasWeights reports whether r names more than a network without weights.
func (r Ref) HasWeights() bool { return r.Name == "" || r.File != "" }

// isPath reports whether a text can only be a path: no network's name has a
// slash or an ending.
func isPath(text string) bool { return strings.ContainsAny(text, `./\`) }

func isURL(text string) bool { return strings.Contains(text, "://") }

// hubs are the collections of pretrained weights whose names for them begin so:
// timm/resnet50.a1_in1k, torchvision/resnet50:IMAGENET1K_V2, keras/resnet50.
var hubs = []string{"timm/", "torchvision/", "keras/", "transformers/", "hf-hub:", "hf://"}

// isHub reports whether a text is a hub's name for weights. A model file in a
// folder that is named like the hub is none.
func isHub(text string) bool {
	if _, err := weights.FormatOf(text); err == nil {
		return false
	}
	return slices.ContainsFunc(hubs, func(hub string) bool { return strings.HasPrefix(text, hub) })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// remoteError is the error for a model on the network. A later version resolves
// such texts in [Parse] and [parseName], where this is returned.
func remoteError(text string) error {
	return fmt.Errorf("%s is not a file: %w. Download its weights and give NAME@FILE, with a NAME that resnet models lists", text, ErrRemote)
}
