// Package mpi connects the ranks of a training by MPI, the standard of parallel
// programs: mpirun, Slurm or Kubernetes starts the processes, and the MPI library of the
// machines moves their gradients over the fastest network there is. The library is one
// that the user has; it is loaded when the program runs, without cgo.
package mpi

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

// World is all ranks that a launcher has started together. It is a train.Exchange. Its
// methods are for one goroutine at a time.
type World struct {
	library    *library
	rank, size int
	calls      chan func()
	failed     bool
	requests   [2]uintptr // handles of messages under way
}

// Open loads an MPI library and initializes it; a process can do this once. The library
// is the file that the variable RESNET_MPI names, or else one that belongs to the
// launcher: with the standard ABI of MPI 5 (libmpi_abi.so.1), of MPICH and its relatives
// (libmpi.so.12), or of Open MPI up to 5 (libmpi.so.40). Without a launcher, the World
// has one rank. Close it when done.
func Open() (*World, error) {
	w := &World{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // MPI is told that one thread makes all calls
		for f := range w.calls {
			f()
		}
	}()
	var err error
	w.do(func() { err = w.open() })
	if err != nil {
		close(w.calls)
		return nil, fmt.Errorf("mpi: %w", err)
	}
	return w, nil
}

// do calls f on the thread of MPI.
func (w *World) do(f func()) {
	done := make(chan struct{})
	w.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

func (w *World) open() error {
	l, err := load()
	if err != nil {
		return err
	}
	var provided, rank, size int32
	if code := l.initThread(0, 0, l.funneled, &provided); code != 0 {
		return fmt.Errorf("%s: MPI_Init_thread failed with code %d", l.path, code)
	}
	// Errors are to come back as codes, so that the training can report them.
	if err := l.check("MPI_Comm_set_errhandler", l.setErrhandler(l.world, l.errorsReturn)); err != nil {
		return err
	}
	if err := l.check("MPI_Comm_rank", l.commRank(l.world, &rank)); err != nil {
		return err
	}
	if err := l.check("MPI_Comm_size", l.commSize(l.world, &size)); err != nil {
		return err
	}
	w.library, w.rank, w.size = l, int(rank), int(size)
	if n, of := launched(); n > 1 && size == 1 {
		l.finalize()
		return fmt.Errorf("%s has started %d processes, but the library %s sees only this one: they belong to different MPI installations; name the launcher's library by RESNET_MPI=FILE", of, n, l.path)
	}
	return nil
}

// Rank returns the number of this process, from 0.
func (w *World) Rank() int { return w.rank }

// Size returns the number of ranks.
func (w *World) Size() int { return w.size }

// Library returns the path of the MPI library.
func (w *World) Library() string { return w.library.path }

// Share gives each rank the messages of all, by rank. Messages may be of any length.
func (w *World) Share(own []byte) (all [][]byte, err error) {
	w.do(func() { all, err = w.share(own) })
	w.failed = w.failed || err != nil
	return all, err
}

// atOnce is the most bytes that all ranks together send in one call, whose lengths are 32
// bits wide. A variable for tests.
var atOnce = 1 << 30

func (w *World) share(own []byte) ([][]byte, error) {
	l := w.library
	length, lengths := []int64{int64(len(own))}, make([]int64, w.size)
	if err := l.check("MPI_Allgather", l.allgather(pointer(length), 8, l.bytes, pointer(lengths), 8, l.bytes, l.world)); err != nil {
		return nil, err
	}
	all := make([][]byte, w.size)
	counts, starts := make([]int32, w.size), make([]int32, w.size)
	each, longest := int64(atOnce/w.size), slices.Max(lengths)
	for from := int64(0); from < longest; from += each {
		total := 0
		for r, n := range lengths {
			counts[r], starts[r] = int32(max(0, min(each, n-from))), int32(total)
			total += int(counts[r])
		}
		text := make([]byte, total)
		send := own[min(from, length[0]):]
		if err := l.check("MPI_Allgatherv", l.allgatherv(pointer(send), counts[w.rank], l.bytes, pointer(text), &counts[0], &starts[0], l.bytes, l.world)); err != nil {
			return nil, err
		}
		for r, n := range counts {
			part := text[starts[r]:][:n:n]
			if from == 0 {
				all[r] = part
			} else {
				all[r] = append(all[r], part...)
			}
		}
	}
	return all, nil
}

// largest is the most elements that one call sends.
const largest = 1 << 30

// AllToAll sends send[r] to rank r and fills recv[r] with what rank r sends to this one.
// In each round a rank sends to one other and receives from one other, so that every
// link carries one message at a time.
func (w *World) AllToAll(send, recv [][]float32) (err error) {
	if len(send) != w.size || len(recv) != w.size {
		return fmt.Errorf("mpi: AllToAll has parts for %d and %d ranks, must be %d", len(send), len(recv), w.size)
	}
	w.do(func() {
		copy(recv[w.rank], send[w.rank])
		for round := 1; round < w.size && err == nil; round++ {
			to, from := (w.rank+round)%w.size, (w.rank-round+w.size)%w.size
			err = w.swap(send[to], to, recv[from], from)
		}
	})
	w.failed = w.failed || err != nil
	return err
}

func (w *World) swap(send []float32, to int, recv []float32, from int) error {
	l := w.library
	for first := true; first || len(send)+len(recv) > 0; first = false {
		s, r := send[:min(len(send), largest)], recv[:min(len(recv), largest)]
		second := unsafe.Add(unsafe.Pointer(&w.requests), l.request)
		err := l.check("MPI_Irecv", l.irecv(pointer(r), int32(len(r)), l.floats, int32(from), 0, l.world, unsafe.Pointer(&w.requests)))
		if err == nil {
			err = l.check("MPI_Isend", l.isend(pointer(s), int32(len(s)), l.floats, int32(to), 0, l.world, second))
		}
		if err == nil {
			err = w.wait()
		}
		if err != nil {
			return fmt.Errorf("%w (to rank %d, from rank %d)", err, to, from)
		}
		send, recv = send[len(s):], recv[len(r):]
	}
	return nil
}

// wait looks for the end of messages without a pause for so long, and then with pauses.
const (
	patience = 100 * time.Microsecond
	pause    = 50 // in µs
)

// wait waits for the two messages of swap. MPI's own functions for it keep a processor
// busy, which the threads that compute meanwhile need. The C library's sleep, unlike
// Go's, is not rounded up to a millisecond, and returns while a goroutine computes on the
// only processor that a launcher has given to the rank.
func (w *World) wait() error {
	l, began := w.library, time.Now()
	for {
		var done int32
		if err := l.check("MPI_Testall", l.testall(2, unsafe.Pointer(&w.requests), &done, l.statusIgnore)); err != nil || done != 0 {
			return err
		}
		if time.Since(began) > patience {
			l.usleep(pause)
		}
	}
}

// Close ends the connection when all ranks are done. After an error of another method it
// ends the processes of all ranks, which could not finish any more.
func (w *World) Close() (err error) {
	w.do(func() {
		if w.failed {
			w.library.abort(w.library.world, 1)
		}
		err = w.library.check("MPI_Finalize", w.library.finalize())
	})
	close(w.calls)
	return err
}

// Exit ends the process with an exit code, as the C library does it: MPICH takes leave of
// the launcher in a handler of atexit, without which the launcher kills the other ranks.
// It is os.Exit where no library is loaded.
func Exit(code int) {
	if exit := libraryExit.Load(); exit != nil {
		(*exit)(int32(code))
	}
	os.Exit(code)
}

// libraryExit is the function exit of the C library, once MPI is loaded.
var libraryExit atomic.Pointer[func(code int32)]

// pointer returns the address of a slice's first element; nil for an empty one.
func pointer[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
