package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the source; "" if unknown
	Modified bool   `json:"modified"` // the source differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
	CGO      bool   `json:"cgo"` // built with cgo, so that it needs the C library of its system; CGO_ENABLED=0 builds without
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  resnet version --json`,
		Args:    atMost(0),
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if a.json {
				return a.printJSON(v)
			}
			a.printf("resnet %s", v.Version)
			if v.Revision != "" {
				a.printf(" %s", v.Revision[:min(12, len(v.Revision))])
			}
			if v.Modified {
				a.printf(" (modified)")
			}
			a.printf(" %s %s", v.Go, v.Platform)
			if v.CGO {
				a.printf(" cgo")
			}
			a.printf("\n")
			return nil
		},
	}
}

// version returns what Go recorded when the program was built.
func version() versionInfo {
	v := versionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "CGO_ENABLED":
			v.CGO = s.Value == "1"
		}
	}
	return v
}
