package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/term"
)

// scoreHelp describes the flags of commands that score long lists of pictures.
const scoreHelp = `--jsonl FILE (or - for stdin) is for millions of pictures. Each line of it is a path,
or JSON: {"id": …, "path": …}, {"id": …, "base64": …}, or {"id": …, "bytes": N}, which N
bytes of a picture follow; a folder, zip or tar stands for all pictures in it. Each picture gives one line of JSON, in the order of the input, and
one that cannot be read gives a line with an error; the exit code is then 0.
--resume OUT writes to a file instead of stdout, and goes on where an earlier run
ended, whatever ended it. --shard I/N does every N-th line, beginning with line I from
0; --shard auto takes I and N from Slurm, torchrun or MPI, auto/N takes I from a
Kubernetes Indexed Job. docs/scale.md has examples.`

// scoreFlags choose a list of pictures and where its results go.
type scoreFlags struct {
	list   string
	shard  string
	resume string
}

func (f *scoreFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.list, "jsonl", "", "file of pictures, one a line (- for stdin): a path, or JSON with an id and a path, base64 or a number of bytes that follow")
	fs.StringVar(&f.shard, "shard", "", "with --jsonl: the part of the lines to do, I/N, auto or auto/N")
	fs.StringVar(&f.resume, "resume", "", "with --jsonl: file for the results; what it has already is not done again")
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if f.resume == "-" {
			return usagef("--resume - names no file: name one for the results, or leave --resume out for stdout")
		}
		if f.list != "" {
			return noMore(0, given)
		}
		for _, name := range []string{"shard", "resume"} {
			if fs.Changed(name) {
				return usagef("--%s needs --jsonl FILE, the list of pictures", name)
			}
		}
		return args(cmd, given)
	}
}

// scoring is one run over a list of pictures.
type scoring struct {
	*app
	kind  scoreKind
	share share
	done  map[[16]byte]int // results by the hash of their ids
	lines int
	err   error // of the input
	out   io.Writer

	skipped, bad, all int
}

// scoreKind is what a command makes of a list of pictures.
type scoreKind interface {
	// compute is a method such as [resnet.Model.ClassifyAll].
	compute(context.Context, iter.Seq[resnet.Picture]) iter.Seq2[resnet.Result, error]
	// line returns what is printed of a result; problem is its error.
	line(r resnet.Result, problem string) any
	// fits returns an error for a result of an earlier run that is of another command.
	fits(earlier earlierLine) error
	// follows returns an error for a result that is of another model than those that
	// fits was given, as far as this can be told.
	follows(r resnet.Result) error
}

// earlierLine is a line of an earlier run, of any command.
type earlierLine struct {
	ID          *string             `json:"id"`
	Predictions []resnet.Prediction `json:"predictions"` // nil if it is none of predict
	Embedding   json.RawMessage     `json:"embedding"`   // nil if it is none of embed
	Error       string              `json:"error"`
}

// otherFile is what to do about results of another command or model.
const otherFile = "name a file that this command has written with this model, or a new one"

// score computes the pictures of the list, and prints a line for each.
func (f *scoreFlags) score(a *app, kind scoreKind) error {
	s := &scoring{app: a, kind: kind, out: a.out}
	var err error
	if s.share, err = parseShare(f.shard, environment); err != nil {
		return err
	}
	in := io.Reader(a.in)
	if f.list != "-" {
		file, err := os.Open(f.list)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	if f.resume != "" {
		file, err := s.resume(f.resume)
		if err != nil {
			return fmt.Errorf("--resume %s: %w", f.resume, err)
		}
		defer file.Close()
		s.out = file
	}
	for r, err := range kind.compute(a.ctx, s.pictures(in)) {
		if err != nil {
			return err
		}
		problem := ""
		if s.all++; r.Err != nil {
			s.bad++
			problem = oneLine(r.Err)
		}
		if err := kind.follows(r); err != nil {
			return fmt.Errorf("--resume %s: %w: %s", f.resume, err, otherFile)
		}
		if err := s.print(kind.line(r, problem)); err != nil {
			return err
		}
	}
	if s.err != nil {
		return fmt.Errorf("--jsonl %s: %w", f.list, s.err)
	}
	a.note("%s done, %d of them could not be read, %d were done before", term.Plural(s.all, "picture"), s.bad, s.skipped)
	return nil
}

// print writes a line by one call, so that a process that is killed leaves whole lines
// and at most one part of a line.
func (s *scoring) print(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(namesAsText(withLists(v))); err != nil {
		return err
	}
	_, err := s.out.Write(b.Bytes())
	return err
}

// resume opens the results of an earlier run, or new ones, and remembers the pictures in
// it.
func (s *scoring) resume(path string) (io.WriteCloser, error) {
	if info, err := os.Stat(path); err == nil { // a named pipe would be waited for
		if err := limitread.Regular(path, info.Mode()); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	locked, err := lock.TryLock()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return nil, errors.Join(fmt.Errorf("locking it: %w", err), file.Close())
	case !locked:
		return nil, errors.Join(errors.New("another process is writing to it"), file.Close())
	}
	out := &resumed{file, lock}
	end, err := s.remember(file)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// resumed is a file of results that is continued.
type resumed struct {
	*os.File
	lock *flock.Flock
}

// Close closes the file, and lets others write to it.
func (r *resumed) Close() error { return errors.Join(r.File.Close(), r.lock.Unlock()) }

// remember counts the results in a file, and returns where its last whole line ends.
func (s *scoring) remember(file io.Reader) (end int64, err error) {
	s.done = make(map[[16]byte]int)
	in := bufio.NewReaderSize(file, 1<<20)
	for n := 1; ; n++ {
		line, tooLong, err := readLine(in)
		switch {
		case errors.Is(err, io.EOF):
			if len(line) > 0 || tooLong {
				s.note("the last line of the results is cut off, and its picture is done again")
			}
			return end, nil
		case err != nil:
			return 0, err
		}
		var have earlierLine
		if tooLong || json.Unmarshal(line, &have) != nil || have.ID == nil {
			return 0, fmt.Errorf("line %d is not a result with an id: name a file that --resume has written, or a new one", n)
		}
		if err := s.kind.fits(have); err != nil {
			return 0, fmt.Errorf("line %d %w: %s", n, err, otherFile)
		}
		end += int64(len(line)) + 1
		s.done[hashID(*have.ID)]++
	}
}

// hashID is a short form of an id, because millions are held in memory.
func hashID(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// wanted reports whether a picture is still to be done.
func (s *scoring) wanted(id string) bool {
	key := hashID(nameText(id)) // as the results have it
	if s.done[key] == 0 {
		return true
	}
	if s.done[key]--; s.done[key] == 0 {
		delete(s.done, key)
	}
	s.skipped++
	return false
}

// maxLine is the limit of a line of JSON: a picture in base64, and its id.
const maxLine = data.DefaultMaxFileBytes/3*4 + 1<<16

// readLine returns a line without its end. One that is too long, longer than maxLine, or
// than maxPath if it is not JSON, is read over, and only its beginning is returned. At
// the end of the input, the error is io.EOF, and the line what follows the last line's
// end.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	limit := maxPath + len("\ufeff\r\n")
	for {
		part, err := in.ReadSlice('\n')
		if len(line) == 0 && bytes.HasPrefix(bytes.TrimPrefix(part, []byte("\ufeff")), []byte("{")) {
			limit = maxLine
		}
		if len(line)+len(part) > limit {
			tooLong = true
			line = append(line, part...)[:len("\ufeff{")] // tells JSON from a path
		}
		if !tooLong {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), tooLong, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, tooLong, err
		}
	}
}

// pictures reads the list as the pictures are asked for.
func (s *scoring) pictures(in io.Reader) iter.Seq[resnet.Picture] {
	return func(yield func(resnet.Picture) bool) {
		lines := bufio.NewReaderSize(in, 1<<16)
		for {
			line, tooLong, err := readLine(lines)
			if err != nil && !errors.Is(err, io.EOF) {
				s.err = err
				return
			}
			if s.lines == 0 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			text := strings.TrimSuffix(string(line), "\r")
			mine := s.lines%s.share.n == s.share.i
			s.lines++
			file, ended := following(lines, text, mine)
			if ended != nil {
				s.err = fmt.Errorf("line %d: %w", s.lines, ended)
				return
			}
			if mine && (text != "" || tooLong) && !s.line(text, tooLong, file, yield) {
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// scoreLine is a line of the list.
type scoreLine struct {
	ID     any     `json:"id"`
	Path   string  `json:"path"`
	Base64 *string `json:"base64"`
	Bytes  *int64  `json:"bytes"` // that follow the line
}

// following reads the bytes that follow a line of the list, and one end of a line after
// them. It returns nil for a line that none follow, and where they are not wanted or too
// many.
func following(in *bufio.Reader, text string, wanted bool) ([]byte, error) {
	var l scoreLine
	if !strings.HasPrefix(text, "{") || !strings.Contains(text, `"bytes"`) || json.Unmarshal([]byte(text), &l) != nil || l.Bytes == nil || *l.Bytes < 0 {
		return nil, nil
	}
	var file []byte
	var have int64
	var err error
	if wanted && *l.Bytes <= data.DefaultMaxFileBytes {
		file, err = io.ReadAll(io.LimitReader(in, *l.Bytes))
		have = int64(len(file))
	} else {
		have, err = io.CopyN(io.Discard, in, *l.Bytes)
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case have < *l.Bytes:
		return nil, fmt.Errorf("the input ends after %d of the %d bytes of the picture", have, *l.Bytes)
	}
	if next, err := in.Peek(1); err == nil && next[0] == '\n' {
		_, _ = in.Discard(1) // it was peeked
	}
	return file, nil
}

// line gives the pictures of a line. file is the bytes that follow it.
func (s *scoring) line(text string, tooLong bool, file []byte, yield func(resnet.Picture) bool) bool {
	name := fmt.Sprintf("line %d", s.lines)
	failed := func(err error) bool {
		return !s.wanted(name) || yield(resnet.Reader(name, failingReader{err}))
	}
	if tooLong && strings.HasPrefix(text, "{") {
		return failed(fmt.Errorf("the line is longer than %d bytes", maxLine))
	}
	if tooLong || !strings.HasPrefix(text, "{") && len(text) > maxPath {
		return failed(fmt.Errorf("%w: JSON begins with {", errLongPath))
	}
	if !strings.HasPrefix(text, "{") {
		return s.path(text, text, yield)
	}
	var l scoreLine
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var mistyped *json.UnmarshalTypeError
	if err := d.Decode(&l); errors.As(err, &mistyped) {
		return failed(fmt.Errorf("%q is a %s, which it cannot be: path and base64 are texts, bytes is a whole number", mistyped.Field, mistyped.Value))
	} else if err != nil {
		return failed(fmt.Errorf("the line is not JSON: %w", err))
	}
	id := name
	switch given := l.ID.(type) {
	case nil:
	case string:
		id = given
	case json.Number:
		id = given.String()
	default:
		return failed(errors.New("the id must be a string or a number"))
	}
	if len(id) > maxPath {
		return failed(fmt.Errorf("the id is longer than %d bytes", maxPath))
	}
	if name = id; len(l.Path) > maxPath {
		return failed(errLongPath)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return failed(errors.New("something follows the JSON object on the line"))
	}
	given := 0
	for _, is := range []bool{l.Path != "", l.Base64 != nil, l.Bytes != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return failed(errors.New(`the line must have either a "path", "base64" or "bytes"`))
	case l.Bytes != nil && (*l.Bytes < 0 || *l.Bytes > data.DefaultMaxFileBytes):
		return failed(fmt.Errorf("%d bytes are not 0 to %d, which a picture may have", *l.Bytes, int64(data.DefaultMaxFileBytes)))
	case l.Path != "" && l.ID == nil:
		return s.path(l.Path, l.Path, yield)
	case l.Path != "":
		return s.path(name, l.Path, yield)
	}
	if !s.wanted(name) {
		return true
	}
	if l.Bytes != nil {
		return yield(resnet.Encoded(name, file))
	}
	file, err := base64.StdEncoding.DecodeString(*l.Base64)
	if err != nil {
		return yield(resnet.Reader(name, failingReader{fmt.Errorf("base64: %w", err)}))
	}
	return yield(resnet.Encoded(name, file))
}

// path gives the pictures of a path, which are those in a folder or archive. Pictures
// of an archive are read here, one after another, so that it can be closed.
func (s *scoring) path(id, path string, yield func(resnet.Picture) bool) bool {
	if path == "-" { // a file of this name, not stdin
		path = "./-"
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() && !(isArchive(path) && info.Mode().IsRegular()) {
		if !s.wanted(id) {
			return true
		}
		p := s.picture(path)
		p.Name = id
		return yield(p)
	}
	files, err := data.OpenFiles(path, data.Options{})
	var names []string
	if err == nil {
		defer files.Close() // it was only read
		var left string
		if names, left, err = files.Pictures(); left != "" {
			s.note("%s: %s", path, left)
		}
	}
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("holds no pictures (%s)", strings.Join(data.PictureEndings(), ", "))
	}
	if err != nil {
		return !s.wanted(id) || yield(resnet.Reader(id, failingReader{err}))
	}
	for _, name := range names {
		inner := strings.TrimSuffix(id, "/") + "/" + name
		if !s.wanted(inner) {
			continue
		}
		file, err := files.Read(name, nil)
		p := resnet.Encoded(inner, file)
		if err != nil {
			p = resnet.Reader(inner, failingReader{err})
		}
		if !yield(p) {
			return false
		}
	}
	return true
}
