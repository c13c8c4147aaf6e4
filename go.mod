module github.com/resnet-go/resnet

go 1.26.0

require golang.org/x/sys v0.49.0

require golang.org/x/image v0.47.0

require (
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	golang.org/x/term v0.47.0
)

require github.com/inconshreveable/mousetrap v1.1.0 // indirect
