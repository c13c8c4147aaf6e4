package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Source is a version of a model that a server has.
type Source struct {
	// Name is what clients call the model: letters, digits, and . _ - after the first
	// character.
	Name string
	// Version is a whole number of 1 or more; "" means 1. Clients that name no version
	// get the highest that is ready.
	Version string
	// Open opens the model. It is called when the server starts, and again for each
	// reload. Its Options.Batch should be at least the server's.
	Open func(ctx context.Context) (*resnet.Model, error)
	// Changed reports whether the model's file is another one than when Open was called
	// last; nil if that is not known. It is called by [Server.Watch].
	Changed func() bool
	// Idle is set for a version that is not opened when the server starts, but by the
	// first request to load it.
	Idle bool
}

// Of returns a source of a model in memory.
func Of(name string, m *resnet.Model) Source {
	return Source{Name: name, Open: func(context.Context) (*resnet.Model, error) { return m, nil }}
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// version is a source and what it is at the moment.
type version struct {
	Source
	number  int
	loading sync.Mutex // held while it is opened or unloaded

	// Guarded by Server.mu.
	instance *instance // nil unless ready
	reason   string    // why it is not ready
}

// versionNow is a version at one moment.
type versionNow struct {
	name, version string
	instance      *instance
	reason        string
}

func (s *Server) addSource(src Source) error {
	if !goodName.MatchString(src.Name) {
		return fmt.Errorf("%w: the model's name %q must be letters, digits, and . _ - after the first character, at most 100", ErrOptions, src.Name)
	}
	if src.Version == "" {
		src.Version = "1"
	}
	n, err := strconv.Atoi(src.Version)
	if err != nil || n < 1 || strconv.Itoa(n) != src.Version {
		return fmt.Errorf("%w: the version %q of %s must be a whole number of 1 or more", ErrOptions, src.Version, src.Name)
	}
	if src.Open == nil {
		return fmt.Errorf("%w: the model %s has no Open", ErrOptions, src.Name)
	}
	for _, v := range s.models[src.Name] {
		if v.number == n {
			return fmt.Errorf("%w: the model %s has the version %d twice: give each a number of its own, such as %s:2=FILE", ErrOptions, src.Name, n, src.Name)
		}
	}
	if len(s.models[src.Name]) == 0 {
		s.names = append(s.names, src.Name)
	}
	s.models[src.Name] = append(s.models[src.Name], &version{Source: src, number: n, reason: "not loaded yet"})
	slices.SortFunc(s.models[src.Name], func(a, b *version) int { return cmp.Compare(b.number, a.number) })
	return nil
}

// versions returns all versions of all models, models in the order in which they were
// given, high versions first.
func (s *Server) versions() []versionNow {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []versionNow
	for _, name := range s.names {
		for _, v := range s.models[name] {
			out = append(out, versionNow{name, v.Version, v.instance, v.reason})
		}
	}
	return out
}

// find returns the version of a model that a request names; "" stands for the first
// model and its highest version that is ready.
func (s *Server) find(name, number string) (*version, *instance, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if name == "" && len(s.names) > 0 {
		name = s.names[0]
	}
	all := s.models[name]
	if len(all) == 0 {
		return nil, nil, errorf(http.StatusNotFound, "there is no model %.200q%s", name, suggest.Phrase(name, s.names))
	}
	for _, v := range all {
		if number == v.Version || number == "" && v.instance != nil {
			return v, v.instance, nil
		}
	}
	if number == "" {
		return all[0], nil, nil
	}
	return nil, nil, errorf(http.StatusNotFound, "the model %s has no version %.200q", name, number)
}

// hold returns a version of a model that is ready. It stays so until the caller calls
// its drop, whatever is loaded or unloaded meanwhile.
func (s *Server) hold(name, number string) (*instance, error) {
	for {
		v, in, err := s.find(name, number)
		if err != nil {
			return nil, err
		}
		if in == nil {
			s.mu.RLock()
			reason := v.reason
			s.mu.RUnlock()
			return nil, &apiError{http.StatusServiceUnavailable, fmt.Sprintf("the model %s, version %s, is not ready: %s", v.Name, v.Version, reason), time.Second}
		}
		if in.hold() {
			return in, nil
		} // it was replaced just now
	}
}

// load opens a version, anew if it is ready, and then lets requests go to it. Requests
// that run in the old one are finished there.
func (s *Server) load(ctx context.Context, v *version) error {
	v.loading.Lock()
	defer v.loading.Unlock()
	if s.draining.Load() {
		return errorf(http.StatusServiceUnavailable, "the server is shutting down")
	}
	began := time.Now()
	in, err := s.open(ctx, v)
	if err != nil {
		s.metrics.loads.WithLabelValues(v.Name, v.Version, "failed").Inc()
		s.mu.Lock()
		v.reason = err.Error()
		kept := v.instance != nil
		s.mu.Unlock()
		s.log.Error("a model could not be loaded", slog.String("model", v.Name), slog.String("version", v.Version), slog.String("error", err.Error()), slog.Bool("old_one_kept", kept))
		return err
	}
	s.metrics.loads.WithLabelValues(v.Name, v.Version, "loaded").Inc()
	s.mu.Lock()
	old := v.instance
	v.instance, v.reason = in, ""
	s.mu.Unlock()
	s.log.Info("a model is ready", slog.String("model", v.Name), slog.String("version", v.Version), slog.String("task", string(in.model.Task())), slog.Duration("took", time.Since(began)))
	s.retire(old)
	return nil
}

func (s *Server) open(ctx context.Context, v *version) (in *instance, err error) {
	defer func() { // a file can be wrong in ways that nobody has thought of
		if p := recover(); p != nil {
			err = fmt.Errorf("opening the model failed: %v", p)
		}
	}()
	m, err := v.Open(ctx)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("its Open gave no model")
	}
	return s.newInstance(ctx, v, m)
}

// unload makes a version not ready, and frees its memory when the requests in it are
// finished.
func (s *Server) unload(v *version) {
	v.loading.Lock()
	defer v.loading.Unlock()
	s.mu.Lock()
	old := v.instance
	v.instance, v.reason = nil, "unloaded"
	s.mu.Unlock()
	s.retire(old)
}

// retire waits for the requests in an instance and frees its memory.
func (s *Server) retire(in *instance) {
	if in == nil {
		return
	}
	in.retire()
	s.log.Info("a model was unloaded", slog.String("model", in.name), slog.String("version", in.version))
	// Packed weights are outside Go's heap and go with their owner, so a collection
	// now returns them to the system.
	debug.FreeOSMemory()
}

// reload opens every version of a model again, the highest first.
func (s *Server) reload(ctx context.Context, name string) error {
	s.mu.RLock()
	all := slices.Clone(s.models[name])
	s.mu.RUnlock()
	if len(all) == 0 {
		return errorf(http.StatusNotFound, "there is no model %.200q%s", name, suggest.Phrase(name, s.names))
	}
	for _, v := range all {
		if err := s.load(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// Watch looks every interval whether models' files have changed, and loads those that
// have, until ctx ends. A model that cannot be loaded keeps its old version.
func (s *Server) Watch(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.RLock()
		var all []*version
		for _, vs := range s.models {
			for _, v := range vs {
				if v.Changed != nil && v.instance != nil {
					all = append(all, v)
				}
			}
		}
		s.mu.RUnlock()
		for _, v := range all {
			if v.Changed() {
				s.load(ctx, v) // which logs the error
			}
		}
	}
}
