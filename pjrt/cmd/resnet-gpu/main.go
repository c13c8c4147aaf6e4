// Command resnet-gpu is the program resnet with devices of XLA, such as GPUs:
//
//	resnet-gpu train --device gpu --data folder:photos --out runs/photos
package main

import (
	"os"
	"time"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/cli"
	"github.com/resnet-go/resnet/pjrt"
)

func main() { os.Exit(cli.MainOn(cli.Engines{Device: open})) }

// open opens the device that the flags choose.
func open(o cli.DeviceOptions) (*engine.Device, error) {
	start := time.Now()
	client, err := pjrt.Choose(pjrt.Choice{Kind: o.Kind, Index: o.Index, Plugin: o.Plugin, Deterministic: o.Deterministic, Memory: o.Memory}, os.Getenv)
	if err != nil {
		return nil, err
	}
	o.Note("device %s, opened in %.2f s", client, time.Since(start).Seconds())
	a := pjrt.NewAccelerator(client, o.TF32)
	a.Compiled = func(d time.Duration) { o.Note("compiled for %s in %.2f s", client, d.Seconds()) }
	return engine.NewDevice(a), nil
}
