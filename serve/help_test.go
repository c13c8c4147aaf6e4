package serve

import (
	"encoding/base64"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/explain"
)

func explainLayer(name string) explain.Options { return explain.Options{Layer: name} }

// decodeDataURL returns the picture in a data URL.
func decodeDataURL(t testing.TB, url string) image.Image {
	t.Helper()
	text, ok := strings.CutPrefix(url, "data:image/png;base64,")
	if !ok {
		t.Fatalf("%.40q is no PNG as a data URL", url)
	}
	m, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
