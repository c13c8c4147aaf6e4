package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resnet-go/resnet/weights"
)

// Every mistake ends with one line that names the mistake and its place, and its exit code.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	photo := filepath.Join(dir, "photo.png")
	writePicture(t, photo, 1)
	whole, err := os.ReadFile(photo)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	truncated := write("truncated.png", whole[:len(whole)/2])
	text := write("text.jpg", []byte("hello"))
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	write("one/train/cat/a.png", whole)
	write("broken/train/cat/a.png", whole)
	write("broken/train/dog/b.png", whole[:40])
	write("noclass/train/cat/a.png", whole)
	write("noclass/train/cat/b.png", whole)
	write("noclass/train/dog/a.png", whole)
	write("noclass/train/eel/a.HEIC", []byte("x"))
	noModel := write("text.safetensors", []byte("hello"))
	model := fashionModel(t, nil)
	bare := fashionModel(t, func(f *weights.File) { f.Meta = weights.Meta{} })

	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"trian", exitUsage, `unknown command "trian"`},
		{"predct x.jpg", exitUsage, `unknown command "predct"; did you mean "predict"?`},
		{"data chek", exitUsage, `unknown command "chek"; did you mean "check"?`},
		{"predict --tokp 3 x.jpg", exitUsage, "unknown flag --tokp; did you mean --topk?"},
		{"predict -z x.jpg", exitUsage, "unknown flag -z"},
		{"predict --topk x y.jpg", exitUsage, `"x"`},
		{"predict --topk 0 " + photo, exitUsage, "--topk 0 is below 1"},
		{"predict --batch 0 " + photo, exitUsage, "--batch 0 is below 1"},
		{"predict --threads -1 " + photo, exitUsage, "--threads -1 is below 0"},
		{"predict", exitUsage, "a picture is missing"},
		{"predict - -", exitUsage, "given twice"},
		{"version now", exitUsage, `unexpected argument "now"`},
		{"predict -m " + model + " " + dir + "/none.jpg", exitFailed, "none.jpg"},
		{"predict -m " + model + " " + truncated, exitFailed, "truncated.png"},
		{"predict -m " + model + " " + text, exitFailed, "text.jpg"},
		{"predict -m " + model + " " + empty, exitFailed, "holds no pictures"},
		{"predict -m " + dir + "/none.safetensors " + photo, exitFailed, "none.safetensors"},
		{"predict -m " + noModel + " " + photo, exitFailed, "text.safetensors"},
		{"predict -m " + t.TempDir() + " " + photo, exitFailed, "is a folder"},
		{"predict -m resnet81 " + photo, exitUsage, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"predict -m resnet18 " + photo, exitUsage, "a network without weights"},
		{"predict -m resnet8-cifar@" + bare + " " + photo, exitFailed, "does not say how pictures become inputs"},
		{"predict -m resnet8-cifar@" + bare + " --preprocess imagnet " + photo, exitUsage, `did you mean "imagenet"?`},
		{"predict -m resnet8-cifar@" + bare + " --preprocess mnist --classes " + text + " " + photo, exitFailed, "has 10 classes, but there are names for 1"},
		{"embed -m " + model + " " + text, exitFailed, "text.jpg"},
		{"summary resnt18", exitUsage, `did you mean "resnet18"?`},
		{"summary " + dir + "/none.safetensors", exitFailed, "none.safetensors"},
		{"summary " + bare, exitFailed, "does not say which network"},
		{"summary resnet18 --input 3x2", exitUsage, "not of the form CxHxW"},
		{"summary resnet18 --input 1x64x64", exitFailed, "3 channels"},
		{"models vgg", exitUsage, `has "vgg" in it`},
		{"eval -m " + model + " -d idxx:" + dir, exitUsage, `unknown kind of data "idxx" in "idxx:` + dir + `"; did you mean "idx"?`},
		{"eval -m " + model + " -d " + dir, exitUsage, "not of the form KIND:PATH"},
		{"eval -m " + model + " -d idx:" + dir, exitFailed, "t10k-images-idx3-ubyte"},
		{"eval -m " + model + " -d folder:" + dir + "/nowhere", exitFailed, "nowhere"},
		{"eval -m " + model + " -d folder:" + dir + "/broken", exitFailed, "broken"},
		{"eval -m " + model + " --split tset", exitUsage, `unknown split "tset"; did you mean "test"?`},
		{"eval -m " + model + " --split val", exitFailed, `no part "val"`},
		{"eval -m " + model + " --out " + text, exitFailed, "text.jpg"},
		{"eval -m " + model + " --csv " + dir + "/no/such/folder.csv", exitFailed, "folder.csv"},
		{"eval -m " + model + " --worst -1", exitUsage, "--worst -1 is below 0"},
		{"data check folder:" + dir + "/broken", exitFailed, "cannot be decoded"},
		{"data check folder:" + empty, exitFailed, "empty"},
		{"data check folder:" + dir + "/noclass", exitFailed, "the class folder train/eel has no pictures, only other files (1 .heic): add pictures of the class, or remove the folder"},
		{"train --data folder:" + dir + "/noclass --out " + dir + "/run", exitFailed, "the class folder train/eel has no pictures, only other files (1 .heic)"},
		{"train --data folder:" + dir + "/noclass --skip-bad --folds 2 --out " + dir + "/run", exitFailed, "train/eel has no pictures"},
		{"bench resnet81", exitUsage, `did you mean "resnet18"?`},
		{"bench --mode trian", exitUsage, `unknown mode "trian"; did you mean "train"?`},
		{"bench --peer trch", exitUsage, `unknown peer "trch"; did you mean "torch"?`},
		{"bench --peer torch --peers-dir " + dir, exitFailed, "--peers-dir"},
		{"bench --threads 0", exitUsage, "--threads 0 is below 1"},
	} {
		code, _, errs := cli(t, strings.Fields(c.args)...)
		if code != c.code {
			t.Errorf("resnet %s: exit code %d, want %d: %s", c.args, code, c.code, errs)
		}
		if !strings.Contains(errs, c.want) {
			t.Errorf("resnet %s: error %q, want one with %q", c.args, errs, c.want)
		}
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "resnet") {
			t.Errorf("resnet %s: the last line is %q", c.args, last)
		}
	}
}

// The program itself: exit codes and which stream gets what.
func TestProgram(t *testing.T) {
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr bool
	}{
		{[]string{"version"}, exitDone, true, false},
		{[]string{"data", "check"}, exitDone, true, false},
		{[]string{"summary", "nothing.safetensors"}, exitFailed, false, true},
		{[]string{"summary", "resnet18", "--depht", "1"}, exitUsage, false, true},
	} {
		cmd := program(t, c.args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != c.code || (out.Len() > 0) != c.stdout || (errs.Len() > 0) != c.stderr {
			t.Errorf("resnet %v: exit code %d, stdout %q, stderr %q", c.args, code, out.String(), errs.String())
		}
	}
}

// Ctrl-C ends a command that waits for its input, at once and with a message.
func TestInterrupt(t *testing.T) {
	cmd := program(t, "predict", "-m", fashionModel(t, nil), "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // a signal before the handler is there ends it as well, but without a message
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	_ = cmd.Wait() // the exit code tells all
	if code := cmd.ProcessState.ExitCode(); code != exitSignal+int(syscall.SIGINT) || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d, stderr %q", code, errs.String())
	}
}

// Results that cannot be written are an error of every command.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{
		{"version"}, {"--help"}, {"models"}, {"train", "--print-recipe"}, {"data", "check"}, {"summary", "resnet18"},
	} {
		cmd := program(t, args...)
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("resnet %v on a full disk: exit code %d, stderr %q", args, code, errs.String())
		}
	}
}

// That results cannot be written is told, too, if pictures are bad: by commands that
// check each write and by those that do not.
func TestFullDiskWithBadPictures(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	dir, _ := photoSet(t) // of which one is bad
	for _, args := range [][]string{
		{"predict", dir}, {"predict", "--json", dir}, {"predict", "--csv", dir}, {"embed", dir}, {"embed", "--json", dir}, {"predict", "-o", "/dev/full", dir},
	} {
		cmd := program(t, args...)
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || strings.Count(errs.String(), "no space left") != 1 {
			t.Errorf("resnet %v on a full disk: exit code %d, stderr %q", args, code, errs.String())
		}
	}
}

// A reader that closes the output ends the program quietly, as it does other
// programs.
func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := program(t, "models")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errs
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != errPipe.code || errs.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, errs.String())
	}
}
