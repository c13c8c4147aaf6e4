package data

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Options are the choices of [Open]. The zero value is the usual one.
type Options struct {
	// ValFraction is the share of the training samples that is held out as a
	// validation part if the data have none. 0 means 0.1 if there is no test part
	// either, and no holding out if there is one. A negative share holds out nothing.
	ValFraction float64
	// Seed chooses the samples that are held out.
	Seed uint64
	// MaxPixels is the limit of a picture's width times height; 0 means
	// imaging.DefaultMaxPixels.
	MaxPixels int
	// IgnoreOrientation leaves pictures as their files store them, as torchvision's
	// datasets do, instead of turning them as their EXIF or XMP data tell.
	IgnoreOrientation bool
	// Unlabeled is for learning without labels. It opens folders of pictures that have no
	// two class folders, or pictures beside them, as all pictures of each part, whose
	// datasets have no classes: no labels, as of multi-label data. Other data are opened as
	// without it.
	Unlabeled bool
	// WithoutTest leaves out the test part of folders, see [PartError].
	WithoutTest bool
	// MaxFileBytes is the limit of one picture's file, unpacked; 0 means
	// DefaultMaxFileBytes.
	MaxFileBytes int64
}

// DefaultMaxFileBytes is the default limit of a picture's file.
const DefaultMaxFileBytes = 256 << 20

func (o Options) decode() imaging.DecodeOptions {
	return imaging.DecodeOptions{MaxPixels: o.MaxPixels, IgnoreOrientation: o.IgnoreOrientation}
}

func (o Options) fileLimit() int64 {
	if o.MaxFileBytes > 0 {
		return o.MaxFileBytes
	}
	return DefaultMaxFileBytes
}

// Kinds returns the kinds of dataset that a SPEC of [Open] may start with.
func Kinds() []string {
	return []string{"cifar10", "cifar100", "folder", "idx", "multilabel", "tar"}
}

// Open opens the dataset that spec names, KIND:PATH:
//
//	cifar10:DIR, cifar100:DIR        the official binary files; see [OpenCIFAR10]
//	idx:DIR                          MNIST's file names, plain or .gz; see [OpenIDX]
//	folder:DIR, folder:FILE.zip      train/, val/ or test/, one folder per class; see [OpenFolder]
//	multilabel:DIR, multilabel:FILE.zip   labels.csv or labels.json; see [OpenMultiLabel]
//	tar:FILE, tar:DIR, tar:train-{000..099}.tar, tar:*.tar   WebDataset's shards; see [OpenTars]
//
// FILE may be a tar (see [IsTar]) wherever it may be a zip.
// An error names the file that is missing or wrong, and the nearest kind if
// the kind is unknown. Close the splits when done.
func Open(spec string, opt Options) (*Splits, error) {
	kind, path, ok := strings.Cut(spec, ":")
	if !ok || path == "" {
		return nil, fmt.Errorf("data: %q is not of the form KIND:PATH, such as folder:photos (kinds: %s)",
			spec, strings.Join(Kinds(), ", "))
	}
	if strings.Contains(path, "://") {
		return nil, fmt.Errorf("data: %s is an address of the web: datasets are not downloaded; fetch it first, for example with curl -LO %s, and give the file", spec, path)
	}
	var s *Splits
	var err error
	switch kind {
	case "cifar10", "cifar100", "idx":
		s, err = openDir(kind, path, opt)
	case "folder", "multilabel":
		s, err = openFiles(kind, path, opt)
	case "tar":
		var paths []string
		if paths, err = FindTars(path); err == nil {
			s, err = OpenTars(paths, opt)
		}
	default:
		return nil, fmt.Errorf("data: unknown kind of dataset %q in %q%s", kind, spec, suggest.Phrase(kind, Kinds()))
	}
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", spec, err)
	}
	s.Spec = spec
	return s, nil
}

func openDir(kind, path string, opt Options) (*Splits, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && kind == "idx" {
		// idx:DIR/emnist-letters: one of several datasets of a folder.
		dir, prefix := filepath.Split(path)
		if s, err := openIDX(os.DirFS(cmp.Or(dir, ".")), prefix+"-", opt); err == nil {
			return s, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, but %s wants the folder that holds its files", path, kind)
	}
	switch fsys := os.DirFS(path); kind {
	case "cifar10":
		return OpenCIFAR10(fsys, opt)
	case "cifar100":
		return OpenCIFAR100(fsys, opt)
	default:
		return OpenIDX(fsys, opt)
	}
}

func openFiles(kind, path string, opt Options) (*Splits, error) {
	src, err := openSource(path, opt.fileLimit())
	if err != nil {
		return nil, err
	}
	open := openFolder
	if kind == "multilabel" {
		open = openMultiLabel
	}
	s, err := open(src, opt)
	if err != nil {
		src.close()
		return nil, err
	}
	s.close = src.close
	return s, nil
}

// finish holds out a validation part by the options, and returns an error if
// there are no samples.
func (s *Splits) finish(opt Options) (*Splits, error) {
	if len(s.parts()) == 0 {
		return nil, fmt.Errorf("no samples found: %w", fs.ErrNotExist)
	}
	share := opt.ValFraction
	if share == 0 && s.Test == nil {
		share = 0.1
	}
	if !(share < 1) {
		return nil, fmt.Errorf("cannot hold out %v of the training samples for validation: give a share below 1", share)
	}
	if s.Val != nil || s.Train == nil || share <= 0 {
		return s, nil
	}
	train, val := HoldOut(s.Train, share, opt.Seed)
	if val.Len() == 0 {
		return s, nil
	}
	s.Train, s.Val = train, val
	s.Notes = append(s.Notes, fmt.Sprintf(
		"no validation part: held out %d of %d training samples, class by class (share %g, seed %d)",
		val.Len(), val.Len()+train.Len(), share, opt.Seed))
	return s, nil
}
