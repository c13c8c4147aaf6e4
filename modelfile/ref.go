package modelfile

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

// Ref is what a user names a model by: the MODEL of the commands, --model, and
// the argument of resnet.Open. [Parse] makes it from a text.
//
//	text         Name  File  Remote  the model
//	""                               the model inside the program
//	NAME         NAME                the network of that name in package models, without weights
//	FILE               FILE          the network that the file describes, with its weights
//	NAME@FILE    NAME  FILE          the network of that name, with the weights in the file
//	REMOTE                   REMOTE  a published model, see [hub.Parse]
//	NAME@REMOTE  NAME        REMOTE  the network of that name, with published weights
//
// FILE may be a folder as hubs distribute them.
type Ref struct {
	Name   string   // of a network in package models
	File   string   // path
	Remote hub.Name // zero if the model is not a published one
}

// ErrUnknown is wrapped by the error for a name that no network has.
var ErrUnknown = errors.New("unknown model")

// ErrNoWeights is wrapped by the error of [Ref.Open] for the name of a network
// without a file of weights.
var ErrNoWeights = errors.New("a network without weights")

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
//     it, is that model. An address (https://…) is a published model.
//  2. A text that is the path of an existing file or folder is that, even with an @.
//  3. A hub's name (timm/resnet50.a1_in1k, see [hub.Parse]) is a published model,
//     unless there is a folder of the name before the slash, or the name has the
//     ending of a model file. Nothing is downloaded here.
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
		return parseRemote("", text)
	case isPath(text) && !strings.Contains(text, "@") && !isHub(text):
		return Ref{File: text}, nil
	}
	info, err := os.Stat(text)
	if err == nil && !info.IsDir() {
		return Ref{File: text}, nil
	}
	if err == nil && isHub(text) {
		return Ref{File: text}, nil
	}
	ref, parseErr := parseName(text)
	if parseErr != nil && err == nil {
		return Ref{File: text}, nil // a folder
	}
	return ref, parseErr
}

// parseName is [Parse] for a text that is not the name of a file.
func parseName(text string) (Ref, error) {
	name, file, hasFile := strings.Cut(text, "@")
	switch {
	case isHub(text):
		return parseRemote("", text)
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
		return parseRemote(name, file)
	}
	return Ref{Name: name, File: file}, nil
}

// parseRemote returns the Ref of a published model.
func parseRemote(name, text string) (Ref, error) {
	n, ok, err := hub.Parse(text)
	if err == nil && !ok {
		err = fmt.Errorf("%q is neither a file nor the name of a published model", text)
	}
	return Ref{Name: name, Remote: n}, err
}

// String returns a text that [Parse] reads as r.
func (r Ref) String() string {
	at := r.File
	if at == "" && r.Remote != (hub.Name{}) {
		at = r.Remote.String()
	}
	switch {
	case r.Name == "":
		return at
	case at == "":
		return r.Name
	}
	return r.Name + "@" + at
}

// HasWeights reports whether r names more than a network without weights.
func (r Ref) HasWeights() bool { return r.Name == "" || r.File != "" || r.Remote != (hub.Name{}) }

// isPath reports whether a text can only be a path: no network's name has a
// slash or an ending.
func isPath(text string) bool { return strings.ContainsAny(text, `./\`) }

// isURL reports whether a text begins as an address does.
func isURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && !strings.ContainsAny(scheme, `@/\.`)
}

// isHub reports whether a text is a hub's name for weights. A model file in a
// folder that is named like the hub is none, and neither is a path in a folder that
// is there.
func isHub(text string) bool {
	if _, err := weights.FormatOf(text); err == nil && !strings.HasPrefix(text, "hf:") {
		return false
	}
	if _, ok, _ := hub.Parse(text); !ok {
		return false
	}
	org, _, _ := strings.Cut(text, "/")
	info, err := os.Stat(org)
	return err != nil || !info.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
