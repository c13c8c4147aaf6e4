package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// folderLock is a file that is open and locked while a folder is written, which
// distinguishes it from what a killed process left behind.
const folderLock = ".writing"

// Folder makes the folder at path, which must not be there or be empty, of what
// write puts into the folder tmp beside it: whole, or not at all.
func Folder(path string, write func(tmp string) error) (err error) {
	path = filepath.Clean(path)
	parent := filepath.Dir(path)
	removeOnce(parent)
	tmp, err := os.MkdirTemp(parent, temporary(path)+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // gone already, if all went well
	lock, err := os.Create(filepath.Join(tmp, folderLock))
	if err != nil {
		return err
	}
	defer lock.Close() // closing twice does no harm here
	unlock := mark(lock.Name())
	defer unlock()
	if err := write(tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := errors.Join(lock.Close(), os.Remove(lock.Name())); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, path)
}
