package pjrt

import (
	"errors"
	"os"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/tensor"
)

// client opens the plugin that PJRT_PLUGIN names, such as the CPU plugin in the Python
// package lammps-jax-pjrt-cpu.
func client(t *testing.T) *Client {
	t.Helper()
	path := os.Getenv("PJRT_PLUGIN")
	if path == "" {
		t.Skip("PJRT_PLUGIN does not name a plugin")
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestOperators compares every operator, and compositions of them, with the reference
// interpreter.
func TestOperators(t *testing.T) {
	c := client(t)
	unsupported := map[string]int{}
	run := 0
	for _, test := range enginetest.Cases() {
		if _, err := stablehlo.Write(test.Graph, stablehlo.Options{}); err != nil {
			node := (*stablehlo.Unsupported)(nil)
			if !errors.As(err, &node) {
				t.Errorf("%s: %v", test.Name, err)
				continue
			}
			unsupported[node.Node.Op.Name()]++
			continue
		}
		run++
		t.Run(test.Name, func(t *testing.T) {
			test.Tol = max(test.Tol, 1e-4)
			for _, err := range test.Check(func(g *graph.Graph, vars map[string]*tensor.Tensor) (enginetest.Machine, error) {
				return c.NewSession(g, vars)
			}) {
				t.Error(err)
			}
		})
	}
	t.Logf("%d cases, not supported: %v", run, unsupported)
}

