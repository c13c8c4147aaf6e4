package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/membound"
)

// tarBytes packs files, given as names and contents in turn.
func tarBytes(files ...any) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h, ok := files[i].(*tar.Header)
		content := files[i+1].([]byte)
		if !ok {
			h = &tar.Header{Name: files[i].(string), Mode: 0o644}
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write(content); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shard is a shard of WebDataset's form with n samples, whose pictures are gray squares
// of the values from, from+1, …, and whose labels are those modulo 3.
func shard(from, n int) []byte {
	var files []any
	for i := from; i < from+n; i++ {
		files = append(files, fmt.Sprintf("./s%04d.png", i), pngBytes(4, 4, uint8(i)), fmt.Sprintf("./s%04d.cls", i), fmt.Appendf(nil, "%d\n", i%3))
	}
	return tarBytes(files...)
}

func TestShards(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{
		"train-000.tar": shard(0, 7), "train-001.tar.gz": gzipped(shard(7, 5)), "val-000.tgz": gzipped(shard(20, 3)), "classes.txt": []byte("cat\ndog\nelk\n"),
	})
	s, err := Open("tar:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Train.Len() != 12 || s.Val.Len() != 3 || s.Test != nil || !slices.Equal(s.Classes(), []string{"cat", "dog", "elk"}) {
		t.Fatalf("%d, %d, %v", s.Train.Len(), s.Val.Len(), s.Classes())
	}
	var m imaging.Image
	for i := range 12 {
		if err := s.Train.Decode(i, &m); err != nil || m.Pix[0] != uint8(i) || s.Train.Labels(i)[0] != i%3 {
			t.Errorf("sample %d is %d of class %d, %v", i, m.Pix[0], s.Train.Labels(i)[0], err)
		}
	}
	if name := s.Train.Name(7); name != "train-001.tar.gz/s0007.png" {
		t.Error(name)
	}
	if _, err := Check(context.Background(), s, 2); err != nil {
		t.Error(err)
	}
	// The same samples by the other ways to name them.
	for _, pattern := range []string{"train-{000,001}.tar*", "train-{000..001}*", "*train*", "train-000.tar"} {
		other, err := Open("tar:"+filepath.Join(dir, pattern), Options{ValFraction: -1})
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if n := other.Train.Len(); n != 12 && !(n == 7 && pattern == "train-000.tar") {
			t.Errorf("%s: %d samples", pattern, n)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPackedTarLeavesNoFile checks that the temporary file of a packed tar is removed.
func TestPackedTarLeavesNoFile(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	whole := gzipped(shard(0, 6))
	for name, b := range map[string][]byte{"whole.tgz": whole, "cut.tgz": whole[:len(whole)/2], "bad.tgz": []byte("\x1f\x8bnonsense, and more of it")} {
		path := filepath.Join(dir, name)
		writeFiles(t, dir, map[string][]byte{name: b})
		s, err := Open("tar:"+path, Options{})
		if (err == nil) != (name == "whole.tgz") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		} else {
			checkError(t, err, name)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
}

func TestShardLabels(t *testing.T) {
	p := pngBytes(2, 2, 1)
	for _, c := range []struct {
		name    string
		files   []any
		classes string
		labels  string
		note    string
		err     string
	}{
		{"json numbers", []any{"a.png", p, "a.json", []byte(`1`), "b.png", p, "b.json", []byte(`{"label": 0}`)}, "0 1", "[1] [0]", "", ""},
		{"whole floats", []any{"a.png", p, "a.json", []byte(`1e0`), "b.png", p, "b.cls", []byte("0.0"), "c.png", p, "c.json", []byte(`{"cls":1.0}`)}, "0 1", "[1] [0] [1]", "", ""},
		{"names with digits", []any{"a.png", p, "a.cls", []byte("1.0"), "b.png", p, "b.cls", []byte("king")}, "1.0 king", "[0] [1]", "", ""},
		{"a link is a class", []any{"a.png", p, "a.cls", []byte("0"), &tar.Header{Typeflag: tar.TypeSymlink, Name: "b.png", Linkname: "/etc/passwd"}, []byte{}, "b.cls", []byte("1")}, "", "", "", "b.png, which is a symbolic link"},
		{"true", []any{"a.png", p, "a.json", []byte(`{"cls":true}`)}, "", "", "", `a.json: "cls" is true`},
		{"two lines", []any{"a.png", p, "a.cls", []byte("cat\ndog")}, "", "", "", "a.cls: the label has 2 lines"},
		{"not UTF-8", []any{"\xfc.png", p}, "", "", "", `"\xfc.png" is not UTF-8`},
		{"json names", []any{"a.png", p, "a.json", []byte(`{"class":"x","w":5}`), "b.jpg", p, "b.json", []byte(`"w"`)}, "w x", "[1] [0]", "", ""},
		{"cls before json", []any{"a.json", []byte(`{"w":1}`), "a.png", p, "a.cls", []byte("1"), "b.png", p, "b.cls", []byte("0")}, "0 1", "[1] [0]", "", ""},
		{"any order", []any{"a.png", p, "b.png", p, "b.cls", []byte("y"), "a.cls", []byte("x")}, "x y", "[0] [1]", "", ""},
		{"several labels", []any{"a.png", p, "a.json", []byte(`{"labels":["y","x","y"]}`), "b.png", p, "b.json", []byte(`{"labels":[]}`)}, "x y", "[0 1] []", "", ""},
		{"classes inside", []any{"classes.txt", []byte("p\nq"), "a.png", p, "a.cls", []byte("1"), "b.png", p, "b.cls", []byte("0")}, "p q", "[1] [0]", "", ""},
		{"no label", []any{"a.png", p, "b.png", p, "b.cls", []byte("0"), "c.png", p, "c.cls", []byte("1")}, "0 1", "[0] [1]", "left out 1 samples without a label, such as x.tar/a", ""},
		{"no picture", []any{"a.cls", []byte("0"), "b.png", p, "b.cls", []byte("0"), "c.png", p, "c.cls", []byte("1")}, "0 1", "[0] [1]", "left out 1 labels without a picture", ""},
		{"link", []any{"a.png", p, "a.cls", []byte("0"), &tar.Header{Typeflag: tar.TypeLink, Name: "b.png", Linkname: "./a.png"}, []byte{}, "b.cls", []byte("1"), &tar.Header{Typeflag: tar.TypeSymlink, Name: "z.png", Linkname: "/etc/passwd"}, []byte{}}, "0 1", "[0] [1]", "z.png, which is a symbolic link", ""},
		{"folders", []any{"cat/a.1.png", p, "dog/a.png", p, "cat/a.2.png", p, "dog/info.json", []byte("{}")}, "cat dog", "[0] [0] [1]", "", ""},
		{"other json", []any{"a.png", p, "a.json", []byte(`{"caption":"a cat"}`)}, "", "", "", "no sample has a label"},
		{"class unknown", []any{"classes.txt", []byte("p\nq"), "a.png", p, "a.cls", []byte("2")}, "", "", "", `the label "2" is not one of the 2 classes`},
		{"one class", []any{"a.png", p, "a.cls", []byte("0")}, "", "", "", "only one class"},
		{"two pictures", []any{"a.b.png", p, "a.c.png", p, "a.cls", []byte("0")}, "", "", "", "two pictures, a.b.png and a.c.png"},
		{"twice", []any{"a.png", p, "./a.png", p}, "", "", "", `two entries "./a.png"`},
		{"outside", []any{"../a.png", p}, "", "", "", "not a path inside"},
		{"large class", []any{"a.png", p, "a.cls", []byte("4000000000")}, "", "", "", "4000000000"},
		{"mark", []any{"a.png", p, "a.cls", []byte("\xef\xbb\xbf0\r\n"), "b.png", p, "b.cls", []byte("1")}, "0 1", "[0] [1]", "", ""},
		{"number and name", []any{"a.png", p, "a.cls", []byte("0"), "a.json", []byte(`{"label":"cat","class":0}`), "b.png", p, "b.json", []byte(`{"cls":1}`), "b.cls", []byte("1")}, "0 1", "[0] [1]", "", ""},
		{"caption beside", []any{"a.png", p, "a.cls", []byte("0"), "a.json", []byte(`{"caption":"a cat"}`), "b.png", p, "b.json", []byte(`no JSON`), "b.cls", []byte("1")}, "0 1", "[0] [1]", "", ""},
		{"cls and json", []any{"a.png", p, "a.cls", []byte("0"), "a.json", []byte(`{"label":1}`)}, "", "", "", `a.cls: the label is "0", but ["1"] in a.json`},
		{"json and cls", []any{"a.png", p, "a.json", []byte(`"cat"`), "a.cls", []byte("dog")}, "", "", "", `a.cls: the label is "dog", but ["cat"] in a.json`},
		{"two fields", []any{"a.png", p, "a.json", []byte(`{"cls":0,"label":1}`)}, "", "", "", `a.json: "cls" is 0, but "label" is 1`},
		{"key twice", []any{"a.png", p, "a.json", []byte(`{"cls":0,"cls":1}`)}, "", "", "", `a.json: line 1: the key "cls" is there twice`},
		{"two values", []any{"a.png", p, "a.json", []byte(`1 2`)}, "", "", "", "a.json: the label is JSON with more text"},
		{"negative", []any{"a.png", p, "a.cls", []byte("-1"), "b.png", p, "b.cls", []byte("0")}, "", "", "", "a.cls: the label -1 is below 0"},
		{"empty label", []any{"a.png", p, "a.cls", []byte(" \n")}, "", "", "", "a.cls: the label is empty"},
		{"bad json", []any{"a.png", p, "a.json", []byte(`{"labels":[{}]}`)}, "", "", "", "must be a number or the name"},
		{"long name", []any{strings.Repeat("a/", 3000) + "a.png", p}, "", "", "", "6005 bytes"},
		{"empty", []any{}, "", "", "", "class folders"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, map[string][]byte{"x.tar": tarBytes(c.files...)})
			s, err := Open("tar:"+filepath.Join(dir, "x.tar"), Options{ValFraction: -1})
			if c.err != "" {
				checkError(t, err, c.err, "x.tar")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var labels []string
			for i := range s.Train.Len() {
				labels = append(labels, fmt.Sprint(s.Train.Labels(i)))
			}
			if got := strings.Join(labels, " "); got != c.labels || strings.Join(s.Classes(), " ") != c.classes {
				t.Errorf("labels %s, classes %v", got, s.Classes())
			}
			if notes := strings.Join(s.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" && !strings.Contains(c.name, "folders") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// TestCutTar checks that a tar that is cut off anywhere before its end marker is an
// error.
func TestCutTar(t *testing.T) {
	dir := t.TempDir()
	whole := shard(0, 4)
	end := len(whole) - 1024
	for n := 0; n <= len(whole); n++ {
		if n%100 != 0 && n%512 > 1 && n%512 < 511 {
			continue
		}
		writeFiles(t, dir, map[string][]byte{"x.tar": whole[:n]})
		s, err := Open("tar:"+filepath.Join(dir, "x.tar"), Options{ValFraction: -1})
		if n < end+512 || n > end+512 && n < end+1024 {
			checkError(t, err, "x.tar", "cut off", "copy it again")
			continue
		}
		if err != nil || s.Train.Len() != 4 {
			t.Fatalf("%d bytes of %d: %v", n, len(whole), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTarEnds opens tars whose ends other programs write in their own ways.
func TestTarEnds(t *testing.T) {
	dir := t.TempDir()
	whole := shard(0, 4)
	zeroed := tarBytes("a/x.png", pngBytes(1, 1, 1), "b/x.png", pngBytes(1, 1, 2), "b/zero.bin", make([]byte, 512))
	for name, c := range map[string]struct {
		tar []byte
		err string
	}{
		"GNU tar's and Python's record of 10,240 bytes": {append(bytes.Clone(whole), make([]byte, 10240)...), ""},
		"one block":                 {whole[:len(whole)-512], ""},
		"a second tar":              {append(bytes.Clone(whole), shard(10, 2)...), "goes on after its end marker"},
		"a tar behind a long end":   {append(append(bytes.Clone(whole), make([]byte, 1<<17)...), shard(10, 2)...), "goes on after its end marker"},
		"a file of zeros":           {zeroed, ""},
		"a file of zeros, cut":      {zeroed[:len(zeroed)-1024], "cut off after \"b/zero.bin\""},
		"a long name":               {tarBytes(strings.Repeat("x", 600)+".png", pngBytes(1, 1, 1), strings.Repeat("x", 600)+".cls", []byte("0"), "b.png", pngBytes(1, 1, 1), "b.cls", []byte("1")), ""},
		"a directory without files": {append(bytes.Clone(whole[:len(whole)-1024]), tarBytes(&tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, []byte{})...), ""},
	} {
		writeFiles(t, dir, map[string][]byte{"x.tar": c.tar})
		s, err := Open("tar:"+filepath.Join(dir, "x.tar"), Options{ValFraction: -1})
		if c.err != "" {
			checkError(t, err, "x.tar", c.err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.Close()
	}
}

// TestTarChanged checks that a tar that is written to while it is used is an error.
func TestTarChanged(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"x.tar": shard(0, 4)})
	s, err := Open("tar:"+filepath.Join(dir, "x.tar"), Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	writeFiles(t, dir, map[string][]byte{"x.tar": shard(10, 5)})
	checkError(t, s.Train.Decode(0, new(imaging.Image)), "changed")
}

func TestBraces(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "a", "a{1,2}b": "a1b a2b", "{08..11}": "08 09 10 11", "{8..11}": "8 9 10 11", "{a,b}{0..1}": "a0 a1 b0 b1", "{a}": "a",
	} {
		if got, err := expandBraces(pattern); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", pattern, got, err)
		}
	}
	for _, bad := range []string{"{1", "{3..1}", "{a..b}", "{0..9999999999}", "{0..1000}{0..1000}{0..1000}", "{-1..3}", "{1..99999999999999999999999}"} {
		if got, err := expandBraces(bad); err == nil {
			t.Errorf("%s: %d names", bad, len(got))
		}
	}
	if _, err := FindTars("nothing-{0..1}.tar"); err == nil || !strings.Contains(err.Error(), "nothing-0.tar") {
		t.Error(err)
	}
}

func TestMixedParts(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train-0.tar": shard(0, 3), "other.tar": shard(4, 3)})
	_, err := Open("tar:"+dir, Options{})
	checkError(t, err, "train-0.tar is the train part by its name, and other.tar is none")
}

// TestShuffleShards checks that an epoch of many samples visits each once, few shards
// at a time, in another order in each epoch.
func TestShuffleShards(t *testing.T) {
	const shards, each = 50, 1000
	src := &tarSource{shards: make([]*tarShard, shards), places: map[string]tarPlace{}}
	f := &fileSet{src: src, classes: []string{"a", "b"}}
	for i := range shards * each {
		name := fmt.Sprint(i)
		src.places[name] = tarPlace{shard: int32(i / each)}
		f.names, f.labels = append(f.names, name), append(f.labels, []int{0})
	}
	l := &Loader{ds: f, cfg: LoaderConfig{Shuffle: true, Seed: 3}}
	first, second := l.order(nil, 0), l.order(nil, 1)
	if slices.Equal(first, second) {
		t.Error("two epochs have the same order")
	}
	if !slices.Equal(first, l.order(nil, 0)) {
		t.Error("the order differs from call to call")
	}
	seen := make([]bool, f.Len())
	for _, e := range first {
		seen[e.index] = true
	}
	if slices.Contains(seen, false) {
		t.Error("a sample is missing")
	}
	used := map[uint32]bool{}
	for _, e := range first[:shuffleWindow] {
		used[e.index/each] = true
	}
	if n := len(used); n > shuffleWindow/each+1 {
		t.Errorf("%d shards in the first %d samples", n, shuffleWindow)
	}
}

func FuzzTar(f *testing.F) {
	f.Add(shard(0, 2))
	f.Add(tarBytes("a/x.png", pngBytes(1, 1, 1), "b/x.png", pngBytes(1, 1, 2), &tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "a/x.png"}, []byte{}))
	f.Add(tarBytes(&tar.Header{Name: "a.png", PAXRecords: map[string]string{"comment": "x"}}, []byte("x"), "a.json", []byte(`{"labels":[1]}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		src := &tarSource{places: map[string]tarPlace{}, limit: fuzzOptions.MaxFileBytes, shards: []*tarShard{{path: "x.tar"}}}
		used, over := membound.Over(membound.Slack, 300, len(b), func() {
			if err := src.entries(bytes.NewReader(b), int64(len(b)), 0, new(tarSkipped), ""); err != nil {
				return
			}
			if _, err := src.list(); err != nil {
				t.Fatal(err)
			}
		})
		if over {
			t.Fatalf("%d bytes for a tar of %d", used, len(b))
		}
		for name, p := range src.places {
			if p.offset < 0 || p.size < 0 || p.offset+p.size > int64(len(b)) {
				t.Fatalf("%q at %d, %d bytes, of %d", name, p.offset, p.size, len(b))
			}
		}
	})
}

// TestDamagedShards opens damaged shards as a whole.
func TestDamagedShards(t *testing.T) {
	dir := t.TempDir()
	whole := shard(0, 3)
	for i := 0; i < len(whole); i += 37 {
		b := bytes.Clone(whole)
		b[i] ^= 0x55
		writeFiles(t, dir, map[string][]byte{"x.tar": b})
		if s, err := Open("tar:"+filepath.Join(dir, "x.tar"), fuzzOptions); err == nil {
			exercise(t, s)
			s.Close()
		}
	}
}

// TestGzipBomb checks that a file that unpacks without end is an error.
func TestGzipBomb(t *testing.T) {
	if testing.Short() || os.Getenv("RESNET_NIGHTLY") == "" {
		t.Skip("writes a gigabyte: set RESNET_NIGHTLY=1")
	}
	path := filepath.Join(t.TempDir(), "bomb.tgz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := io.CopyN(z, zeros{}, bombSize+1<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open("tar:"+path, Options{})
	checkError(t, err, "cannot be pictures")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
