package pjrt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
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
	c, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c // not closed: buffers live as long as the variables that have them
}

// machine is a graph on a device, as the cases of package enginetest want it.
type machine struct {
	plan *engine.Plan
	vars *engine.Vars
}

func newMachine(d *engine.Device, g *graph.Graph, values map[string]*tensor.Tensor) (*machine, error) {
	vars := engine.NewVars()
	for name, t := range values {
		if err := vars.Set(name, t); err != nil {
			return nil, err
		}
	}
	p, err := engine.Compile(g, vars, engine.Options{Device: d})
	return &machine{p, vars}, err
}

func (m *machine) Variable(name string) (*tensor.Tensor, error) { return m.vars.Get(name) }

func (m *machine) Run(in map[string]*tensor.Tensor) (out []*tensor.Tensor, err error) {
	var inputs []*tensor.Tensor
	for _, p := range m.plan.Inputs() {
		t, err := in[p.Name].In(p.Layout)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, t)
	}
	for _, p := range m.plan.Outputs() {
		out = append(out, p.NewTensor())
	}
	return out, m.plan.Run(inputs, out)
}

// TestOperators compares every operator, and compositions of them, with the reference
// interpreter.
func TestOperators(t *testing.T) {
	d := engine.NewDevice(NewAccelerator(client(t), false))
	unsupported, seen := map[string]int{}, map[string]bool{}
	run := 0
	for _, test := range enginetest.Cases() {
		// XLA compiles a graph in about a second: one case of each set of operators.
		if key := operators(test.Graph); seen[key] && os.Getenv("RESNET_NIGHTLY") == "" {
			continue
		} else {
			seen[key] = true
		}
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
				return newMachine(d, g, vars)
			}) {
				t.Error(err)
			}
		})
	}
	t.Logf("%d cases, not supported: %v", run, unsupported)
}

// operators names the operators of a graph, each with its attributes that are not sizes.
func operators(g *graph.Graph) string {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Op.Name())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// TestPluginOptions gives XLA an option that it does not know: options arrive there.
func TestPluginOptions(t *testing.T) {
	client(t)
	c, err := Open(os.Getenv("PJRT_PLUGIN"), Options{Compile: map[string]any{"xla_gpu_deterministic_ops": true, "xla_no_such_option": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Compile(&stablehlo.Program{Text: []byte("module @m {\n  func.func public @main(%arg0: tensor<f32>) -> (tensor<f32>) {\n    return %arg0 : tensor<f32>\n  }\n}\n")}); err == nil || !strings.Contains(err.Error(), "xla_no_such_option") {
		t.Errorf("an option that XLA does not have: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(os.Getenv("PJRT_PLUGIN"), Options{Create: map[string]any{"no_such_option": []int64{1, 2}}}); err == nil || !strings.Contains(err.Error(), "no_such_option") {
		t.Errorf("an option that the plugin does not have: %v", err)
	}
	if _, err := Open(os.Getenv("PJRT_PLUGIN"), Options{Device: 99}); err == nil || !strings.Contains(err.Error(), "no device 99") {
		t.Errorf("a device that the plugin does not have: %v", err)
	}
}

// TestFind looks for plugins in Python environments made for it.
func TestFind(t *testing.T) {
	root := t.TempDir()
	site := filepath.Join(root, "env[1]", "lib", "python3.12", "site-packages")
	for _, file := range []string{"jax_plugins/xla_cuda12/xla_cuda_plugin.so", "jax_plugins/xla_cuda13/xla_cuda_plugin.so", "libtpu/libtpu.so", "nvidia/cu13/bin/ptxas"} {
		path := filepath.Join(site, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	env := func(vars ...string) func(string) string {
		return func(name string) string {
			for _, v := range vars {
				if n, value, _ := strings.Cut(v, "="); n == name {
					return value
				}
			}
			return ""
		}
	}
	cuda, tpu := filepath.Join(site, "jax_plugins/xla_cuda13/xla_cuda_plugin.so"), filepath.Join(site, "libtpu/libtpu.so")
	active := "VIRTUAL_ENV=" + filepath.Join(root, "env[1]")
	for _, c := range []struct {
		kind, want string
		env        []string
	}{
		{"gpu", cuda, []string{active}},
		{"tpu", tpu, []string{"CONDA_PREFIX=" + filepath.Join(root, "env[1]")}},
		{"gpu", tpu, []string{active, "PJRT_PLUGIN=" + tpu}},
		{"gpu", tpu, []string{active, "PJRT_NAMES_AND_LIBRARY_PATHS=cpu:/x,cuda:" + tpu}},
		{"tpu", cuda, []string{active, "TPU_LIBRARY_PATH=" + cuda}},
	} {
		if got, err := Find(c.kind, env(c.env...)); err != nil || got != c.want {
			t.Errorf("%s with %v: %s, %v", c.kind, c.env, got, err)
		}
	}
	for _, c := range []struct{ kind, want, env string }{
		{"fpga", "must be one of", active}, {"tpu", "PJRT_PLUGIN", "PJRT_PLUGIN=/no/such/file"}, {"tpu", "pip install libtpu", "VIRTUAL_ENV=" + root},
	} {
		if _, err := Find(c.kind, env(c.env)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v", c.kind, c.env, err)
		}
	}
	if got := cudaFolder(cuda, env()); got != filepath.Join(site, "nvidia", "cu13") {
		t.Errorf("NVIDIA's tools are in %q", got)
	}
}
