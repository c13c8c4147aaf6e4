// Command resnet trains, evaluates and uses residual networks.
package main

import "github.com/resnet-go/resnet/internal/cli"

func main() { cli.Main() }
