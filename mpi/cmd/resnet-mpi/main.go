// Command resnet-mpi is the program resnet with training on several machines by MPI:
//
//	mpirun -n 4 resnet-mpi train --data folder:photos --out runs/photos
package main

import (
	"github.com/resnet-go/resnet/internal/cli"
	"github.com/resnet-go/resnet/mpi"
)

func main() {
	mpi.Exit(cli.MainOn(cli.Engines{Ranks: func() (cli.Ranks, error) {
		w, err := mpi.Open()
		if err != nil {
			return nil, err
		}
		return w, nil
	}}))
}
