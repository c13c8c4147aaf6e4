package pytorch

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
)

// The pieces that the pickles below are put together from, as Python's
// pickletools names them.

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func named(module, name string) string { return "c" + module + "\n" + name + "\n" }

func numbers(ns ...int64) string {
	s := "("
	for _, n := range ns {
		s += number(n)
	}
	return s + "t"
}

// storageOf is a storage of the zip format.
func storageOf(class, key string, n int64) string {
	return "(" + text("storage") + named("torch", class) + text(key) + text("cpu") + number(n) + "tQ"
}

// tensorOf is a tensor that is a view of a storage.
func tensorOf(storage string, offset int64, size, stride string) string {
	return named("torch._utils", "_rebuild_tensor_v2") + "(" + storage + number(offset) + size + stride + "\x89}tR"
}

// archived puts a pickle and storages into a zip file.
func archived(t testing.TB, pickle string, storages map[string]string) []byte {
	t.Helper()
	files := map[string]string{"archive/data.pkl": pickle}
	for k, v := range storages {
		files["archive/data/"+k] = v
	}
	return zipped(t, zip.Store, files)
}

func zipped(t testing.TB, method uint16, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for name, content := range files {
		w, err := zw.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// refuse checks that a file is refused by an error that names the problem.
func refuse(t *testing.T, b []byte, what string) {
	t.Helper()
	err := readAll(b, Options{})
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("the error is %v, want one with %q", err, what)
	}
}

func TestHostilePickles(t *testing.T) {
	const proto = "\x80\x02"
	good := storageOf("FloatStorage", "0", 2)
	data := map[string]string{"0": "\x00\x00\x80\x3f\x00\x00\x00\x40"}
	one := func(tensor string) string { return proto + "}" + text("w") + tensor + "s." }
	if err := readAll(archived(t, one(tensorOf(good, 0, numbers(2), numbers(1))), data), Options{}); err != nil {
		t.Fatalf("the honest file: %v", err)
	}
	cases := []struct{ name, pickle, want string }{
		{"os.system", proto + named("os", "system") + "(" + text("true") + "tR.", `"os.system"`},
		{"too many values", proto + "(" + strings.Repeat("}", maxSteps) + "l.", "the pickle has more than 2097152 steps"},
		{"eval", proto + named("builtins", "eval") + "(" + text("1") + "tR.", `"builtins.eval"`},
		{"protocol 4 name", "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", `"posix.system"`},
		{"INST", proto + "(" + text("true") + "ios\nsystem\n.", `"os.system"`},
		{"OBJ", proto + "(" + named("os", "system") + text("true") + "o.", `"os.system"`},
		{"OBJ of nothing", proto + "(o.", "no class"},
		{"OBJ of None", proto + "(" + "N" + "o.", "cannot be called"},
		{"NEWOBJ_EX of a function", proto + named("nt", "system") + ")}\x92.", `"nt.system"`},
		{"a part of a module", proto + named("os.path", "join") + ".", `"os.path.join"`},
		{"unknown function", one(named("lib", "rebuild") + "(" + good + number(0) + numbers(2) + numbers(1) + "\x89}tR"), `"lib.rebuild"`},
		{"quantized", one(named("torch._utils", "_rebuild_qtensor") + "(" + good + "tR"), "dequantize"},
		{"copyreg", proto + named("copyreg", "_reconstructor") + ")R.", "no class"},
		{"an array beyond its bytes", one(named("numpy.core.multiarray", "_reconstruct") + ")R(K\x01" + numbers(9) +
			named("numpy", "dtype") + text("f4") + "\x85R" + "\x89C\x04abcdtb"), "no dictionary of tensors"},
		{"a line that is no number", proto + "Ix\n.", "cannot be read"},
		{"a string without end", proto + "S'a\n.", "cannot be read"},
		{"a memo of a text", proto + "gx\n.", "memo"},
		{"DICT with an odd number", proto + "(Nd.", "without value"},
		{"EXT1", proto + "\x82\x01.", "operation 0x82"},
		{"text PERSID", proto + "Pkey\n.", "not described"},
		{"NEWOBJ_EX", proto + "\x92.", "empty stack"},
		{"dotted name", proto + named("torch._utils", "_rebuild_tensor_v2.__globals__") + ".", "__globals__"},
		{"class is called", proto + named("torch", "FloatStorage") + ")R.", "not a function"},
		{"a number is called", proto + "K\x01)R.", "cannot be called"},
		{"protocol 0", "\x80\x00N.", "protocol 0"},
		{"protocol 9", "\x80\x09N.", "protocol 9"},
		{"empty", "", "cut off"},
		{"stack underflow", proto + "a.", "empty stack"},
		{"across a mark", proto + "](Na.", "empty stack"},
		{"no mark", proto + "t.", "mark"},
		{"leftovers", proto + "NN.", "left over"},
		{"memo", proto + "h\x07.", "recalls value 7"},
		{"memo of nothing", proto + "q\x00.", "empty stack"},
		{"huge text", proto + "X\xff\xff\xff\xff.", "cut off"},
		{"huge text 8", proto + "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut off"},
		{"huge bytes", proto + "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "cut off"},
		{"huge number", proto + "\x8b\xff\xff\xff\x7f.", "cut off"},
		{"negative length", proto + "\x8b\xff\xff\xff\xff.", "cut off"},
		{"bad UTF-8", proto + "X\x01\x00\x00\x00\xff.", "UTF-8"},
		{"endless name", proto + "c" + strings.Repeat("a", 5000), "longer than 1024"},
		{"same key twice", proto + "}" + text("a") + "Ns" + text("a") + "Ns.", "twice"},
		{"key is a list", proto + "}]Ns.", "key"},
		{"odd items", proto + "}(" + text("a") + "u.", "without value"},
		{"items of a list", proto + "](NNu.", "not a dictionary"},
		{"append to a dictionary", proto + "}Na.", "not a list"},
		{"attributes of a tensor", proto + tensorOf(good, 0, numbers(2), numbers(1)) + "}b.", "attributes"},
		{"top is None", proto + "N.", "holds None"},
		{"no tensors", proto + "}.", "no dictionary of tensors"},

		{"beyond the storage", one(tensorOf(good, 0, numbers(3), numbers(1))), "beyond its storage"},
		{"offset beyond", one(tensorOf(good, 3, numbers(1), numbers(1))), "begins at element 3"},
		{"offset negative", one(tensorOf(good, -1, numbers(1), numbers(1))), "begins at element -1"},
		{"offset huge", one(tensorOf(good, 1<<62, numbers(1), numbers(1))), "begins at"},
		{"size negative", one(tensorOf(good, 0, numbers(-2, -1), numbers(1, 1))), "size [-2 -1]"},
		{"stride negative", one(tensorOf(good, 1, numbers(2), numbers(-1))), "stride [-1]"},
		{"stride huge", one(tensorOf(good, 0, numbers(3), numbers(1<<62))), "beyond its storage"},
		{"strides overflow", one(tensorOf(good, 0, numbers(1<<40, 1<<40), numbers(1<<40, 1<<40))), "too large"},
		{"sizes overflow", one(tensorOf(good, 0, numbers(1<<32, 1<<32), numbers(0, 0))), "too large"},
		{"size times 0", one(tensorOf(good, 0, numbers(1<<40, 1<<40, 0), numbers(0, 0, 0))) + "", ""},
		{"expanded without end", one(tensorOf(good, 0, numbers(1<<40), numbers(0))), "overlapping views"},
		{"rank", one(tensorOf(good, 0, "("+strings.Repeat("K\x01", 17)+"t", "("+strings.Repeat("K\x01", 17)+"t")), "rank"},
		{"ranks differ", one(tensorOf(good, 0, numbers(2), numbers(1, 1))), "rank"},
		{"size of texts", one(tensorOf(good, 0, text("a")+"\x85", numbers(1))), "whole numbers"},
		{"storage is a text", one(tensorOf(text("a"), 0, numbers(2), numbers(1))), "not a storage"},
		{"numel negative", one(tensorOf(storageOf("FloatStorage", "0", -1), 0, numbers(0), numbers(1))), "-1 elements"},
		{"numel huge", one(tensorOf(storageOf("FloatStorage", "0", 1<<50), 0, numbers(2), numbers(1))), "elements"},
		{"storage too short", one(tensorOf(storageOf("FloatStorage", "0", 1000), 0, numbers(1000), numbers(1))), "has 8 bytes, the pickle says 4000"},
		{"no such storage", one(tensorOf(storageOf("FloatStorage", "1", 2), 0, numbers(2), numbers(1))), "no record for storage"},
		{"a path as key", one(tensorOf(storageOf("FloatStorage", "../../../../etc/passwd", 2), 0, numbers(2), numbers(1))), "no record for storage"},
		{"storage in two ways", proto + "}" + text("a") + tensorOf(good, 0, numbers(2), numbers(1)) + "s" +
			text("b") + tensorOf(storageOf("LongStorage", "0", 1), 0, numbers(1), numbers(1)) + "s.", "two ways"},
		{"persistent id", proto + text("a") + "Q.", "not described"},
		{"module's source", proto + "(" + text("module") + named("os", "system") + "NNNtQ.", `"os.system"`},
		{"names clash", proto + "}" + text("a.b") + tensorOf(good, 0, numbers(2), numbers(1)) + "s" +
			text("a") + "}" + text("b") + tensorOf(good, 0, numbers(2), numbers(1)) + "ss.", "two tensors are named"},
		{"function as type", one(named("torch._tensor", "_rebuild_from_type_v2") + "(" +
			named("torch._tensor", "_rebuild_from_type_v2") + named("torch", "Tensor") + ")Nt" + "R"), "function of tensors"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := archived(t, c.pickle, data)
			if c.want != "" {
				refuse(t, b, c.want)
			} else if err := readAll(b, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Values that hold themselves, and dictionaries that hold others many times.
func TestCyclesAndDenseGraphs(t *testing.T) {
	data := map[string]string{"0": "\x00\x00\x80\x3f\x00\x00\x00\x40"}
	tensor := tensorOf(storageOf("FloatStorage", "0", 2), 0, numbers(2), numbers(1))
	// {"w": tensor, "self": itself, "list": [itself]}
	self := "\x80\x02}q\x00" + text("w") + tensor + "s" + text("self") + "h\x00s" + text("list") + "]q\x01h\x01ah\x00as."
	refuse(t, archived(t, self, data), "nested deeper")
	// A cycle beside the state dict does no harm.
	beside := "\x80\x02}q\x00" + text("self") + "h\x00s" + text("state_dict") + "}" + text("w") + tensor + "ss."
	if err := readAll(archived(t, beside, data), Options{}); err != nil {
		t.Error(err)
	}
	// Each level holds the one below 16 times: 16^12 tensors.
	b := "\x80\x02}" + text("w") + tensor + "sq\x00"
	for level := range 12 {
		b += "}"
		for i := range 16 {
			b += fmt.Sprintf("K%ch%cs", i, level)
		}
		b += fmt.Sprintf("q%c", level+1)
	}
	// Each finished level stays on the stack; a list takes them up.
	b = "\x80\x02(" + b[2:] + "lq\xffh\x0c."
	b = strings.Replace(b, "lq\xff", "tq\xff", 1)
	b = "\x80\x02}" + text("all") + b[2:len(b)-1] + "\x86s."
	b = strings.Replace(b, "h\x0c\x86s.", text("state_dict")+"h\x0cu.", 1)
	b = strings.Replace(b, "}"+text("all"), "}("+text("all"), 1)
	refuse(t, archived(t, b, data), "too large")
}

func TestHostileArchives(t *testing.T) {
	pickle := "\x80\x02}" + text("w") + tensorOf(storageOf("FloatStorage", "0", 2), 0, numbers(2), numbers(1)) + "s."
	eight := strings.Repeat("\x00", 8)
	files := func(more ...string) map[string]string {
		m := map[string]string{"archive/data.pkl": pickle, "archive/data/0": eight}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	if err := readAll(zipped(t, zip.Store, files()), Options{}); err != nil {
		t.Fatal(err)
	}
	refuse(t, zipped(t, zip.Deflate, files()), "compressed")
	refuse(t, zipped(t, zip.Store, files("other/data.pkl", pickle)), "more than one data.pkl")
	refuse(t, zipped(t, zip.Store, files("archive/byteorder", "middle")), `"middle"`)
	refuse(t, zipped(t, zip.Store, map[string]string{"x.txt": "x"}), "no data.pkl")
	refuse(t, zipped(t, zip.Store, map[string]string{"a/b/data.pkl": pickle}), "no data.pkl")
	refuse(t, []byte("PK\x03\x04 and then nothing"), "zip")
	// Members that climb out of the folder are not looked at.
	if err := readAll(zipped(t, zip.Store, files("../../etc/cron.d/x", "x", "/abs", "y")), Options{}); err != nil {
		t.Error(err)
	}

	// A member whose stated size exceeds the file's, in its header alone.
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for name, content := range files() {
		size := uint64(len(content))
		if strings.HasSuffix(name, "/0") {
			size = 1 << 40
		}
		w, err := zw.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte(content)),
			CompressedSize64: size, UncompressedSize64: size})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	refuse(t, b.Bytes(), "beyond the end of the file")
}

// emptyTar is an archive with one member that torch.save would not write.
func emptyTar(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "weights.txt", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHostileStreams(t *testing.T) {
	head := "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + "\x80\x02M\xe9\x03." + "\x80\x02}."
	tensor := func(class, key string, n int64, part string) string {
		return named("torch._utils", "_rebuild_tensor") + "((" + text("storage") + named("torch", class) + text(key) +
			text("cpu") + number(n) + part + "tQ" + number(0) + numbers(n) + numbers(1) + "tR"
	}
	object := func(ts ...string) string {
		s := "\x80\x02}"
		for i, x := range ts {
			s += text(fmt.Sprint("w", i)) + x + "s"
		}
		return s + "."
	}
	keys := func(ks ...string) string {
		s := "\x80\x02]"
		for _, k := range ks {
			s += text(k) + "a"
		}
		return s + "."
	}
	block := func(n int64, bytes int) string {
		return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) + strings.Repeat("\x00", bytes)
	}
	f := tensor("FloatStorage", "k", 2, "N")
	honest := head + object(f) + keys("k") + block(2, 8)
	if err := readAll([]byte(honest), Options{}); err != nil {
		t.Fatal(err)
	}
	// A part of a storage, as the oldest files have: elements 1 to 2.
	sub := named("torch._utils", "_rebuild_tensor") + "((" + text("storage") + named("torch", "FloatStorage") + text("k") +
		text("cpu") + number(3) + "(" + text("v") + number(1) + number(2) + "t" + "tQ" + number(0) + numbers(2) + numbers(1) + "tR"
	b := head + object(sub) + keys("k") + block(3, 4) + "\x00\x00\x80\x3f\x00\x00\x00\x40"
	r, err := NewReader(strings.NewReader(b), int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x, err := r.Tensor("w0"); err != nil || x.Float32s()[0] != 1 || x.Float32s()[1] != 2 {
		t.Errorf("the part of a storage is %v, %v", x, err)
	}
	for want, b := range map[string]string{
		"beyond its 2 elements":  head + object(tensor("FloatStorage", "k", 2, "("+text("v")+number(1)+number(2)+"t")) + keys("k") + block(2, 8),
		"no magic number":        "\x80\x02}.",
		"version 7":              "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02K\x07.",
		"neither a zip archive":  "hello, world",
		"tar archive":            strings.Repeat("\x00", 257) + "ustar" + strings.Repeat("\x00", 250),
		"without the member":     emptyTar(t),
		"no tensor uses":         head + object(f) + keys("k", "x") + block(2, 8),
		"there twice":            head + object(f) + keys("k", "k") + block(2, 8) + block(2, 8),
		"no bytes for storage":   head + object(f) + keys(),
		"the pickle says 2":      head + object(f) + keys("k") + block(3, 12),
		"follow the last":        honest + "x",
		"not a list":             head + object(f) + "\x80\x02}.",
		"4611686018427387904":    head + object(tensor("FloatStorage", "k", 1<<62, "N")) + keys("k") + block(1<<62, 8),
		"ends within storage":    head + object(tensor("FloatStorage", "k", 1<<38, "N")) + keys("k") + block(1<<38, 8),
		"few for a file":         "\x80",
		"not described as torch": head + object(named("torch._utils", "_rebuild_tensor")+"((tQ"+number(0)+"))tR") + keys(),
	} {
		refuse(t, []byte(b), want)
	}
}

func manyClasses(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "cm\n%x\n", i)
	}
	return b.String()
}

// Opening a file needs at most 128 times the pickle, whatever it does.
func TestMemoryIsBounded(t *testing.T) {
	const n = 1 << 18
	rep := func(s string) string { return strings.Repeat(s, n/len(s)) }
	memo := func(s string) string { // the pickle builds s once as value 0
		return "\x80\x04" + s + "\x94"
	}
	tensor := tensorOf(storageOf("FloatStorage", "0", 2), 0, "("+strings.Repeat("K\x00", 16)+"t", "("+strings.Repeat("K\x00", 16)+"t")
	i := strings.LastIndex(tensor, "R")
	for name, pickle := range map[string]string{
		"dictionaries":    "\x80\x02" + rep("}"),
		"lists":           "\x80\x02" + rep("]"),
		"sets":            "\x80\x02" + rep("\x8f"),
		"marks":           "\x80\x02" + rep("("),
		"tuples":          "\x80\x02" + rep("(t"),
		"nested":          "\x80\x02" + rep(")\x85"),
		"numbers":         "\x80\x02" + rep("J\x00\x00\x00\x01"),
		"long numbers":    "\x80\x02" + rep("\x8a\x09123456789"),
		"texts":           "\x80\x02" + rep("\x8c\x01a"),
		"memo":            "\x80\x02N" + rep("\x94"),
		"entries":         "\x80\x02" + rep("}NNs"),
		"entries 2":       "\x80\x02" + rep("}K\x01Ns"),
		"dicts called":    memo(named("collections", "OrderedDict")) + rep("h\x00)R"),
		"objects":         memo(named("lib", "C")) + rep("h\x00)R"),
		"objects made":    memo(named("lib", "C")) + rep("h\x00)\x81}b"),
		"classes":         "\x80\x02" + rep("ca\nb\n"),
		"many classes":    "\x80\x02" + manyClasses(n),
		"numbers as text": "\x80\x02" + rep("I1\n"),
		"sets made":       "\x80\x02" + rep("(\x91"),
		"dict copies":     "\x80\x04" + named("collections", "OrderedDict") + "\x94](" + rep("N") + "e\x94" + rep("h\x00h\x01\x85R"),
		"tensors":         "\x80\x04" + tensor[:strings.Index(tensor, "(")] + "\x94" + tensor[strings.Index(tensor, "("):i] + "\x94" + "R" + rep("h\x00h\x01R"),
	} {
		t.Run(name, func(t *testing.T) {
			b := archived(t, pickle+"N.", map[string]string{"0": "12345678"})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := readAll(b, Options{})
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it was read")
			}
			// What was allocated in all, garbage included, so an upper bound.
			if got := (after.TotalAlloc - before.TotalAlloc) / uint64(len(pickle)); got > 128 {
				t.Errorf("%d bytes were allocated per byte of the pickle (%v)", got, err)
			} else {
				t.Logf("%d bytes per byte (%v)", got, err)
			}
		})
	}
	long := archived(t, "\x80\x02"+strings.Repeat("N", maxPickle)+".", nil)
	refuse(t, long, "limit is 8388608")
}

func FuzzReader(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.p*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	small, err := os.ReadFile("testdata/torch2.15/flat.pth")
	if err != nil {
		f.Fatal(err)
	}
	hostile.Add(f, hostile.Fields(small))
	hostile.Add(f, hostile.Zip(small, func(name string, b []byte) iter.Seq[[]byte] {
		if path.Base(name) == "data.pkl" {
			return hostile.Fields(b)
		}
		return nil
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		used, over := membound.Over(membound.Slack, 128+maxGrowth, len(b), func() { checkAnswer(t, readAll(b, Options{})) })
		if over {
			t.Errorf("a file of %d bytes took %d", len(b), used)
		}
	})
}

// FuzzPickle reaches deeper than FuzzReader: the fuzzer need not keep the
// archive's checksums right.
func FuzzPickle(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.p*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		zr, err := zip.OpenReader(name)
		if err != nil {
			continue // of the older format
		}
		r, err := zr.Open(zr.File[0].Name) // data.pkl
		if err != nil {
			f.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		zr.Close()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		storages := map[string]*storage{}
		p := &unpickler{b: b, persID: func(id any) (any, error) { return persistent(storages, id, false) }}
		root, err := p.next()
		if err == nil {
			r := &Reader{}
			err = r.choose(root, "")
			if err == nil && len(r.entries) == 0 {
				t.Error("a state dict without tensors was chosen")
			}
		}
		checkAnswer(t, err)
	})
}

// checkAnswer checks that an error is one of those that are promised.
func checkAnswer(t *testing.T, err error) {
	var format *FormatError
	var global *GlobalError
	if err != nil && !errors.As(err, &format) && !errors.As(err, &global) {
		t.Errorf("error of type %T: %v", err, err)
	}
}
