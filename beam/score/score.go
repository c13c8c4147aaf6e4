// Package score is an Apache Beam pipeline that scores pictures: a list of pictures or
// shards in, JSON lines out, on any runner of Beam.
package score

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
)

// Register makes the functions of the pipeline known to Beam's workers, which find them by
// name. Call it once, before beam.Init.
func Register() {
	register.DoFn3x1[context.Context, string, func(string), error](&scoreFn{})
	register.DoFn2x0[string, func(int, string)](&fileOfFn{})
	register.DoFn3x1[context.Context, int, func(*string) bool, error](&writeFn{})
	register.Emitter1[string]()
	register.Emitter2[int, string]()
	register.Iter1[string]()
}

// Options are the choices of [Build].
type Options struct {
	// List is a file with a line for each picture: its path, or JSON {"id": …, "path": …}.
	// A path that ends in .tar stands for all pictures in it, which are read in sequence.
	// Paths are of any file system of Beam, such as gs://bucket/1.jpg.
	List string
	// Out is the beginning of the names of the result files: OUT-00000-of-00004.jsonl.
	Out   string
	Files int // number of result files
	// Model is a model file on every worker, or a published name; see [resnet.Open].
	Model   string
	Embed   bool // features, as resnet embed; else classes, as resnet predict
	TopK    int  // classes of a picture
	Batch   int  // pictures computed together
	Threads int  // of each model; 0 means one for each processor
}

// Build adds the pipeline. Each picture of the list is one line of one result file,
// exactly once, whatever fails and is done again on the way: results are written after
// all of them are known, and a file that is written again is the same. A picture that
// cannot be read is a line with an error. The order is not that of the list.
func Build(s beam.Scope, o Options) {
	lines := beam.Reshuffle(s.Scope("spread"), textio.Read(s, o.List))
	scored := beam.ParDo(s.Scope("score"), &scoreFn{Model: o.Model, Embed: o.Embed, TopK: o.TopK, Batch: o.Batch, Threads: o.Threads}, lines)
	files := beam.GroupByKey(s, beam.ParDo(s, &fileOfFn{Files: o.Files}, scored))
	beam.ParDo0(s.Scope("write"), &writeFn{Out: o.Out, Files: o.Files}, files)
}

// scoreFn computes the pictures of a bundle in batches.
type scoreFn struct {
	Model                string
	Embed                bool
	TopK, Batch, Threads int

	model   *resnet.Model
	waiting []resnet.Picture
}

// models are those of this worker, by their choices: bundles share one.
var (
	models    = map[string]*resnet.Model{}
	modelLock sync.Mutex
)

// Setup opens the model.
func (f *scoreFn) Setup() error {
	modelLock.Lock()
	defer modelLock.Unlock()
	key := fmt.Sprintf("%q %d %d %d", f.Model, f.TopK, f.Batch, f.Threads)
	m := models[key]
	if m == nil {
		var err error
		if m, err = resnet.Open(f.Model, resnet.Options{TopK: f.TopK, Batch: f.Batch, Threads: f.Threads}); err != nil {
			return err
		}
		models[key] = m
	}
	f.model = m
	return nil
}

// StartBundle begins with no pictures.
func (f *scoreFn) StartBundle(func(string)) { f.waiting = nil }

// ProcessElement takes a line of the list.
func (f *scoreFn) ProcessElement(ctx context.Context, line string, emit func(string)) error {
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return nil
	}
	id, file, err := parse(line)
	if err != nil {
		return f.add(ctx, emit, failed(id, err))
	}
	fs, err := filesystem.New(ctx, file)
	if err != nil {
		return f.add(ctx, emit, failed(id, err))
	}
	defer fs.Close()
	r, err := fs.OpenRead(ctx, file)
	if err != nil {
		return f.add(ctx, emit, failed(id, err))
	}
	defer r.Close()
	if strings.HasSuffix(strings.ToLower(file), ".tar") {
		return f.shard(ctx, emit, id, r)
	}
	return f.read(ctx, emit, id, r)
}

// parse returns the id and the path of a line.
func parse(line string) (id, file string, err error) {
	if !strings.HasPrefix(line, "{") {
		return line, line, nil
	}
	var l struct {
		ID   any    `json:"id"`
		Path string `json:"path"`
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&l); err != nil {
		return line, "", fmt.Errorf("the line is not JSON: %w", err)
	}
	if l.ID == nil {
		l.ID = l.Path
	}
	if id = fmt.Sprint(l.ID); l.Path == "" {
		return id, "", errors.New(`the line must have a "path"`)
	}
	return id, l.Path, nil
}

// shard reads the pictures of a tar.
func (f *scoreFn) shard(ctx context.Context, emit func(string), id string, r io.Reader) error {
	t := tar.NewReader(r)
	pictures := 0
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && pictures > 0:
			return nil
		case errors.Is(err, io.EOF):
			err = errors.New("the tar holds no pictures")
		}
		if err != nil {
			return f.add(ctx, emit, failed(id, err))
		}
		if h.Typeflag != tar.TypeReg || !slices.Contains(data.PictureEndings(), strings.ToLower(path.Ext(h.Name))) {
			continue
		}
		pictures++
		if err := f.read(ctx, emit, id+"/"+path.Clean(h.Name), t); err != nil {
			return err
		}
	}
}

// read takes the bytes of a picture.
func (f *scoreFn) read(ctx context.Context, emit func(string), id string, r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, data.DefaultMaxFileBytes+1))
	switch {
	case err != nil:
		return f.add(ctx, emit, failed(id, err))
	case len(b) > data.DefaultMaxFileBytes:
		return f.add(ctx, emit, failed(id, fmt.Errorf("the file is larger than %d bytes", data.DefaultMaxFileBytes)))
	}
	return f.add(ctx, emit, resnet.Encoded(id, b))
}

// failed is a picture that cannot be read.
func failed(id string, err error) resnet.Picture { return resnet.Reader(id, failingReader{err}) }

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func (f *scoreFn) add(ctx context.Context, emit func(string), p resnet.Picture) error {
	if f.waiting = append(f.waiting, p); len(f.waiting) < f.Batch {
		return nil
	}
	return f.flush(ctx, emit)
}

// FinishBundle computes the pictures that are left.
func (f *scoreFn) FinishBundle(ctx context.Context, emit func(string)) error {
	return f.flush(ctx, emit)
}

// Line is a line of the results, as of resnet predict --jsonl and resnet embed --jsonl.
type Line struct {
	ID          string              `json:"id"`
	Predictions []resnet.Prediction `json:"predictions,omitempty"`
	Embedding   []float32           `json:"embedding,omitempty"`
	Error       string              `json:"error,omitempty"`
}

func (f *scoreFn) flush(ctx context.Context, emit func(string)) error {
	compute := f.model.ClassifyAll
	if f.Embed {
		compute = f.model.EmbedAll
	}
	for r, err := range compute(ctx, slices.Values(f.waiting)) {
		if err != nil {
			return err
		}
		l := Line{ID: r.Name, Predictions: r.Predictions, Embedding: r.Embedding}
		if r.Err != nil {
			l.Error = r.Err.Error()
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(l); err != nil {
			return err
		}
		emit(strings.TrimSuffix(b.String(), "\n"))
	}
	f.waiting = nil
	return nil
}

// fileOfFn chooses the result file of a line by its content.
type fileOfFn struct{ Files int }

// ProcessElement gives a line the number of its file.
func (f *fileOfFn) ProcessElement(line string, emit func(int, string)) {
	h := fnv.New32a()
	h.Write([]byte(line))
	emit(int(h.Sum32()%uint32(f.Files)), line)
}

// writeFn writes the result files.
type writeFn struct {
	Out   string
	Files int
}

// ProcessElement writes a file, from its start if it is there from an earlier attempt.
func (f *writeFn) ProcessElement(ctx context.Context, number int, lines func(*string) bool) (err error) {
	name := fmt.Sprintf("%s-%05d-of-%05d.jsonl", f.Out, number, f.Files)
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fs.Close()) }()
	w, err := fs.OpenWrite(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var line string
	for lines(&line) {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}
