package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/serve/internal/oip"
	pb "github.com/resnet-go/resnet/serve/internal/oippb"
	"github.com/resnet-go/resnet/tensor"
)

// inputs are n inputs of the embedded model, [n C H W], and the model's outputs.
func inputs(t *testing.T, n int) (x *tensor.Tensor, raw []byte, logits, features []float32) {
	t.Helper()
	in := embedded().Input()
	x = tensor.New(n, in[0], in[1], in[2])
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i%97)/50 - 1
	}
	z, f, err := embedded().Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range x.Float32s() {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return x, raw, z.Float32s(), f.Float32s()
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, must be %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-4 {
			t.Errorf("%s: number %d is %v, must be %v", what, i, got[i], want[i])
			return
		}
	}
}

// wireAnswer is the JSON of an answer.
type wireAnswer struct {
	ModelName string `json:"model_name"`
	ID        string
	Outputs   []struct {
		Name, DataType string
		Shape          []int
		Parameters     map[string]int
		Data           []any
	}
}

func numbers(data []any) (out []float32) {
	for _, v := range data {
		out = append(out, float32(v.(float64)))
	}
	return out
}

// JSON, binary data, gRPC's raw and typed contents, FP16 and BF16 give the answers that
// the model does, for as many inputs as a batch has, too.
func TestTensorsOfAllFormsAreComputed(t *testing.T) {
	_, web := start(t, Options{MaxBatch: 16})
	infer := web.URL + "/v2/models/clothes/infer"
	for _, n := range []int{1, 3, 11} {
		x, raw, logits, features := inputs(t, n)
		in := embedded().Input()
		shape := fmt.Sprintf(`"shape":[%d,%d,%d,%d]`, n, in[0], in[1], in[2])
		data, err := json.Marshal(x.Float32s())
		if err != nil {
			t.Fatal(err)
		}
		var got wireAnswer
		ask(t, "POST", infer, "application/json", fmt.Appendf(nil, `{"id":"7","inputs":[{"name":"input","datatype":"FP32",%s,"data":%s}],"outputs":[{"name":"embedding"},{"name":"logits"}]}`, shape, data), 200, &got)
		if got.ID != "7" || got.ModelName != "clothes" || len(got.Outputs) != 2 || got.Outputs[1].Shape[0] != n {
			t.Fatalf("%+v", got)
		}
		near(t, "embedding", numbers(got.Outputs[0].Data), features)
		near(t, "logits", numbers(got.Outputs[1].Data), logits)

		text := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","datatype":"FP32",%s,"parameters":{"binary_data_size":%d}}],"outputs":[{"name":"logits"},{"name":"probabilities","parameters":{"binary_data":false,"classification":2}}]}`, shape, len(raw))
		for _, encoding := range []string{"", "gzip", "deflate"} {
			r, err := http.NewRequest("POST", infer, bytes.NewReader(packed(t, encoding, append([]byte(text), raw...))))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/octet-stream")
			r.Header.Set(jsonSizeHeader, strconv.Itoa(len(text)))
			r.Header.Set("Content-Encoding", encoding)
			r.Header.Set("Accept-Encoding", encoding)
			a, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body := unpacked(t, a)
			size, err := strconv.Atoi(a.Header.Get(jsonSizeHeader))
			if a.StatusCode != 200 || err != nil || size > len(body) {
				t.Fatalf("status %d, %v: %s", a.StatusCode, err, body)
			}
			got = wireAnswer{}
			if err := json.Unmarshal(body[:size], &got); err != nil {
				t.Fatal(err)
			}
			out := oip.Tensor{Type: oip.Float32, Shape: []int64{int64(len(logits))}}
			if err := out.SetRaw(body[size:]); err != nil {
				t.Fatal(err)
			}
			v, _ := out.Floats(0, len(logits))
			near(t, "binary logits, "+encoding, v, logits)
			classes := got.Outputs[1]
			if fmt.Sprint(classes.Shape) != fmt.Sprintf("[%d 2]", n) || classes.DataType != "BYTES" {
				t.Errorf("%+v", classes)
			}
			p, err := embedded().Predictions("x", logits[:10], 1)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := classes.Data[0].(string)
			probability, class, _ := strings.Cut(text, ":")
			value, err := strconv.ParseFloat(probability, 64)
			if err != nil || math.Abs(value-float64(p[0].Probability)) > 2e-6 || class != fmt.Sprintf("%d:%s", p[0].Index, p[0].Class) {
				t.Errorf("the most probable class is %v, must be %f:%d:%s", classes.Data[0], p[0].Probability, p[0].Index, p[0].Class)
			}
		}

		for _, kind := range []string{"raw", "contents", "FP64", "BF16", "FP16"} {
			req := &pb.ModelInferRequest{ModelName: "clothes", Id: "8", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "input", Datatype: "FP32", Shape: []int64{int64(n), int64(in[0]), int64(in[1]), int64(in[2])}}},
				Outputs: []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "logits"}, {Name: "probabilities", Parameters: map[string]*pb.InferParameter{"classification": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}}}}}
			tolerance := 1.0
			switch kind {
			case "raw":
				req.RawInputContents = [][]byte{raw}
			case "contents":
				req.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: x.Float32s()}
			case "FP64":
				req.Inputs[0].Datatype, req.Inputs[0].Contents = "FP64", &pb.InferTensorContents{}
				for _, v := range x.Float32s() {
					req.Inputs[0].Contents.Fp64Contents = append(req.Inputs[0].Contents.Fp64Contents, float64(v))
				}
			case "BF16", "FP16":
				var half []byte
				for _, v := range x.Float32s() {
					h := uint16(math.Float32bits(v) >> 16)
					if kind == "FP16" {
						h = halfOf(v)
					}
					half = binary.LittleEndian.AppendUint16(half, h)
				}
				req.Inputs[0].Datatype, req.RawInputContents, tolerance = kind, [][]byte{half}, 3000
			}
			answer, err := grpcCall[pb.ModelInferRequest, pb.ModelInferResponse](t.Context(), web.URL, grpcService+"ModelInfer", req)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			out := oip.Tensor{Type: oip.Float32, Shape: answer.Outputs[0].Shape}
			if err := out.SetRaw(answer.RawOutputContents[0]); err != nil {
				t.Fatal(err)
			}
			v, _ := out.Floats(0, len(logits))
			for i := range v { // of coarser numbers coarser answers
				if math.Abs(float64(v[i]-logits[i])) > 1e-4*tolerance {
					t.Errorf("%s: logit %d is %v, must be %v", kind, i, v[i], logits[i])
					break
				}
			}
			if answer.Id != "8" || answer.ModelVersion != "1" || answer.Outputs[1].Datatype != "BYTES" {
				t.Errorf("%+v", answer)
			}
		}
	}
}

// halfOf returns a number near 0 as FP16, cut off.
func halfOf(v float32) uint16 {
	b := math.Float32bits(v)
	exponent := int(b>>23&0xff) - 127 + 15
	if exponent <= 0 {
		return uint16(b >> 16 & 0x8000)
	}
	return uint16(b>>16&0x8000) | uint16(exponent<<10) | uint16(b>>13&0x3ff)
}

func packed(t *testing.T, encoding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	default:
		return b
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func unpacked(t *testing.T, a *http.Response) []byte {
	t.Helper()
	defer a.Body.Close()
	var r io.Reader = a.Body
	var err error
	switch a.Header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(a.Body)
	case "deflate":
		r, err = zlib.NewReader(a.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// grpcCall calls by gRPC over HTTP/2 without TLS.
func grpcCall[Req, Res any](ctx context.Context, url, procedure string, req *Req) (*Res, error) {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	c := connect.NewClient[Req, Res](&http.Client{Transport: transport}, url+procedure, connect.WithGRPC(), connect.WithSendGzip())
	r, err := c.CallUnary(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return r.Msg, nil
}

// Pictures as BYTES are answered as the model does, by both transports and in a stream.
func TestEncodedPictures(t *testing.T) {
	_, web := start(t, Options{})
	files := [][]byte{picturePNG(t, 1, 10, 40), picturePNG(t, 2, 33, 33), picturePNG(t, 3, 50, 8)}
	req := &pb.ModelInferRequest{ModelName: "clothes", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{3}, Contents: &pb.InferTensorContents{BytesContents: files}}}}
	a, err := grpcCall[pb.ModelInferRequest, pb.ModelInferResponse](t.Context(), web.URL, grpcService+"ModelInfer", req)
	if err != nil {
		t.Fatal(err)
	}
	out := oip.Tensor{Type: oip.Float32, Shape: a.Outputs[0].Shape}
	if err := out.SetRaw(a.RawOutputContents[0]); err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		want, err := embedded().Classify(t.Context(), resnet.Encoded("x", f))
		if err != nil {
			t.Fatal(err)
		}
		row, err := out.Floats(10*i, 10)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(row[want[0].Index])-want[0].Probability) > 1e-5 {
			t.Errorf("picture %d: %v, must be %+v", i, row, want)
		}
	}

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	c := connect.NewClient[pb.ModelInferRequest, pb.ModelStreamInferResponse](&http.Client{Transport: transport}, web.URL+grpcService+grpcStreamCall, connect.WithGRPC())
	stream := c.CallBidiStream(t.Context())
	for i := range 4 {
		one := &pb.ModelInferRequest{ModelName: "clothes", Id: strconv.Itoa(i), Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}, Contents: &pb.InferTensorContents{BytesContents: files[:1]}}}}
		if i == 2 {
			one.ModelName = "shoes"
		}
		if err := stream.Send(one); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if (got.ErrorMessage != "") != (i == 2) || got.InferResponse.GetId() != strconv.Itoa(i) {
			t.Errorf("answer %d: %q, %q", i, got.ErrorMessage, got.InferResponse.GetId())
		}
		if i != 2 && !slices.Equal(got.InferResponse.RawOutputContents[0][:4], a.RawOutputContents[0][:4]) {
			near(t, "stream", []float32{math.Float32frombits(binary.LittleEndian.Uint32(got.InferResponse.RawOutputContents[0]))}, []float32{math.Float32frombits(binary.LittleEndian.Uint32(a.RawOutputContents[0]))})
		}
	}
	if err := stream.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
	stream.CloseResponse()
}

// The codes of gRPC's errors are those that clients know.
func TestCodesOfGRPC(t *testing.T) {
	s, web := start(t, Options{MaxQueue: 2, MaxBody: 1 << 16})
	file := picturePNG(t, 1, 8, 8)
	image := func(name string, files ...[]byte) *pb.ModelInferRequest {
		return &pb.ModelInferRequest{ModelName: name, Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{int64(len(files))}, Contents: &pb.InferTensorContents{BytesContents: files}}}}
	}
	check := func(what string, req *pb.ModelInferRequest, want connect.Code) {
		t.Helper()
		_, err := grpcCall[pb.ModelInferRequest, pb.ModelInferResponse](t.Context(), web.URL, grpcService+"ModelInfer", req)
		if got := connect.CodeOf(err); err == nil || got != want {
			t.Errorf("%s: %v (%v), must be %v", what, got, err, want)
		}
	}
	check("unknown model", image("x", file), connect.CodeNotFound)
	check("no model", image("", file), connect.CodeInvalidArgument)
	check("no picture", image("clothes", []byte("x")), connect.CodeInvalidArgument)
	check("nothing", &pb.ModelInferRequest{ModelName: "clothes"}, connect.CodeInvalidArgument)
	check("large", image("clothes", bytes.Repeat(file, 10000)), connect.CodeResourceExhausted)
	check("wrong shape", &pb.ModelInferRequest{ModelName: "clothes", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "input", Datatype: "FP32", Shape: []int64{1, 3, 31, 32}, Contents: &pb.InferTensorContents{Fp32Contents: make([]float32, 3*31*32)}}}}, connect.CodeInvalidArgument)
	timed := image("clothes", file)
	timed.Parameters = map[string]*pb.InferParameter{"timeout": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}}
	check("a microsecond", timed, connect.CodeDeadlineExceeded)
	in, err := s.hold("clothes", "")
	if err != nil {
		t.Fatal(err)
	}
	leave, err := in.admit(2)
	if err != nil {
		t.Fatal(err)
	}
	check("full", image("clothes", file), connect.CodeResourceExhausted)
	leave()
	in.drop()
	if _, err := grpcCall[pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse](t.Context(), web.URL, grpcService+"RepositoryModelLoad", &pb.RepositoryModelLoadRequest{ModelName: "clothes"}); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("loading is allowed: %v", err)
	}
	h, err := grpcCall[pb.HealthCheckRequest, pb.HealthCheckResponse](t.Context(), web.URL, "/grpc.health.v1.Health/Check", &pb.HealthCheckRequest{})
	if err != nil || h.Status != pb.HealthCheckResponse_SERVING {
		t.Errorf("%v: %v", h, err)
	}
	s.Drain()
	ready, err := grpcCall[pb.ServerReadyRequest, pb.ServerReadyResponse](t.Context(), web.URL, grpcService+"ServerReady", &pb.ServerReadyRequest{})
	if err != nil || ready.Ready {
		t.Errorf("ready while draining: %v", err)
	}
	if s.bodies.used != 0 {
		t.Errorf("%d bytes of bodies are not given back", s.bodies.used)
	}
}

// Wrong requests of the protocol over HTTP are answered with the error's place.
func TestErrorsOfInference(t *testing.T) {
	_, web := start(t, Options{})
	url := web.URL + "/v2/models/clothes/infer"
	for body, want := range map[string]string{
		`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}`:                                                                 `no input "x"; it has image, input`,
		`{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}`:                                                             "must be [n 3 32 32]",
		`{"inputs":[{"name":"input","datatype":"UINT8","shape":[0,3,32,32],"data":[]}]}`:                                                     "must be [n 3 32 32]",
		`{"inputs":[{"name":"image","datatype":"FP32","shape":[1],"data":[1]}]}`:                                                             "must be BYTES",
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[0],"data":[]}]}`:                                                             "no picture",
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1,1,1],"data":["x"]}]}`:                                                      "must be [n] or [n 1]",
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}],"outputs":[{"name":"y"}]}`:                                 `no output "y"`,
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]},{"name":"input","datatype":"FP32","shape":[0],"data":[]}]}`: "2 inputs",
		`{"parameters":{"timeout":"x"},"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}]}`:                             "timeout",
		`{"parameters":{"timeout":-1},"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}]}`:                              "timeout is -1",
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[33],"data":[` + strings.Repeat(`"x",`, 32) + `"x"]}]}`:                       "33 inputs, more than max_batch_size",
		`{"inputs":[{"name":"input","datatype":"FP32","shape":[9,3,32,32],"data":[` + strings.Repeat("0,", 9*3*32*32-1) + `0]}]}`:            "9 inputs, more than max_batch_size of the model clothes, which is 8",
		`{"inputs":[{"name":"input","datatype":"FLOAT","shape":[1],"data":[1]}]}`:                                                            `"FLOAT" is none of the protocol's; did you mean FP32?`,
		`{"inputs":[{"name":"image","datatype":"string","shape":[1],"data":["x"]}]}`:                                                         `did you mean BYTES?`,
		`{"inputs":[{"name":"image","datatype":"bytes","shape":[1],"data":["x"]}]}`:                                                          `did you mean BYTES?`,
		`{"inputs":[{"name":"image","datatype":"COMPLEX","shape":[1],"data":[1]}]}`:                                                          `such as FP32 or BYTES`,
		`{"inputs":[{"name":"image","shape":[1],"data":[1]}]}`:                                                                               `no datatype`,
		`{"inputs":[{"name":"input","datatype":"UINT8","shape":[1,3,32,32],"data":[` + strings.Repeat("0,", 3*32*32-1) + `0]}]}`:             `UINT8, must be FP32, FP16, BF16 or FP64; pictures go to the input "image"`,
	} {
		status := 400
		var got errorBody
		ask(t, "POST", url, "application/json", []byte(body), status, &got)
		if !strings.Contains(got.Error, want) {
			t.Errorf("%s\n\tgives %q, must name %q", body, got.Error, want)
		}
	}
	for _, o := range []string{`{"name":"embedding","parameters":{"classification":3}}`, `{"name":"logits","parameters":{"classification":-3}}`, `{"name":"logits","parameters":{"classification":"a"}}`, `{"name":"logits","parameters":{"binary_data":3}}`} {
		in := fmt.Sprintf(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":[%s0]}],"outputs":[%s]}`, strings.Repeat("0,", 3*32*32-1), o)
		ask(t, "POST", url, "application/json", []byte(in), 400, nil)
	}
	ask(t, "GET", url, "", nil, 405, nil)
	ask(t, "POST", url, "text/html", []byte("x"), 415, nil)
	ask(t, "POST", url, ";;", []byte("x"), 415, nil)
	ask(t, "GET", web.URL+"/v2/models/clothes/versions/7", "", nil, 404, nil)
	// Numbers that are not finite, which only binary data can have.
	text := `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,32,32],"parameters":{"binary_data_size":12288}}]}`
	raw := make([]byte, 12288)
	binary.LittleEndian.PutUint32(raw[400:], math.Float32bits(float32(math.NaN())))
	r, err := http.NewRequest("POST", url, bytes.NewReader(append([]byte(text), raw...)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(jsonSizeHeader, strconv.Itoa(len(text)))
	var got errorBody
	askWith(t, r, 400, &got)
	if !strings.Contains(got.Error, "element 100 is NaN") {
		t.Error(got.Error)
	}
}
