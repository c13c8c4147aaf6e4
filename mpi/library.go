package mpi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is a loaded MPI library: its functions, and the values of the constants that
// each ABI has its own of.
type library struct {
	path string

	world, bytes, floats, errorsReturn, statusIgnore uintptr
	funneled                                         int32
	request                                          uintptr // bytes of a handle of a message

	initThread    func(argc, argv uintptr, required int32, provided *int32) int32
	finalize      func() int32
	abort         func(comm uintptr, code int32) int32
	commRank      func(comm uintptr, rank *int32) int32
	commSize      func(comm uintptr, size *int32) int32
	setErrhandler func(comm, handler uintptr) int32
	errorString   func(code int32, text *byte, length *int32) int32
	allgather     func(send unsafe.Pointer, sends int32, sendType uintptr, recv unsafe.Pointer, recvs int32, recvType, comm uintptr) int32
	allgatherv    func(send unsafe.Pointer, sends int32, sendType uintptr, recv unsafe.Pointer, recvs, starts *int32, recvType, comm uintptr) int32
	isend         func(send unsafe.Pointer, sends int32, sendType uintptr, to, tag int32, comm uintptr, request unsafe.Pointer) int32
	irecv         func(recv unsafe.Pointer, recvs int32, recvType uintptr, from, tag int32, comm uintptr, request unsafe.Pointer) int32
	testall       func(count int32, requests unsafe.Pointer, done *int32, statuses uintptr) int32

	usleep func(microseconds uint32) int32 // of the C library
}

// abi is how programs see a kind of MPI library.
type abi struct {
	names     []string // of its files
	constants func(l *library, handle uintptr) error
}

// The standard ABI of MPI 5 (chapter 20 of the standard), in MPICH from 5 on, Intel MPI
// from 2021.16 on and Open MPI from 6 on.
var standard = abi{[]string{"libmpi_abi.so.1", "libmpi_abi.so", "libmpi_abi.1.dylib", "libmpi_abi.dylib"},
	func(l *library, _ uintptr) error {
		l.world, l.bytes, l.floats, l.errorsReturn, l.statusIgnore, l.funneled, l.request = 0x101, 0x247, 0x210, 0x143, 0, 1024, unsafe.Sizeof(uintptr(0))
		return nil
	}}

// MPICH's ABI, which MVAPICH, Cray MPICH and Intel MPI share (mpi.h of MPICH).
var mpich = abi{[]string{"libmpi.so.12", "libmpich.so.12", "libmpi.12.dylib"},
	func(l *library, _ uintptr) error {
		l.world, l.bytes, l.floats, l.errorsReturn, l.statusIgnore, l.funneled, l.request = 0x44000000, 0x4c00010d, 0x4c00040a, 0x54000001, 1, 1, 4
		return nil
	}}

// Open MPI's ABI of versions 1.10 to 5, whose handles are addresses of variables (mpi.h
// of Open MPI).
var openMPI = abi{[]string{"libmpi.so.40", "libmpi.40.dylib"},
	func(l *library, handle uintptr) error {
		l.statusIgnore, l.funneled, l.request = 0, 1, unsafe.Sizeof(uintptr(0))
		for name, to := range map[string]*uintptr{
			"ompi_mpi_comm_world": &l.world, "ompi_mpi_byte": &l.bytes, "ompi_mpi_float": &l.floats, "ompi_mpi_errors_return": &l.errorsReturn,
		} {
			var err error
			if *to, err = purego.Dlsym(handle, name); err != nil {
				return err
			}
		}
		return nil
	}}

// fileVariable names the library.
const fileVariable = "RESNET_MPI"

// load loads the first library that there is.
func load() (*library, error) {
	if file := os.Getenv(fileVariable); file != "" {
		l, err := open(file, abiOf(file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fileVariable, err)
		}
		return l, nil
	}
	order := []abi{standard, mpich, openMPI}
	if _, by := launched(); by == openLauncher {
		order = []abi{openMPI, standard, mpich}
	}
	var first error
	for _, a := range order {
		for _, file := range candidates(a.names) {
			l, err := open(file, a)
			if err == nil {
				return l, nil
			}
			if _, missing := os.Stat(file); missing == nil && first == nil {
				first = err // it is there, but cannot be used
			}
		}
	}
	if first != nil {
		return nil, first
	}
	return nil, fmt.Errorf("there is no MPI library (%s): install MPICH or Open MPI, as by apt install mpich, or pip install mpich; or name its file by %s=FILE",
		strings.Join([]string{standard.names[0], mpich.names[0], openMPI.names[0]}, ", "), fileVariable)
}

// candidates returns where a library can be: with the launcher that the shell finds, in
// the active Python environment, and where the system looks.
func candidates(names []string) []string {
	var dirs []string
	for _, launcher := range []string{"mpiexec", "mpirun"} {
		if path, err := exec.LookPath(launcher); err == nil {
			dirs = append(dirs, filepath.Join(filepath.Dir(path), "..", "lib"))
			if real, err := filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Join(filepath.Dir(real), "..", "lib"))
			}
		}
	}
	for _, variable := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := os.Getenv(variable); dir != "" {
			dirs = append(dirs, filepath.Join(dir, "lib"))
		}
	}
	var files []string
	for _, name := range names {
		if strings.HasSuffix(name, ".dylib") != (runtime.GOOS == "darwin") {
			continue
		}
		for _, dir := range dirs {
			if file := filepath.Join(dir, name); exists(file) {
				files = append(files, file)
			}
		}
		files = append(files, name)
	}
	return files
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// abiOf returns the ABI of a library file by its name; the real name counts, where the
// given one is a link.
func abiOf(file string) abi {
	for _, path := range []string{file, resolved(file)} {
		base := filepath.Base(path)
		switch {
		case strings.HasPrefix(base, "libmpi_abi."):
			return standard
		case strings.HasPrefix(base, "libmpi.so.12"), strings.HasPrefix(base, "libmpich."), strings.HasPrefix(base, "libmpi.12."):
			return mpich
		case strings.HasPrefix(base, "libmpi.so.40"), strings.HasPrefix(base, "libmpi.40."):
			return openMPI
		}
	}
	return abi{} // open finds out
}

func resolved(file string) string {
	if path, err := filepath.EvalSymlinks(file); err == nil {
		return path
	}
	return file
}

// open loads a library and finds its functions.
func open(file string, a abi) (*library, error) {
	// Open MPI's own plugins need its symbols, hence global.
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("the MPI library %s cannot be loaded: %w", file, err)
	}
	if a.constants == nil {
		a = mpich
		if _, err := purego.Dlsym(handle, "ompi_mpi_comm_world"); err == nil {
			a = openMPI
		}
	}
	l := &library{path: file}
	if err := a.constants(l, handle); err != nil {
		return nil, fmt.Errorf("the MPI library %s: %w", file, err)
	}
	for name, f := range map[string]any{
		"MPI_Init_thread": &l.initThread, "MPI_Finalize": &l.finalize, "MPI_Abort": &l.abort, "MPI_Comm_rank": &l.commRank,
		"MPI_Comm_size": &l.commSize, "MPI_Comm_set_errhandler": &l.setErrhandler, "MPI_Error_string": &l.errorString,
		"MPI_Allgather": &l.allgather, "MPI_Allgatherv": &l.allgatherv, "MPI_Isend": &l.isend, "MPI_Irecv": &l.irecv, "MPI_Testall": &l.testall,
	} {
		address, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("the MPI library %s has no function %s: %w", file, name, err)
		}
		purego.RegisterFunc(f, address)
	}
	leaveSignals()
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "usleep")
	if err != nil {
		return nil, err
	}
	purego.RegisterFunc(&l.usleep, address)
	if address, err := purego.Dlsym(purego.RTLD_DEFAULT, "exit"); err == nil {
		var exit func(code int32)
		purego.RegisterFunc(&exit, address)
		libraryExit.Store(&exit)
	}
	return l, nil
}

// leaveSignals keeps Open MPI from handling signals: its handlers do not run on the
// alternate stack that Go needs.
func leaveSignals() {
	if os.Getenv("OMPI_MCA_opal_signal") != "" {
		return
	}
	set, err := purego.Dlsym(purego.RTLD_DEFAULT, "setenv")
	if err != nil {
		return
	}
	var setenv func(name, value string, replace int32) int32
	purego.RegisterFunc(&setenv, set)
	setenv("OMPI_MCA_opal_signal", "", 1)
}

// check returns an error for a code that is not success.
func (l *library) check(function string, code int32) error {
	if code == 0 {
		return nil
	}
	text, length := make([]byte, 8192), int32(0)
	if l.errorString(code, &text[0], &length) != 0 || length <= 0 || int(length) > len(text) {
		return fmt.Errorf("%s failed with code %d", function, code)
	}
	return fmt.Errorf("%s: %s", function, strings.TrimSpace(string(text[:length])))
}

const openLauncher = "Open MPI's mpirun"

// launched returns the number of processes that a launcher has started, by the variable
// that it sets, and the launcher; 0 without one.
func launched() (n int, by string) {
	for _, l := range []struct{ variable, name string }{
		{"OMPI_COMM_WORLD_SIZE", openLauncher}, {"PMI_SIZE", "mpiexec"}, {"SLURM_STEP_NUM_TASKS", "srun"},
	} {
		if n, err := strconv.Atoi(os.Getenv(l.variable)); err == nil {
			return n, l.name
		}
	}
	return 0, ""
}
