package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/modelfile"
)

// watchEvery is the pause between two looks at a folder, at least: it is ten times as long
// as a look at a large one takes. Looking, instead of asking the system for events, works
// on every system and on network drives. settleTime is how long a picture that cannot be
// decoded may still be on its way.
var watchEvery, settleTime = 500 * time.Millisecond, 10 * time.Second

// watched is a picture in a watched folder.
type watched struct {
	size  int64
	mtime time.Time
	since time.Time // when it was first seen as it is
	done  bool      // it was classified, or reported
}

// watcher finds the pictures of folders that are complete and were not given yet.
type watcher struct {
	dirs  []string
	files map[string]*watched
}

// look returns the new pictures, in order: those which are as they were at the look
// before, because others are still being written.
func (w *watcher) look(now time.Time) ([]string, error) {
	var ready []string
	there := map[string]bool{}
	for _, dir := range w.dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is no folder", dir)
		}
		names, _, err := data.FindPictures(dir)
		if err != nil && len(names) == 0 {
			continue // a folder in it has just been removed, or may not be read
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				continue // removed meanwhile
			}
			there[name] = true
			f := w.files[name]
			if f == nil || f.size != info.Size() || !f.mtime.Equal(info.ModTime()) {
				w.files[name] = &watched{size: info.Size(), mtime: info.ModTime(), since: now}
			} else if !f.done && f.size > 0 {
				ready = append(ready, name)
			}
		}
	}
	for name := range w.files {
		if !there[name] {
			delete(w.files, name)
		}
	}
	slices.Sort(ready)
	return ready, nil
}

// failed reports whether a picture that could not be decoded is to be reported: it has
// not changed for long enough.
func (w *watcher) failed(name string, now time.Time) bool {
	f := w.files[name]
	return f == nil || now.Sub(f.since) >= settleTime
}

// runWatch classifies the pictures of folders, and those that come into them, until it
// is interrupted.
func (c *predictCommand) runWatch(ctx context.Context, m *resnet.Model, dirs []string) error {
	w := &watcher{dirs: dirs, files: map[string]*watched{}}
	if _, err := w.look(time.Now()); err != nil {
		return err
	}
	if c.csv {
		if err := c.beginCSV(); err != nil {
			return err
		}
	}
	model := newModelWatch(c.model)
	c.note("watching %s; Ctrl-C ends it", dirs[0])
	pause := watchEvery
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		if what := model.changed(); what != "" {
			c.note("%s", what)
		}
		began := time.Now()
		names, err := w.look(began)
		if err != nil {
			return err
		}
		pause = max(watchEvery, 10*time.Since(began))
		for r, err := range m.ClassifyAll(ctx, c.pictures(names)) {
			if err != nil {
				return err
			}
			if r.Err != nil && !w.failed(r.Name, time.Now()) {
				continue
			}
			if f := w.files[r.Name]; f != nil {
				f.done = true
			}
			if err := c.print(r, &unreadable{}, false, 0); err != nil {
				return err
			}
		}
	}
}

// modelWatch notices when the file of a model is no longer what was opened. A run that
// watches goes on with the model that it has, which nobody may expect.
type modelWatch struct {
	path string // "" if the model is in no file, or the change has been reported
	info os.FileInfo
}

func newModelWatch(model string) *modelWatch {
	ref, err := modelfile.Parse(model)
	if err != nil || ref.File == "" { // inside the program, or downloaded
		return &modelWatch{}
	}
	w := &modelWatch{path: ref.File}
	if w.info, err = os.Stat(ref.File); err != nil {
		w.path = ""
	}
	return w
}

// changed returns what has happened to the file, once.
func (w *modelWatch) changed() string {
	if w.path == "" {
		return ""
	}
	info, err := os.Stat(w.path)
	what := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		what = "was removed"
	case err != nil: // a network drive may be away for a while
	case !os.SameFile(info, w.info):
		what = "was replaced"
	case info.Size() != w.info.Size() || !info.ModTime().Equal(w.info.ModTime()):
		what = "was written to"
	}
	if what == "" {
		return ""
	}
	what = fmt.Sprintf("the model file %s %s: what was opened stays in use until the end; start again to open another", w.path, what)
	w.path = ""
	return what
}

// beginCSV writes the line of names.
func (c *predictCommand) beginCSV() error {
	c.table = csv.NewWriter(c.out)
	return c.table.Write([]string{"image", "rank", "class", "index", "probability", "error"})
}

// checkFolders returns an error unless all arguments are folders.
func checkFolders(args []string) error {
	for _, arg := range args {
		if info, err := os.Stat(arg); err != nil || !info.IsDir() {
			return usagef("--watch takes folders, but %s is none", arg)
		}
	}
	return nil
}
