package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/serve"
)

// keyLine is an API key that was made.
type keyLine struct {
	Name string `json:"name"`
	Key  string `json:"key"`  // what the client shows
	Line string `json:"line"` // for the file of --api-keys, which holds hashes only
}

func (a *app) serveKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key NAME",
		Short: "Make an API key",
		Long: `key makes a random API key for a client, and prints it with the line for the file of
serve --api-keys. The file holds hashes: the key itself is nowhere but in what is printed.`,
		Example: `  resnet serve key phone-app
  resnet serve key phone-app --json`,
		Args: atLeast(1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noMore(1, args); err != nil {
				return err
			}
			name := args[0]
			if strings.ContainsAny(name, " \t\r\n#") || name == "" {
				return usagef("the name is %q, must have neither spaces nor #", name)
			}
			key, line := serve.NewKey(name)
			if a.json {
				return a.printJSON(keyLine{name, key, line})
			}
			a.printf("key for the client:      %s\nline for serve --api-keys:   %s\n", key, line)
			return nil
		},
	}
}
