package serve

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/serve/internal/oip"
	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// backbone is a small network without a last layer, with random weights.
func backbone(t testing.TB) *resnet.Model {
	t.Helper()
	net, err := models.New("resnet8-cifar", models.Classes(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	m, err := resnet.FromModule(net, resnet.Description{Name: "spine", Preprocess: data.Preprocess{Channels: 3, Width: 32, Height: 32,
		Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}}, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A network without a last layer answers with embeddings, at /v1 and by both transports
// of the protocol, as the model does.
func TestBackbone(t *testing.T) {
	m := backbone(t)
	s, web := start(t, Options{Models: []Source{Of("spine", m)}})
	if got := s.PictureCall(); got != "/v1/embed" {
		t.Errorf("pictures go to %q", got)
	}
	files := [][]byte{picturePNG(t, 1, 20, 41), picturePNG(t, 2, 50, 33)}
	var want []float32
	for _, f := range files {
		e, err := m.Embed(t.Context(), resnet.Encoded("x", f))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e...)
	}
	var got answer
	body, kind := form(t, map[string][]byte{"a": files[0], "b": files[1]})
	ask(t, "POST", web.URL+"/v1/embed", kind, body, 200, &got)
	near(t, "embedding", slices.Concat(got.Results[0].Embedding, got.Results[1].Embedding), want)

	var meta modelMetadata
	ask(t, "GET", web.URL+"/v2/models/spine", "", nil, 200, &meta)
	if len(meta.Outputs) != 1 || meta.Outputs[0].Name != embeddingOutput || !slices.Equal(meta.Outputs[0].Shape, []int64{-1, int64(len(want) / 2)}) {
		t.Errorf("%+v", meta)
	}
	var config modelConfig
	ask(t, "GET", web.URL+"/v2/models/spine/config", "", nil, 200, &config)
	if config.MaxBatch != 8 || len(config.Output) != 1 || !slices.Equal(config.Output[0].Dims, []int64{int64(len(want) / 2)}) {
		t.Errorf("%+v", config)
	}
	var info modelInfo
	ask(t, "GET", web.URL+"/v1/models/spine", "", nil, 200, &info)
	if info.Task != models.Features || info.Embedding != len(want)/2 || info.Classes != 0 || len(info.Layers) != 0 {
		t.Errorf("%+v", info)
	}
	req := &pb.ModelInferRequest{ModelName: "spine", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{2}, Contents: &pb.InferTensorContents{BytesContents: files}}}}
	a, err := grpcCall[pb.ModelInferRequest, pb.ModelInferResponse](t.Context(), web.URL, grpcService+"ModelInfer", req)
	if err != nil {
		t.Fatal(err)
	}
	out := oip.Tensor{Type: oip.Float32, Shape: a.Outputs[0].Shape}
	if err := out.SetRaw(a.RawOutputContents[0]); err != nil || len(a.Outputs) != 1 {
		t.Fatal(err, a.Outputs)
	}
	v, err := out.Floats(0, len(want))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "embedding over gRPC", v, want)

	var failed errorBody
	ask(t, "POST", web.URL+"/v1/classify?model=spine", "", files[0], 400, &failed)
	if !strings.Contains(failed.Error, "/v1/embed") {
		t.Error(failed.Error)
	}
	ask(t, "POST", web.URL+"/v1/classify", "", files[0], 404, nil)
	ask(t, "POST", web.URL+"/v2/models/spine/infer", "application/json", []byte(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}],"outputs":[{"name":"logits"}]}`), 400, &failed)
	if !strings.Contains(failed.Error, `no output "logits"; it has embedding`) {
		t.Error(failed.Error)
	}
}
