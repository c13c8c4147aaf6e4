package serve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/resnet-go/resnet/serve/internal/oip"
	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// grpcService is the name of the protocol's service, by which clients call it.
const grpcService = "/inference.GRPCInferenceService/"

// grpcStreamCall is the call that takes a stream of requests.
const grpcStreamCall = "ModelStreamInfer"

// calls are those of gRPC that were added to mux.
type calls struct {
	s    *Server
	mux  *http.ServeMux
	list []rpc
}

// unary adds a call of the protocol.
func unary[Req, Res any](c *calls, procedure string, f func(ctx context.Context, req *Req) (*Res, error)) {
	s, mux := c.s, c.mux
	c.list = append(c.list, newRPC(procedure, any(new(Req)).(proto.Message), any(new(Res)).(proto.Message)))
	mux.Handle(procedure, s.limitBody(connect.NewUnaryHandler(procedure, func(ctx context.Context, r *connect.Request[Req]) (*connect.Response[Res], error) {
		out, err := f(ctx, r.Msg)
		if err != nil {
			return nil, asConnect(err)
		}
		return connect.NewResponse(out), nil
	}, s.grpcOptions()...)))
}

func (s *Server) grpcOptions() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(int(min(s.opt.MaxBody, math.MaxInt32))),
		connect.WithCompressMinBytes(minCompressed),
	}
}

// limitBody counts the bodies of gRPC among those of all requests.
func (s *Server) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := &countedBody{ReadCloser: r.Body, s: s}
		defer b.free()
		r.Body = b
		next.ServeHTTP(w, r)
	})
}

// countedBody takes memory for what is read.
type countedBody struct {
	io.ReadCloser
	s    *Server
	used int64
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.s.bodies.take(int64(n)) {
		return 0, connect.NewError(connect.CodeResourceExhausted, errors.New("the bodies of the requests in progress fill the memory for them: try again later"))
	}
	b.used += int64(n)
	b.s.metrics.bodies.Add(float64(n))
	return n, err
}

// free gives back what was taken.
func (b *countedBody) free() {
	b.s.bodies.give(b.used)
	b.s.metrics.bodies.Sub(float64(b.used))
	b.used = 0
}

func (s *Server) mountGRPC(mux *http.ServeMux) error {
	c := &calls{s: s, mux: mux}
	unary(c, grpcService+"ServerLive", func(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
		return &pb.ServerLiveResponse{Live: true}, nil
	})
	unary(c, grpcService+"ServerReady", func(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
		return &pb.ServerReadyResponse{Ready: s.Ready()}, nil
	})
	unary(c, grpcService+"ModelReady", func(_ context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
		_, in, err := s.find(r.Name, r.Version)
		if err != nil {
			return nil, err
		}
		return &pb.ModelReadyResponse{Ready: in != nil}, nil
	})
	unary(c, grpcService+"ServerMetadata", func(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
		m := s.metadata()
		return &pb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
	})
	unary(c, grpcService+"ModelMetadata", s.grpcMetadata)
	unary(c, grpcService+"ModelConfig", s.grpcConfig)
	unary(c, grpcService+"ModelStatistics", s.grpcStatistics)
	unary(c, grpcService+"ModelInfer", s.grpcInfer)
	unary(c, grpcService+"RepositoryIndex", func(_ context.Context, r *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
		out := &pb.RepositoryIndexResponse{}
		for _, m := range s.index(r.Ready) {
			out.Models = append(out.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: m.State, Reason: m.Reason})
		}
		return out, nil
	})
	unary(c, grpcService+"RepositoryModelLoad", func(ctx context.Context, r *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
		if err := s.loadModel(ctx, r.ModelName, len(r.Parameters) > 0); err != nil {
			return nil, err
		}
		return &pb.RepositoryModelLoadResponse{}, nil
	})
	unary(c, grpcService+"RepositoryModelUnload", func(_ context.Context, r *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
		if err := s.unloadModel(r.ModelName); err != nil {
			return nil, err
		}
		return &pb.RepositoryModelUnloadResponse{}, nil
	})
	unary(c, "/grpc.health.v1.Health/Check", func(_ context.Context, r *pb.HealthCheckRequest) (*pb.HealthCheckResponse, error) {
		if r.Service != "" && r.Service != "inference.GRPCInferenceService" {
			return nil, errorf(http.StatusNotFound, "there is no service %.200q", r.Service)
		}
		if s.Ready() {
			return &pb.HealthCheckResponse{Status: pb.HealthCheckResponse_SERVING}, nil
		}
		return &pb.HealthCheckResponse{Status: pb.HealthCheckResponse_NOT_SERVING}, nil
	})
	stream := grpcService + grpcStreamCall
	mux.Handle(stream, s.limitBody(connect.NewBidiStreamHandler(stream, s.grpcStream, s.grpcOptions()...)))
	infer := newRPC(stream, new(pb.ModelInferRequest), new(pb.ModelStreamInferResponse))
	infer.streams = true
	return s.mountReflection(mux, append(c.list, infer))
}

// grpcStream answers the requests of a stream one after the other. An error of one of
// them is its answer; the stream goes on.
func (s *Server) grpcStream(ctx context.Context, stream *connect.BidiStream[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := s.grpcInferInTime(ctx, req)
		out := &pb.ModelStreamInferResponse{InferResponse: answer}
		if err != nil {
			out = &pb.ModelStreamInferResponse{ErrorMessage: asAPI(err).text, InferResponse: &pb.ModelInferResponse{Id: req.Id}}
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

// grpcInferInTime is grpcInfer with the deadline of a request.
func (s *Server) grpcInferInTime(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	return s.grpcInfer(ctx, r)
}

func (s *Server) grpcMetadata(_ context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	m, err := s.modelMetadata(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	list := func(ts []tensorMetadata) (out []*pb.ModelMetadataResponse_TensorMetadata) {
		for _, t := range ts {
			out = append(out, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: string(t.DataType), Shape: t.Shape})
		}
		return out
	}
	return &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform, Inputs: list(m.Inputs), Outputs: list(m.Outputs)}, nil
}

func (s *Server) grpcConfig(_ context.Context, r *pb.ModelConfigRequest) (*pb.ModelConfigResponse, error) {
	c, err := s.config(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	out := &pb.ModelConfig{Name: c.Name, Platform: c.Platform, Backend: c.Backend, MaxBatchSize: int32(c.MaxBatch)}
	for _, p := range c.Input {
		out.Input = append(out.Input, &pb.ModelInput{Name: p.Name, DataType: pb.DataType(pb.DataType_value[p.DataType]), Dims: p.Dims, Optional: p.Optional})
	}
	for _, p := range c.Output {
		out.Output = append(out.Output, &pb.ModelOutput{Name: p.Name, DataType: pb.DataType(pb.DataType_value[p.DataType]), Dims: p.Dims})
	}
	if b := c.Batching; b != nil {
		out.DynamicBatching = &pb.ModelDynamicBatching{MaxQueueDelayMicroseconds: uint64(b.Delay), PriorityLevels: uint64(b.Levels), DefaultPriorityLevel: uint64(b.Default)}
		for _, n := range b.Preferred {
			out.DynamicBatching.PreferredBatchSize = append(out.DynamicBatching.PreferredBatchSize, int32(n))
		}
	}
	return &pb.ModelConfigResponse{Config: out}, nil
}

func (s *Server) grpcStatistics(_ context.Context, r *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse, error) {
	all, err := s.statisticsOf(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	of := func(t tally) *pb.StatisticDuration { return &pb.StatisticDuration{Count: t.Count, Ns: t.Nanos} }
	out := &pb.ModelStatisticsResponse{}
	for _, m := range all.Models {
		st := m.Stats
		to := &pb.ModelStatistics{Name: m.Name, Version: m.Version, LastInference: uint64(m.Last), InferenceCount: m.Inferences, ExecutionCount: m.Executions,
			InferenceStats: &pb.InferStatistics{Success: of(st.Success), Fail: of(st.Fail), Queue: of(st.Queue), ComputeInput: of(st.Input), ComputeInfer: of(st.Compute), ComputeOutput: of(st.Output)}}
		for _, b := range m.Batches {
			to.BatchStats = append(to.BatchStats, &pb.InferBatchStatistics{BatchSize: uint64(b.Size), ComputeInput: of(b.Input), ComputeInfer: of(b.Compute), ComputeOutput: of(b.Output)})
		}
		out.ModelStats = append(out.ModelStats, to)
	}
	return out, nil
}

func (s *Server) grpcInfer(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	req, err := requestOf(r)
	if err != nil {
		return nil, badRequest(err)
	}
	answer, err := s.infer(ctx, r.ModelName, r.ModelVersion, req)
	if err != nil {
		return nil, err
	}
	out := &pb.ModelInferResponse{ModelName: answer.Model, ModelVersion: answer.Version, Id: answer.ID}
	for i := range answer.Outputs {
		t := &answer.Outputs[i]
		out.Outputs = append(out.Outputs, &pb.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: string(t.Type), Shape: t.Shape})
		// Clients read numbers from here only.
		out.RawOutputContents = append(out.RawOutputContents, t.AppendRaw(nil))
	}
	return out, nil
}

// requestOf returns a request of gRPC in the form that HTTP's have, too.
func requestOf(r *pb.ModelInferRequest) (*oip.Request, error) {
	req := &oip.Request{ID: r.Id, Params: paramsOf(r.Parameters)}
	if r.ModelName == "" {
		return nil, errors.New("model_name is empty")
	}
	if n := len(r.RawInputContents); n > 0 && n != len(r.Inputs) {
		return nil, fmt.Errorf("there are %d raw_input_contents for %d inputs, must be one for each", n, len(r.Inputs))
	}
	for i, in := range r.Inputs {
		t := oip.Tensor{Name: in.Name, Type: oip.DataType(in.Datatype), Shape: in.Shape, Params: paramsOf(in.Parameters)}
		var err error
		switch {
		case len(r.RawInputContents) > 0 && in.Contents != nil:
			return nil, fmt.Errorf("input %q has contents beside raw_input_contents: leave out one", in.Name)
		case len(r.RawInputContents) > 0:
			err = t.SetRaw(r.RawInputContents[i])
		default:
			err = setContents(&t, in.Contents)
		}
		if err != nil {
			return nil, err
		}
		req.Inputs = append(req.Inputs, t)
	}
	for _, o := range r.Outputs {
		req.Outputs = append(req.Outputs, oip.Output{Name: o.Name, Params: paramsOf(o.Parameters)})
	}
	return req, nil
}

func paramsOf(m map[string]*pb.InferParameter) oip.Params {
	out := oip.Params{}
	for name, p := range m {
		switch v := p.GetParameterChoice().(type) {
		case *pb.InferParameter_BoolParam:
			out[name] = v.BoolParam
		case *pb.InferParameter_Int64Param:
			out[name] = v.Int64Param
		case *pb.InferParameter_StringParam:
			out[name] = v.StringParam
		case *pb.InferParameter_DoubleParam:
			out[name] = v.DoubleParam
		case *pb.InferParameter_Uint64Param:
			out[name] = v.Uint64Param
		}
	}
	return out
}

// setContents gives a tensor the elements of the field for its type.
func setContents(t *oip.Tensor, c *pb.InferTensorContents) error {
	var raw []byte
	switch t.Type {
	case oip.Bytes:
		return t.SetElements(c.GetBytesContents())
	case oip.Float32:
		for _, v := range c.GetFp32Contents() {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	case oip.Float64:
		for _, v := range c.GetFp64Contents() {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
	case oip.Float16, oip.BFloat:
		return fmt.Errorf("input %q: %s has no form but raw_input_contents", t.Name, t.Type)
	default: // whole numbers, which no model takes
		if t.Type.Size() < 0 {
			return t.SetRaw(nil) // which has the error for unknown types
		}
		return fmt.Errorf("input %q is %s, must be BYTES, FP32, FP16, BF16 or FP64", t.Name, t.Type)
	}
	return t.SetRaw(raw)
}
