package serve

import (
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

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

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// nightly reports whether tests may take longer.
func nightly() bool { return os.Getenv("RESNET_NIGHTLY") != "" }

// residentBytes returns the resident memory of the process; 0 where it is not known.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// settled returns the heap's live bytes when background work has ended.
func settled(t *testing.T) uint64 {
	t.Helper()
	var mem runtime.MemStats
	for range 5 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.ReadMemStats(&mem)
	return mem.HeapAlloc
}
