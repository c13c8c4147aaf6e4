package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// embedded is the model inside the program, opened once for all tests.
var embedded = sync.OnceValue(func() *resnet.Model {
	m, err := resnet.Open("", resnet.Options{Batch: 8})
	if err != nil {
		panic(err)
	}
	return m
})

// start returns a server of the models, which has HTTP/2 without TLS as well.
func start(t testing.TB, opt Options) (*Server, *httptest.Server) {
	t.Helper()
	if opt.Models == nil {
		opt.Models = []Source{Of("clothes", embedded())}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(s.Handler())
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	t.Cleanup(func() { web.Close(); s.Close() })
	return s, web
}

// picturePNG returns a picture that depends on i.
func picturePNG(t testing.TB, i, w, h int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(x*(i+3) + y), uint8(y * (i + 1)), uint8(x * y * i), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// form returns a form with pictures, and other fields as name=value.
func form(t testing.TB, pictures map[string][]byte, fields ...string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	var names []string
	for name := range pictures {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		part, err := w.CreateFormFile("image", name)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(pictures[name])
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		w.WriteField(name, value)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// ask sends a request and reads the answer into out, unless it is nil.
func ask(t testing.TB, method, url, contentType string, body []byte, status int, out any) http.Header {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return askWith(t, r, status, out)
}

func askWith(t testing.TB, r *http.Request, status int, out any) http.Header {
	t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != status {
		t.Fatalf("%s %s gives status %d, must be %d: %.500s", r.Method, r.URL, a.StatusCode, status, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s %s: %v: %.500s", r.Method, r.URL, err, b)
		}
	}
	return a.Header
}

// What the server answers to a picture is what the model answers.
func TestClassifyAnswersAsTheModelDoes(t *testing.T) {
	_, web := start(t, Options{})
	m := embedded()
	pictures := map[string][]byte{}
	for i := range 12 {
		file := picturePNG(t, i, 20+i, 31)
		want, err := m.Classify(t.Context(), resnet.Encoded("x", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"image/png", "", "application/octet-stream", "application/x-www-form-urlencoded"} {
			var got answer
			ask(t, "POST", web.URL+"/v1/classify", kind, file, 200, &got)
			same(t, got.Results[0].Predictions, want)
		}
		pictures[fmt.Sprintf("%02d.png", i)] = file
	}
	// Several together, whose batches may round otherwise, and a bad one among them.
	pictures["99.txt"] = []byte("no picture")
	body, kind := form(t, pictures, "topk=10")
	var got answer
	ask(t, "POST", web.URL+"/v1/classify", kind, body, 200, &got)
	if len(got.Results) != 13 || got.Model != "clothes" || got.Version != "1" {
		t.Fatalf("%d results of %s %s", len(got.Results), got.Model, got.Version)
	}
	for i, r := range got.Results[:12] {
		if r.Name != fmt.Sprintf("%02d.png", i) || r.Error != "" || len(r.Predictions) != 10 {
			t.Errorf("result %d: %+v", i, r)
		}
		want, err := m.Classify(t.Context(), resnet.Encoded("x", pictures[r.Name]))
		if err != nil {
			t.Fatal(err)
		}
		same(t, r.Predictions[:5], want)
	}
	if r := got.Results[12]; !strings.Contains(r.Error, "99.txt") || r.Predictions != nil {
		t.Errorf("the answer to a text is %+v", r)
	}
}

func same(t testing.TB, got, want []resnet.Prediction) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d predictions, must be %d", len(got), len(want))
	}
	for i := range want {
		if d := got[i].Probability - want[i].Probability; got[i].Index != want[i].Index || d > 1e-5 || d < -1e-5 {
			t.Errorf("prediction %d is %+v, must be %+v", i, got[i], want[i])
		}
	}
}

func TestSameBitsWhateverIsComputedTogether(t *testing.T) {
	_, web := start(t, Options{SameBits: true})
	file := picturePNG(t, 3, 30, 30)
	var alone answer
	ask(t, "POST", web.URL+"/v1/embed", "", file, 200, &alone)
	pictures := map[string][]byte{"a": file}
	for i := range 6 {
		pictures[fmt.Sprint("b", i)] = picturePNG(t, i+10, 30, 30)
	}
	body, kind := form(t, pictures)
	var together answer
	ask(t, "POST", web.URL+"/v1/embed", kind, body, 200, &together)
	if !slices.Equal(alone.Results[0].Embedding, together.Results[0].Embedding) {
		t.Error("an embedding depends on what is computed with it")
	}
	if len(alone.Results[0].Embedding) != 256 {
		t.Errorf("%d features", len(alone.Results[0].Embedding))
	}
}

func TestExplain(t *testing.T) {
	_, web := start(t, Options{})
	file := picturePNG(t, 5, 32, 32)
	var got answer
	ask(t, "POST", web.URL+"/v1/classify?explain=true&layer=layer2&class=3", "", file, 200, &got)
	x, err := embedded().Explain(t.Context(), resnet.Encoded("x", file), resnet.ExplainOptions{Classes: []int{3}, Options: explainLayer("layer2")})
	if err != nil {
		t.Fatal(err)
	}
	e := got.Results[0].Explanation
	if e == nil || e.Index != 3 || e.Layer != "layer2" || !slices.Equal(e.Values, x.Maps[0].Values) || e.Width != x.Maps[0].W || e.Region != x.Region || e.Region == [4]float64{} {
		t.Errorf("got %+v, must be %+v", e, x.Maps[0])
	}
	m := decodeDataURL(t, e.Overlay)
	if m.Bounds() != x.Picture.Bounds() {
		t.Errorf("the overlay is %v", m.Bounds())
	}
	for _, bad := range []string{"layer=nothing", "class=trousseau", "method=guess", "explain=perhaps", "topk=0", "topk=x", "topK=5", "topk=1&topk=2", "%zz"} {
		ask(t, "POST", web.URL+"/v1/classify?explain=true&"+bad, "", file, 400, nil)
	}
}

// detector and segmenter are small networks with random weights.
func detector(t testing.TB) *resnet.Model {
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
	m, err := resnet.FromModule(net, resnet.Description{Name: "finder", Classes: []string{"none", "a", "b", "c"}}, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func segmenter(t testing.TB) *resnet.Model {
	t.Helper()
	p := data.Preprocess{Channels: 3, Width: 32, Height: 32, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	m, err := resnet.New("unet_resnet8-cifar", 1, resnet.Options{Weights: resnet.WeightsOnly{Preprocess: &p}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDetectAndSegment(t *testing.T) {
	find, cut := detector(t), segmenter(t)
	_, web := start(t, Options{Models: []Source{Of("clothes", embedded()), Of("finder", find), Of("cutter", cut)}})
	file := picturePNG(t, 4, 45, 31)

	d, err := find.Detect(t.Context(), resnet.Encoded("x", file))
	if err != nil {
		t.Fatal(err)
	}
	var got answer
	ask(t, "POST", web.URL+"/v1/detect?threshold=0&overlay=true", "", file, 200, &got)
	r := got.Results[0]
	if got.Model != "finder" || r.Width != 45 || r.Height != 31 || len(*r.Objects) != len(d.Objects) || len(d.Objects) == 0 {
		t.Fatalf("%+v, must have %d objects", r, len(d.Objects))
	}
	for i, o := range *r.Objects {
		w := d.Objects[i]
		if o.Class != w.Class || o.Score != w.Score || o.Box[0] != float64(w.Box.X1) || o.Box[3] != float64(w.Box.H()) || o.Mask.Counts != w.Mask.String() {
			t.Errorf("object %d is %+v, must be %+v", i, o, w)
		}
	}
	decodeDataURL(t, r.Overlay)

	m, err := cut.Segment(t.Context(), resnet.Encoded("x", file))
	if err != nil {
		t.Fatal(err)
	}
	ask(t, "POST", web.URL+"/v1/segment?overlay=1", "", file, 200, &got)
	r = got.Results[0]
	if got.Model != "cutter" || len(r.Areas) != len(m.Areas) || !slices.Equal(decodeDataURL(t, r.Mask).(*image.Paletted).Pix, m.Mask.Pix) {
		t.Errorf("%+v", r)
	}
	decodeDataURL(t, r.Overlay)

	// Heat maps of an object, of the best one, and of a class of pixels.
	for query, opt := range map[string]resnet.ExplainOptions{
		"detect?threshold=0&explain=true":                          {},
		"detect?threshold=0&explain=true&object=2":                 {Objects: []int{2}},
		"detect?threshold=0&explain=true&method=saliency&object=1": {Objects: []int{1}, Options: explain.Options{Method: "saliency"}},
		"segment?explain=true":                                     {},
		"segment?explain=true&class=7&method=gradcam%2b%2b":        {Classes: []int{7}, Options: explain.Options{Method: "gradcam++"}},
	} {
		model := find
		if strings.HasPrefix(query, "segment") {
			model = cut
		}
		want, err := model.Explain(t.Context(), resnet.Encoded("x", file), opt)
		if err != nil {
			t.Fatal(err)
		}
		var got answer
		ask(t, "POST", web.URL+"/v1/"+query, "", file, 200, &got)
		e := got.Results[0].Explanation
		if e == nil || !slices.Equal(e.Values, want.Maps[0].Values) || e.Width != want.Maps[0].W || e.Prediction != want.Classes[0] || e.Region != want.Region || e.Region[2] < 1 {
			t.Fatalf("%s: %+v, must be of %+v", query, e, want.Classes[0])
		}
		if model == find && (e.Object == nil || *e.Object != want.Objects[0].Number || (*got.Results[0].Objects)[*e.Object].Score != e.Probability) {
			t.Errorf("%s: object %v", query, e.Object)
		}
		decodeDataURL(t, e.Overlay)
	}
	for _, bad := range []string{"detect?explain=true&object=99", "detect?explain=true&object=-1", "detect?object=1", "detect?explain=true&object=1&class=1", "detect?explain=true&layer=none", "segment?explain=true&object=1", "segment?explain=1&class=99"} {
		ask(t, "POST", web.URL+"/v1/"+bad, "", file, 400, nil)
	}
	var info modelInfo
	for _, name := range []string{"finder", "cutter"} {
		if ask(t, "GET", web.URL+"/v1/models/"+name, "", nil, 200, &info); len(info.Layers) < 3 {
			t.Errorf("the layers of %s are %v", name, info.Layers)
		}
	}

	var failed errorBody
	ask(t, "POST", web.URL+"/v1/detect?model=clothes", "", file, 400, &failed)
	ask(t, "POST", web.URL+"/v1/detect?model=cloths", "", file, 404, &failed)
	if !strings.Contains(failed.Error, "clothes") {
		t.Errorf("the error %q does not name the nearest model", failed.Error)
	}
	ask(t, "POST", web.URL+"/v1/detect?threshold=2", "", file, 400, nil)
	ask(t, "POST", web.URL+"/v1/segment", "", nil, 400, nil)

	// The same by the protocol.
	var out struct {
		Outputs []struct {
			Name  string
			Shape []int
			Data  []any
		}
	}
	r0, err := http.NewRequest("POST", web.URL+"/v2/models/finder/infer", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	r0.Header.Set(jsonSizeHeader, "0")
	askWith(t, r0, 200, &out)
	if o := out.Outputs[0]; o.Name != "boxes" || o.Shape[0] != len(d.Objects) || o.Shape[1] != 4 || float32(o.Data[0].(float64)) != d.Objects[0].Box.X1 {
		t.Errorf("%+v", o)
	}
	r0, err = http.NewRequest("POST", web.URL+"/v2/models/cutter/infer", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	r0.Header.Set(jsonSizeHeader, "0")
	askWith(t, r0, 200, &out)
	if o := out.Outputs[0]; o.Name != "mask" || fmt.Sprint(o.Shape) != "[1 31 45]" || len(o.Data) != 31*45 {
		t.Errorf("%+v", o.Shape)
	}
}

// All paths are in the OpenAPI document with their methods, and no others.
func TestOpenAPIHasAllPaths(t *testing.T) {
	s, web := start(t, Options{})
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	ask(t, "GET", web.URL+"/openapi.json", "", nil, 200, &doc)
	for _, rt := range s.table() {
		for method := range rt.methods {
			if doc.Paths[rt.path][strings.ToLower(method)].OperationID == "" {
				t.Errorf("the document lacks %s %s", method, rt.path)
			}
		}
		if len(doc.Paths[rt.path]) != len(rt.methods) {
			t.Errorf("%s has other methods", rt.path)
		}
	}
	if len(doc.Paths) != len(s.table()) {
		t.Errorf("the document has %d paths, the server %d", len(doc.Paths), len(s.table()))
	}
}

func TestModelsAndStatus(t *testing.T) {
	_, web := start(t, Options{})
	var list modelList
	ask(t, "GET", web.URL+"/v1/models", "", nil, 200, &list)
	if m := list.Models[0]; m.Name != "clothes" || !m.Ready || m.Task != models.Classification || m.Classes != 10 || m.Embedding != 256 || m.Bytes < 1e6 {
		t.Errorf("%+v", m)
	}
	var info modelInfo
	ask(t, "GET", web.URL+"/v1/models/clothes", "", nil, 200, &info)
	if len(info.ClassNames) != 10 || !slices.Contains(info.Layers, "layer3") {
		t.Errorf("%+v", info)
	}
	ask(t, "POST", web.URL+"/v1/classify", "", picturePNG(t, 1, 9, 9), 200, nil)
	ask(t, "POST", web.URL+"/v1/classify", "", []byte("x"), 400, nil)
	var st status
	ask(t, "GET", web.URL+"/v1/status", "", nil, 200, &st)
	if m := st.Models[0]; !st.Ready || m.Answered != 1 || m.Failed != 1 || m.P50 <= 0 || m.PerSecond <= 0 || m.InProgress != 0 {
		t.Errorf("%+v", st)
	}
	a, err := http.Get(web.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	for _, line := range []string{
		`resnet_inference_seconds_count{model="clothes",version="1"} 1`, `resnet_stage_seconds_count{model="clothes",stage="compute",version="1"} 1`,
		`resnet_http_requests_total{route="/v1/classify",status="400"} 1`, `resnet_model_ready{model="clothes",version="1"} 1`, `resnet_queue_length{model="clothes",version="1"} 0`,
		`resnet_body_bytes 0`, `go_goroutines `,
	} {
		if !strings.Contains(string(b), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func TestNewRefusesWhatMakesNoSense(t *testing.T) {
	open := func(context.Context) (*resnet.Model, error) { return embedded(), nil }
	for want, opt := range map[string]Options{
		"empty":       {},
		"MaxQueue":    {Models: []Source{Of("a", embedded())}, MaxQueue: -1},
		"../a":        {Models: []Source{{Name: "../a", Open: open}}},
		"version":     {Models: []Source{{Name: "a", Version: "x", Open: open}}},
		"twice":       {Models: []Source{{Name: "a", Open: open}, {Name: "a", Open: open}}},
		"no Open":     {Models: []Source{{Name: "a"}}},
		"no slash":    {Models: []Source{Of("a", embedded())}, Origins: []string{"https://example.org/"}},
		"neither":     {Models: []Source{Of("a", embedded())}, Origins: []string{"*", "example.org"}},
		"wildcard":    {Models: []Source{Of("a", embedded())}, Origins: []string{"https://*.example.org"}},
		"capital":     {Models: []Source{Of("a", embedded())}, Origins: []string{"https://Example.org"}},
		"usual port":  {Models: []Source{Of("a", embedded())}, Origins: []string{"http://example.org:80"}},
		"MaxBodies":   {Models: []Source{Of("a", embedded())}, MaxBody: 10, MaxBodies: 5},
		"MaxBatch":    {Models: []Source{Of("a", embedded())}, MaxBatch: math.MaxInt},
		"MaxPixels":   {Models: []Source{Of("a", embedded())}, MaxPixels: math.MaxInt},
		"MaxBody is":  {Models: []Source{Of("a", embedded())}, MaxBody: math.MaxInt64},
		"out of luck": {Models: []Source{{Name: "a", Open: func(context.Context) (*resnet.Model, error) { return nil, fmt.Errorf("out of luck") }}}},
		"panicked":    {Models: []Source{{Name: "a", Open: func(context.Context) (*resnet.Model, error) { panic("it panicked") }}}},
	} {
		opt.Log = slog.New(slog.DiscardHandler)
		s, err := New(t.Context(), opt)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, must name %q", err, want)
		}
		if of := want != "out of luck" && want != "panicked"; errors.Is(err, ErrOptions) != of {
			t.Errorf("%v wraps ErrOptions: %v, must be %v", err, !of, of)
		}
	}
}
