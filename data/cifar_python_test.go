package data

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
)

// The Python version, as Python 2 wrote it and as Python 3 does, has the pictures,
// labels and names of the files; see the script beside them.
func TestCIFARPythonVersion(t *testing.T) {
	for _, kind := range []string{"python2", "python3"} {
		for _, folder := range []string{"", "cifar-10-batches-py"} {
			s, err := Open("cifar10:"+filepath.Join("testdata", "cifar-python", kind, folder), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s.Train.Len() != 2 || s.Test.Len() != 1 || s.Train.Labels(1)[0] != 9 || s.Test.Labels(0)[0] != 3 || s.Classes()[9] != "lorry" {
				t.Errorf("%s: %d and %d pictures, classes %q", kind, s.Train.Len(), s.Test.Len(), s.Classes())
			}
			var m imaging.Image
			if err := s.Train.Decode(1, &m); err != nil {
				t.Fatal(err)
			}
			for plane := range 3 { // element i of the array is i*3 % 251
				for i := range 1024 {
					if got, want := m.Pix[3*i+plane], byte((3072+plane*1024+i)*3%251); got != want {
						t.Fatalf("%s: pixel %d of plane %d is %d, want %d", kind, i, plane, got, want)
					}
				}
			}
		}
	}
	s, err := Open("cifar100:"+filepath.Join("testdata", "cifar-python"), Options{})
	if err != nil || s.Train.Len() != 1 || s.Train.Labels(0)[0] != 99 || s.Classes()[99] != "fine 99" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Damaged files are errors that name the file.
func TestCIFARPythonVersionThatIsDamaged(t *testing.T) {
	good, err := os.ReadFile("testdata/cifar-python/python2/cifar-10-batches-py/data_batch_1")
	if err != nil {
		t.Fatal(err)
	}
	open := func(b []byte) error {
		s, err := OpenCIFAR10(fstest.MapFS{"data_batch_1": file(b)}, Options{})
		if err == nil {
			s.Close()
		}
		return err
	}
	for n := 0; n < len(good); n += 97 {
		if err := open(good[:n]); err == nil {
			t.Fatalf("%d bytes are enough", n)
		}
	}
	for at, old := range good[:400] { // never a panic, and a name in every error
		for _, b := range []byte{0, 0x80, 0xff, old ^ 1} {
			bad := slices.Clone(good)
			bad[at] = b
			if err := open(bad); err != nil {
				checkError(t, err, "data_batch_1")
			}
		}
	}
	checkError(t, open([]byte("\x80\x02cos\nsystem\n(U\x04truetR.")), "data_batch_1", "os.system")
	checkError(t, open([]byte("\x80\x02}q\x00.")), "no array")
}
