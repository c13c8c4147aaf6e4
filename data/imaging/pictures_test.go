package imaging

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// pictureCase is a file of ../testdata/pictures.zip, which ../testdata/gen/pictures.py
// made.
type pictureCase struct {
	File, Kind, Error string
	Limit             int // by which values may differ
	Width, Height     int
	SHA256            string            // of the pixels
	Reduced           map[string]string // the same at a half, a quarter, an eighth of the size

	data []byte
	want *Image // nil if Error or SHA256 is set
}

// pictureCases reads the pictures with Pillow's pixels.
func pictureCases(t testing.TB) []pictureCase {
	t.Helper()
	name := cmp.Or(os.Getenv("RESNET_PICTURES"), filepath.Join("..", "testdata", "pictures.zip"))
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	contents := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if contents[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	var cases []pictureCase
	if err := json.Unmarshal(contents["index.json"], &cases); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		c := &cases[i]
		c.data = contents[c.File]
		if c.Error != "" || c.SHA256 != "" {
			continue
		}
		// "P6", the size, "255" and the samples, as Pillow writes it.
		m, err := Decode(contents[c.File+".ppm"], DecodeOptions{})
		if err != nil {
			t.Fatalf("%s: %v", c.File, err)
		}
		c.want = m
	}
	return cases
}

// Files of all kinds have Pillow's pixels, or an error that names what they are.
func TestPictures(t *testing.T) {
	type count struct{ all, wrong int }
	counts := map[string]*count{}
	for _, c := range pictureCases(t) {
		n := counts[c.Kind]
		if n == nil {
			n = new(count)
			counts[c.Kind] = n
		}
		n.all++
		m, err := Decode(c.data, DecodeOptions{})
		switch {
		case c.Error != "" && (err == nil || !regexp.MustCompile(c.Error).MatchString(err.Error())):
			n.wrong++
			t.Errorf("%s: error %v, want one that matches %q", c.File, err, c.Error)
		case c.Error != "":
		case err != nil:
			n.wrong++
			t.Errorf("%s: %v", c.File, err)
		case c.SHA256 != "":
			got := new(Image)
			Convert(got, m, 3)
			if sum := sha256.Sum256(got.Pix); got.W != c.Width || got.H != c.Height || hex.EncodeToString(sum[:]) != c.SHA256 {
				n.wrong++
				t.Errorf("%s: %d x %d pixels, not those of Pillow, %d x %d", c.File, got.W, got.H, c.Width, c.Height)
			}
		default:
			got := new(Image)
			Convert(got, m, 3)
			largest, differ := difference(got, c.want)
			if largest > c.Limit {
				n.wrong++
				t.Errorf("%s (%d x %d): %d of %d values differ, by up to %d; the limit is %d", c.File, c.want.W, c.want.H, differ, len(c.want.Pix), largest, c.Limit)
			}
		}
		for scale, want := range c.Reduced {
			if err := sameReduced(c.data, scale, want); err != nil {
				n.wrong++
				t.Errorf("%s (%d x %d) at 1/%s: %v", c.File, c.Width, c.Height, scale, err)
			}
		}
	}
	for kind, n := range counts {
		t.Logf("%s: %d pictures, %d wrong", kind, n.all, n.wrong)
	}
}

// sameReduced compares the pixels of a JPEG at a reduced size with their hash.
func sameReduced(data []byte, scale, want string) error {
	n, err := strconv.Atoi(scale)
	if err != nil {
		return err
	}
	var r Reader
	if err := r.Open(data, DecodeOptions{}); err != nil {
		return err
	}
	var m, rgb Image
	if _, err := r.DecodePart(&m, Rect{0, 0, r.W, r.H}, n); err != nil {
		return err
	}
	Convert(&rgb, &m, 3)
	if sum := sha256.Sum256(rgb.Pix); hex.EncodeToString(sum[:]) != want {
		return fmt.Errorf("%d x %d pixels, not those of Pillow", m.W, m.H)
	}
	return nil
}

// A part, and the picture at a reduced size of which that part is cut, agree for
// every kind of file.
func TestPartsOfPictures(t *testing.T) {
	var r Reader
	for _, c := range pictureCases(t) {
		if c.Error != "" {
			continue
		}
		for _, reduce := range []int{1, 2, 8} {
			var whole, part Image
			if err := r.Open(c.data, DecodeOptions{}); err != nil {
				t.Fatalf("%s: %v", c.File, err)
			}
			w, h := r.W, r.H
			if _, err := r.DecodePart(&whole, Rect{0, 0, w, h}, reduce); err != nil {
				t.Fatalf("%s: %v", c.File, err)
			}
			// A part that begins and ends at whole pixels of any reduced size.
			want := Rect{w / 3 / 8 * 8, h / 2 / 8 * 8, (w/2 + 7) / 8 * 8, (h/3 + 7) / 8 * 8}
			want.W, want.H = max(min(want.W, w-want.X), 1), max(min(want.H, h-want.Y), 1)
			if err := r.Open(c.data, DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			box, err := r.DecodePart(&part, want, reduce)
			if err != nil {
				t.Fatalf("%s: %v", c.File, err)
			}
			n := reduce
			if whole.W == w && whole.H == h { // which not all files are
				n = 1
			}
			if Orientation(c.data) > 1 && n > 1 {
				continue // turned, the part begins elsewhere
			}
			x, y := want.X/n, want.Y/n
			var cut Image
			Crop(&cut, &whole, Rect{x, y, part.W, part.H})
			if box.X != 0 || box.Y != 0 || !bytes.Equal(cut.Pix, part.Pix) {
				t.Errorf("%s at 1/%d: part %+v differs from the whole", c.File, n, want)
			}
		}
	}
}

// Every kind of file, cut off or with a byte changed anywhere, gives a picture or an
// error, and no more memory than its limit of pixels allows.
func TestDamagedPictures(t *testing.T) {
	var m Image
	for i, c := range pictureCases(t) {
		if len(c.data) == 0 || os.Getenv("RESNET_PICTURES") != "" {
			continue
		}
		for k := range 8 {
			at := (i*7919 + k*len(c.data)/8 + k*31) % len(c.data)
			damaged := bytes.Clone(c.data)
			damaged[at] ^= 1 << (i % 8)
			for _, data := range [][]byte{damaged, damaged[:at]} {
				err := DecodeInto(&m, data, DecodeOptions{MaxPixels: 1 << 16})
				if err == nil && m.W*m.H > 1<<16 {
					t.Errorf("%s with byte %d changed: %d x %d pixels are above the limit", c.File, at, m.W, m.H)
				}
				if err != nil && bytes.Contains([]byte(err.Error()), []byte("decoder failed")) && !errors.Is(err, ErrTooLarge) {
					t.Errorf("%s with byte %d changed: %v", c.File, at, err)
				}
			}
		}
	}
}

func FuzzPictures(f *testing.F) {
	for _, c := range pictureCases(f) {
		if len(c.data) < 3000 {
			f.Add(c.data)
		}
	}
	var r Reader
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Image
		if err := r.Open(data, DecodeOptions{MaxPixels: 1 << 16}); err != nil {
			return
		}
		w, h := r.W, r.H
		if err := r.Decode(&m); err != nil {
			if bytes.Contains([]byte(err.Error()), []byte("decoder failed")) {
				t.Fatal(err)
			}
			return
		}
		if m.W != w || m.H != h {
			t.Fatalf("%d x %d pixels, the header promised %d x %d", m.W, m.H, w, h)
		}
	})
}
