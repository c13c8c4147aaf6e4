package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/serve"
	"github.com/resnet-go/resnet/serve/page"
)

// detector and segmenter have random weights: enough to see boxes and masks drawn.
func detector(t *testing.T) *resnet.Model {
	t.Helper()
	net, err := models.New("maskrcnn_resnet8-cifar_fpn_v2", models.Classes(4), func(c *models.Config) {
		h := c.Detection
		h.Channels, h.MinSize, h.MaxSize = 32, 32, 64
		h.Proposals, h.Detections, h.BoxFeatures = 20, 9, 16
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	m, err := resnet.FromModule(net, resnet.Description{Name: "finder", Classes: []string{"none", "bicycle", "dog", "traffic light"}}, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func segmenter(t *testing.T) *resnet.Model {
	t.Helper()
	p := data.Preprocess{Channels: 3, Width: 32, Height: 32, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	m, err := resnet.New("unet_resnet8-cifar", 1, resnet.Options{Weights: resnet.WeightsOnly{Preprocess: &p}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// picture is a disk on a background, in colors that depend on i.
func picture(i, w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{uint8(40*i + x*120/w), uint8(90 + y*100/h), uint8(200 - 50*i), 255}
			if dx, dy := x-w/2, y-h*(2+i)/8; dx*dx+dy*dy < h*h/16 {
				c = color.NRGBA{uint8(250 - 60*i), uint8(60 * i), uint8(30 + 20*i), 255}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

// start returns the address of a server.
func start(t *testing.T, opt serve.Options, prefix string) string {
	t.Helper()
	opt.Page, opt.Log = page.Handler(), slog.New(slog.DiscardHandler)
	s, err := serve.New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, s.Handler()))
	web := httptest.NewServer(mux)
	t.Cleanup(func() { web.Close(); s.Close() })
	return web.URL + prefix + "/"
}

// A real browser uses the page as people do: testdata/browser.py, by Playwright. It needs
// RESNET_PEER_PYTHON, a Python with playwright, and RESNET_CHROMIUM, a Chromium. With
// RESNET_AXE, the file axe.min.js of axe-core, accessibility is checked by it, too;
// RESNET_SCREENSHOTS is a folder for screenshots.
func TestBrowser(t *testing.T) {
	python, chromium := peer.Python(t, "playwright"), os.Getenv("RESNET_CHROMIUM")
	if chromium == "" {
		t.Skip("RESNET_CHROMIUM names no Chromium")
	}
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"one.png", "two.png", "three.png", "four.png"} {
		var b bytes.Buffer
		if err := png.Encode(&b, picture(i, 96+32*i, 80)); err != nil {
			t.Fatal(err)
		}
		write(name, b.Bytes())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(1, 160, 120), nil); err != nil {
		t.Fatal(err)
	}
	write("photo.jpg", b.Bytes())
	write("broken.png", append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...))
	write("notes.txt", []byte("not a picture"))
	write("gray.pgm", append([]byte("P5 48 48 255\n"), bytes.Repeat([]byte{0, 80, 160, 240}, 48*12)...)) // no browser shows it

	embedded := func() serve.Source {
		return serve.Source{Name: "clothes", Open: func(context.Context) (*resnet.Model, error) { return resnet.Open("", resnet.Options{}) }}
	}
	key, line := serve.NewKey("browser")
	keys, err := serve.ParseKeys([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	first, second := embedded(), embedded() // two versions
	first.Name, first.Version, second.Name, second.Version = "A.b_c-1", "1", "A.b_c-1", "12"
	config, err := json.Marshal(map[string]string{
		"url":      start(t, serve.Options{Models: []serve.Source{embedded(), serve.Of("finder", detector(t)), serve.Of("cutter", segmenter(t))}, Control: true}, ""),
		"mounted":  start(t, serve.Options{Models: []serve.Source{first, second}}, "/try/models"),
		"locked":   start(t, serve.Options{Models: []serve.Source{embedded()}, Keys: keys}, ""),
		"only":     start(t, serve.Options{Models: []serve.Source{serve.Of("cutter", segmenter(t))}}, ""),
		"key":      key,
		"dir":      dir,
		"chromium": chromium,
		"axe":      os.Getenv("RESNET_AXE"),
		"shots":    os.Getenv("RESNET_SCREENSHOTS"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "browser.py"), string(config))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("all right")) {
		t.Errorf("the browser's test failed: %v", err)
	}
}
