package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

type modelLine struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Input       []int  `json:"input"` // channels, height, width
	Parameters  int    `json:"parameters"`
	MACs        int64  `json:"macs"` // multiply-accumulates of one picture
}

func (a *app) modelsCommand() *cobra.Command {
	published := false
	cmd := &cobra.Command{
		Use:   "models [PART_OF_NAME]",
		Short: "List the networks that can be built",
		Example: `  resnet models
  resnet models cifar --json
  resnet models --published resnet50       # weights of torchvision, Keras and timm`,
		Args: atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if published {
				return a.printPublished(strings.Join(args, ""))
			}
			list, err := models.List()
			if err != nil {
				return err
			}
			var lines []modelLine
			for _, m := range list {
				if len(args) == 0 || strings.Contains(m.Name, strings.ToLower(args[0])) {
					lines = append(lines, modelLine{m.Name, m.About, m.Input, m.Params, m.MACs})
				}
			}
			if len(lines) == 0 {
				return usagef("no network's name has %q in it%s", args[0], suggest.Phrase(args[0], models.Names()))
			}
			if a.json {
				return a.printJSON(lines)
			}
			t := term.NewTable("name", ">input", ">parameters", ">MACs", "description")
			for _, m := range lines {
				t.Row(m.Name, shapeString(m.Input), term.Count(m.Parameters), term.Ops(m.MACs), m.Description)
			}
			_, err = t.WriteTo(a.out)
			return err
		},
	}
	cmd.Flags().BoolVar(&published, "published", false, "list published weights, with accuracy, size and license (see resnet pull)")
	return cmd
}

// shapeString prints a shape as 3×224×224.
func shapeString(s []int) string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, "×")
}
