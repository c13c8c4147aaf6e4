package data

// Files are the files of a folder, a zip or a tar, for readers of other layouts. Its
// methods are safe for concurrent use.
type Files struct{ src source }

// OpenFiles opens a folder, a zip or a tar (see [IsTar]). Files above the limit of opt are errors
// when they are read.
func OpenFiles(path string, opt Options) (*Files, error) {
	src, err := openSource(path, opt.fileLimit())
	if err != nil {
		return nil, err
	}
	return &Files{src}, nil
}

// List returns the slash-separated paths of all files, sorted, without hidden ones.
// A folder that cannot be listed is among them; reading it is an error.
func (f *Files) List() ([]string, error) {
	list, err := f.src.list()
	if err != nil {
		return nil, err
	}
	return list.files, nil
}

// Pictures is List without the files that [FindPictures] leaves out; those of a tar
// come in the order in which they are stored. note is that of FindPictures.
func (f *Files) Pictures() (found []string, note string, err error) { return listPictures(f.src) }

// Data is List without the results of this program except masks; note is that of
// FindPictures.
func (f *Files) Data() (files []string, note string, err error) {
	list, err := listed(f.src, true)
	if err != nil {
		return nil, "", err
	}
	return list.files, list.left.note(), nil
}

// Read returns the contents of a file, using the memory of buf. The error does not
// repeat the name.
func (f *Files) Read(name string, buf []byte) ([]byte, error) { return f.src.read(name, buf) }

// Close closes the zip or tar.
func (f *Files) Close() error { return f.src.close() }
