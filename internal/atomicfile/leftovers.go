package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// temporary returns how the names of path's temporary files begin.
func temporary(path string) string { return "." + filepath.Base(path) + ".tmp-" }

var isTemporary = regexp.MustCompile(`^\..+\.tmp-[0-9]+$`)

// mark locks a temporary file while it is written, which distinguishes it from
// what a killed process left behind: the system frees the locks of a process that
// ends. Windows does not remove files that are open.
func mark(temp string) (unlock func()) {
	if runtime.GOOS == "windows" {
		return func() {}
	}
	l := flock.New(temp)
	if ok, err := l.TryLock(); !ok || err != nil {
		return func() {} // a file system without locks: nothing is removed there
	}
	return func() { l.Close() } // it was not written to
}

// RemoveLeftovers removes the temporary files and folders in a folder that no process is
// writing: killed ones have left them.
func RemoveLeftovers(dir string) error { return removeLeftovers(dir, 0) }

func removeLeftovers(dir string, age time.Duration) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() && !e.IsDir() || !isTemporary.MatchString(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < age {
			continue // someone else was faster, or it has only just been made
		}
		if err := removeUnused(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func removeUnused(path string) error {
	file := path
	if info, err := os.Lstat(path); err != nil {
		return err
	} else if info.IsDir() {
		file = filepath.Join(path, folderLock)
	}
	if runtime.GOOS == "windows" {
		if os.Remove(file) != nil { // fails for a file that is open
			return nil
		}
		return os.RemoveAll(path)
	}
	l := flock.New(file, flock.SetFlag(os.O_RDONLY))
	ok, err := l.TryLock()
	if err != nil || !ok {
		return nil
	}
	defer l.Close()
	return os.RemoveAll(path)
}

// looked are the folders in which this process has removed leftovers.
var looked sync.Map

// removeOnce removes what killed processes left in a folder, once per process,
// because the list of a folder may be long. A file younger than a minute is kept: its
// process may be about to lock it. Errors do not matter to who writes there.
func removeOnce(dir string) {
	if _, done := looked.LoadOrStore(dir, true); !done {
		removeLeftovers(dir, time.Minute)
	}
}
