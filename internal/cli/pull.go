package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
)

// hub returns the client for published models, which shows how far it is.
func (a *app) hub() *hub.Client {
	c := hub.FromEnv()
	c.Note = func(text string) { a.note("%s", text) }
	var mu sync.Mutex
	var file string
	var bar *term.Progress
	var done int64
	c.Progress = func(p hub.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.File != file {
			bar.Close()
			if file, done = p.File, 0; !p.Done {
				a.note("downloading %s%s", p.File, size(p.Total))
			}
			bar = term.NewByteProgress(a.err, a.quiet, filepath.Base(p.File), p.Total)
		}
		bar.Add(int(p.Bytes - done))
		done = p.Bytes
		if p.Done {
			bar.Close()
			file, bar = "", nil
		}
	}
	return c
}

// size returns a number of bytes for a message, if it is known.
func size(n int64) string {
	if n <= 0 {
		return ""
	}
	return " (" + term.Bytes(n) + ")"
}

// fetch downloads a model that is named by where it is published, and returns a
// name by which package modelfile finds it on disk. Other names are returned as they
// are.
func (a *app) fetch(model string) (string, error) {
	ref, err := parseModel(model)
	if err != nil || ref.Remote == (hub.Name{}) {
		return model, err
	}
	ref, err = ref.Fetch(a.ctx, a.hub())
	if errors.Is(err, hub.ErrNotFound) {
		return "", usageError{err}
	}
	if err != nil {
		return "", err
	}
	return modelfile.Ref{Name: ref.Name, Remote: ref.Remote}.String(), nil
}

func (a *app) pullCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pull MODEL...",
		Short: "Download published models",
		Long: `pull downloads models into the caches of the programs that publish them, so that
they are there without a network, for this program and the others:

  ORG/NAME[@REVISION], hf://ORG/NAME[/FILE]   the Hugging Face hub, such as timm/resnet50.a1_in1k
  torchvision/NAME[:WEIGHTS]                  torchvision, such as torchvision/resnet50:IMAGENET1K_V2
  keras/NAME                                  Keras applications, such as keras/resnet50
  https://ADDRESS[#sha256=…]                  a file

Every command takes these names for MODEL and downloads what is missing. A broken
download goes on where it stopped. The environment decides where from and where to:
HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, TORCH_HOME, KERAS_HOME,
HTTPS_PROXY.`,
		Example: `  resnet pull timm/resnet50.a1_in1k
  resnet pull torchvision/resnet18 keras/resnet50v2 --json
  HF_ENDPOINT=https://mirror.example.org resnet pull microsoft/resnet-50
  resnet predict --model timm/resnet50.a1_in1k photo.jpg`,
		Args: atLeast(1, "a model"),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, text := range args {
				n, ok, err := hub.Parse(text)
				if err == nil && !ok {
					err = fmt.Errorf("%q is not the name of a published model", text)
				}
				if err != nil {
					return usageError{err}
				}
				ref, err := modelfile.Ref{Remote: n}.Fetch(a.ctx, a.hub())
				if err != nil {
					return err
				}
				if err := a.printPulled(text, ref); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// pulledLine is a downloaded model.
type pulledLine struct {
	Model string `json:"model"`
	Path  string `json:"path"` // a file, or a folder for a repository
	Bytes int64  `json:"bytes"`
}

func (a *app) printPulled(text string, ref modelfile.Ref) error {
	line := pulledLine{Model: text, Path: ref.File}
	err := filepath.Walk(ref.File, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path) // the files are links
		if err == nil && info.Mode().IsRegular() {
			line.Bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSONLine(line)
	}
	a.printf("%s: %s (%s)\n", line.Model, line.Path, term.Bytes(line.Bytes))
	return nil
}

// publishedLine is a published model.
type publishedLine struct {
	Name    string             `json:"name"`
	Network string             `json:"network"`
	Weights string             `json:"weights"`
	Dataset string             `json:"dataset"`
	Metrics map[string]float64 `json:"metrics"`
	Source  string             `json:"source"` // of the metrics
	MB      float64            `json:"mb"`     // of the file; 0 if unknown
	License string             `json:"license"`
	Input   string             `json:"input"`
}

// printPublished lists published models whose name contains a text.
func (a *app) printPublished(part string) error {
	var lines []publishedLine
	var names []string
	for _, p := range hub.AllPublished() {
		name := strings.TrimPrefix(p.Name().String(), "hf://")
		names = append(names, name)
		if !strings.Contains(name, strings.ToLower(part)) && !strings.Contains(name, part) {
			continue
		}
		l := publishedLine{Name: name, Network: p.Network, Weights: p.Weights, Dataset: p.Dataset, Metrics: p.Metrics, MB: p.MB, License: p.License,
			Source: map[string]string{"torchvision": "torchvision's metadata of the weights", "keras": "the table of keras.io/api/applications", "timm": "none: see the model's page"}[p.From]}
		switch {
		case p.Preprocess.Crop > 0:
			l.Input = fmt.Sprintf("%d×%d", p.Preprocess.Crop, p.Preprocess.Crop)
		case p.Preprocess.Preset != "":
			l.Input = "224×224"
		default:
			l.Input = "any"
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return usagef("no published model's name has %q in it%s", part, suggest.Phrase(part, names))
	}
	if a.json {
		return a.printJSON(lines)
	}
	t := term.NewTable("name", "accuracy", ">MB", "input", "license")
	for _, l := range lines {
		mb := "–"
		if l.MB > 0 {
			mb = fmt.Sprintf("%.0f", l.MB)
		}
		t.Row(l.Name, metricsText(l), mb, l.Input, l.License)
	}
	if _, err := t.WriteTo(a.out); err != nil {
		return err
	}
	a.printf("\nAccuracies are the publishers' own. The Hugging Face hub has more: any ORG/NAME, such as timm/resnet50.a1_in1k.\n")
	return nil
}

// metricsText names the metrics of a model, the usual first.
func metricsText(l publishedLine) string {
	switch {
	case strings.HasPrefix(l.Name, "timm/"):
		return "see its page"
	case len(l.Metrics) == 0:
		return "no last layer"
	}
	order := []string{"acc@1", "box_map", "mask_map", "miou", "acc@5", "pixel_acc"}
	keys := make([]string, 0, len(l.Metrics))
	for k := range l.Metrics {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(slices.Index(order, a)-slices.Index(order, b), strings.Compare(a, b))
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%s %.1f", map[string]string{"acc@1": "top-1", "acc@5": "top-5", "box_map": "box AP", "mask_map": "mask AP", "miou": "mIoU", "pixel_acc": "pixels"}[k], l.Metrics[k]))
	}
	return strings.Join(parts, ", ")
}
