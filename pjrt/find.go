package pjrt

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Kinds are the kinds of devices that [Find] knows.
var Kinds = []string{"cpu", "gpu", "tpu"}

// plugins are the files of plugins below the packages of a Python environment, by kind,
// as the packages on PyPI have them; newer ones first where names are sorted downward.
var plugins = map[string][]string{
	"gpu": {
		"jax_plugins/xla_cuda*/xla_cuda_plugin.so", // jax[cuda13], jax[cuda12]
		"jax_plugins/xla_rocm*/xla_rocm_plugin.so",
		"jax_plugins/*oneapi*/*pjrt*.so", "jax_plugins/intel_extension_for_openxla/*pjrt*.so",
	},
	"tpu": {"libtpu/libtpu.so"},
	"cpu": {"*/pjrt_c_api_cpu_plugin.so"}, // lammps-jax-pjrt-cpu, xla-cpu-pjrt
}

// install is how to get a plugin.
var install = map[string]string{
	"gpu": `pip install "jax[cuda13]" for NVIDIA (jax[cuda12] for drivers before 580), jax-rocm7-pjrt and jax-rocm7-plugin for AMD, jax-oneapi-pjrt for Intel`,
	"tpu": "pip install libtpu",
	"cpu": "pip install lammps-jax-pjrt-cpu",
}

// names are the names of platforms that JAX's variable PJRT_NAMES_AND_LIBRARY_PATHS has
// for a kind.
var names = map[string][]string{
	"gpu": {"gpu", "cuda", "rocm", "oneapi", "xpu", "sycl"},
	"tpu": {"tpu"},
	"cpu": {"cpu"},
}

// Find returns the file of a plugin for a kind of device: the first of the variable
// PJRT_PLUGIN, those that JAX has (PJRT_NAMES_AND_LIBRARY_PATHS, TPU_LIBRARY_PATH), and the
// packages of the active Python environment (VIRTUAL_ENV, CONDA_PREFIX, the python3 of
// PATH) and of the user's and the system's Python. Nothing of Python runs. The error
// names the places.
func Find(kind string, getenv func(string) string) (string, error) {
	if !slices.Contains(Kinds, kind) {
		return "", fmt.Errorf("pjrt: the kind of device is %q, must be one of %s", kind, strings.Join(Kinds, ", "))
	}
	path, variable := named(kind, getenv)
	if path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("pjrt: the plugin that the environment variable %s names: %w", variable, err)
		}
		return path, nil
	}
	folders := packages(getenv)
	for _, folder := range folders {
		for _, pattern := range plugins[kind] {
			found, err := filepath.Glob(filepath.Join(escaped(folder), filepath.FromSlash(pattern)))
			if err == nil && len(found) > 0 {
				return slices.Max(found), nil
			}
		}
	}
	where := "no Python environment was found"
	if len(folders) > 0 {
		where = "there is none in " + strings.Join(folders, ", ")
	}
	return "", fmt.Errorf("pjrt: no plugin for a %s was found: %s: install one (%s), activate its environment, or name its file", strings.ToUpper(kind), where, install[kind])
}

// named returns the plugin that a variable names, and the variable.
func named(kind string, getenv func(string) string) (path, variable string) {
	if path = getenv("PJRT_PLUGIN"); path != "" {
		return path, "PJRT_PLUGIN"
	}
	const list = "PJRT_NAMES_AND_LIBRARY_PATHS"
	for entry := range strings.SplitSeq(getenv(list), ",") {
		if name, file, ok := strings.Cut(entry, ":"); ok && slices.Contains(names[kind], name) {
			return file, list
		}
	}
	if kind == "tpu" {
		return getenv("TPU_LIBRARY_PATH"), "TPU_LIBRARY_PATH"
	}
	return "", ""
}

// packages returns the folders of packages of Python environments that exist, the active
// one's first.
func packages(getenv func(string) string) []string {
	roots := []string{getenv("VIRTUAL_ENV"), getenv("CONDA_PREFIX")}
	for _, folder := range filepath.SplitList(getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(folder, "python3")); err == nil {
			roots = append(roots, filepath.Dir(folder))
			break
		}
	}
	if home := getenv("HOME"); home != "" {
		roots = append(roots, filepath.Join(home, ".local"))
	}
	if runtime.GOOS != "windows" {
		roots = append(roots, "/usr/local", "/usr")
	}
	var folders []string
	for _, root := range roots {
		if root == "" {
			continue
		}
		for _, below := range []string{"lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages"} {
			found, err := filepath.Glob(filepath.Join(escaped(root), filepath.FromSlash(below)))
			if err != nil {
				continue
			}
			for _, f := range found {
				if !slices.Contains(folders, f) {
					folders = append(folders, f)
				}
			}
		}
	}
	return folders
}

// escaped returns a path as a pattern that only it matches.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// cudaFolder returns the folder with NVIDIA's ptxas and libdevice beside a plugin of
// JAX's packages, where the compiler looks for them: empty if there is none.
func cudaFolder(plugin string, getenv func(string) string) string {
	if folder := getenv("CUDA_ROOT"); folder != "" {
		return folder
	}
	site := filepath.Dir(filepath.Dir(filepath.Dir(plugin)))
	for _, below := range []string{"nvidia/cu13", "nvidia/cuda_nvcc"} {
		folder := filepath.Join(site, filepath.FromSlash(below))
		if _, err := os.Stat(filepath.Join(folder, "bin", "ptxas")); err == nil {
			return folder
		}
	}
	return ""
}

// Choice is what users choose of a device.
type Choice struct {
	Kind   string // one of [Kinds]
	Index  int    // among those of the kind
	Plugin string // the file; empty for [Find]
	// Deterministic makes results the same bits in each run.
	Deterministic bool
	// Memory is the share of the device's memory that is taken at once; 0 takes it as it
	// is needed.
	Memory float64
}

// Choose opens the device of a choice.
func Choose(c Choice, getenv func(string) string) (*Client, error) {
	if c.Plugin == "" {
		var err error
		if c.Plugin, err = Find(c.Kind, getenv); err != nil {
			return nil, err
		}
	}
	opt := Options{Device: c.Index, Compile: map[string]any{}}
	if c.Kind == "gpu" {
		opt.Device = 0
		// Other GPUs are left alone, and by default no more memory is taken than needed.
		opt.Create = map[string]any{"visible_devices": []int64{int64(c.Index)}, "preallocate": c.Memory > 0}
		if c.Memory > 0 {
			opt.Create["memory_fraction"] = float32(c.Memory)
		}
		if c.Deterministic {
			opt.Compile["xla_gpu_deterministic_ops"] = true
		}
		if folder := cudaFolder(c.Plugin, getenv); folder != "" {
			opt.Compile["xla_gpu_cuda_data_dir"] = folder
		}
	} else if c.Memory > 0 {
		return nil, fmt.Errorf("pjrt: only GPUs take a share of their memory at once, not a %s", strings.ToUpper(c.Kind))
	}
	client, err := Open(c.Plugin, opt)
	if err != nil {
		return nil, err
	}
	if c.Kind == "gpu" {
		client.index = c.Index // of all, of which it sees one
	}
	if p := client.Platform(); slices.Contains(names["cpu"], p) != (c.Kind == "cpu") || slices.Contains(names["tpu"], p) != (c.Kind == "tpu") {
		return nil, fmt.Errorf("pjrt: %s is a plugin for %s, not for a %s", c.Plugin, p, strings.ToUpper(c.Kind))
	}
	return client, nil
}
