package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/data"
)

// A folder given to predict is searched for the files that a dataset of folders
// reads.
func TestFoldersHaveTheSamePicturesAsDatasets(t *testing.T) {
	dir := t.TempDir()
	ends := append(data.PictureEndings(), ".JPG", ".Jfif", ".txt", ".xyz", "")
	for _, class := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for i, end := range ends {
			if err := os.WriteFile(filepath.Join(dir, class, string(rune('a'+i))+end), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	names, err := (&app{quiet: true}).pictureNames([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := data.OpenFolder(os.DirFS(dir), data.Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	want := 2 * (len(data.PictureEndings()) + 2)
	if len(names) != want || s.Train.Len() != want {
		t.Errorf("%d found, %d in the dataset, want %d: %v", len(names), s.Train.Len(), want, names)
	}
}
