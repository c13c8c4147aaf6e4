package serve

import (
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// rpc is a call that the server answers over gRPC.
type rpc struct {
	service, name     string               // such as inference.GRPCInferenceService and ModelInfer
	request, response protoreflect.Message // empty ones
	streams           bool
}

// newRPC returns the call of a procedure, such as
// /inference.GRPCInferenceService/ModelInfer.
func newRPC(procedure string, request, response proto.Message) rpc {
	service, name, _ := strings.Cut(strings.TrimPrefix(procedure, "/"), "/")
	return rpc{service, name, request.ProtoReflect(), response.ProtoReflect(), false}
}

// descriptors returns the services of gRPC as the protocol's own files describe them. The
// generated code has another package, see oip.proto, so its messages get the protocol's
// names here, in a registry of their own.
func descriptors(calls []rpc) (*protoregistry.Files, error) {
	all := protodesc.ToFileDescriptorProto(pb.File_oip_proto)
	renamed := func(to string) *descriptorpb.FileDescriptorProto {
		f := proto.CloneOf(all)
		f.Package, f.Options = proto.String(to), nil
		eachType(f.MessageType, func(field *descriptorpb.FieldDescriptorProto) {
			if field.TypeName != nil {
				field.TypeName = proto.String(strings.Replace(*field.TypeName, "."+all.GetPackage()+".", "."+to+".", 1))
			}
		})
		return f
	}
	inference, health := renamed("inference"), renamed("grpc.health.v1")
	inference.Name, health.Name = proto.String("grpc_service.proto"), proto.String("grpc/health/v1/health.proto")
	health.EnumType = nil
	isHealth := func(m *descriptorpb.DescriptorProto) bool { return strings.HasPrefix(m.GetName(), "HealthCheck") }
	health.MessageType = keep(health.MessageType, isHealth)
	inference.MessageType = keep(inference.MessageType, func(m *descriptorpb.DescriptorProto) bool { return !isHealth(m) })
	out := new(protoregistry.Files)
	for _, f := range []*descriptorpb.FileDescriptorProto{inference, health} {
		services := map[string]*descriptorpb.ServiceDescriptorProto{}
		for _, c := range calls {
			name, ours := strings.CutPrefix(c.service, f.GetPackage()+".")
			if !ours {
				continue
			}
			if services[name] == nil {
				services[name] = &descriptorpb.ServiceDescriptorProto{Name: proto.String(name)}
				f.Service = append(f.Service, services[name])
			}
			of := func(m protoreflect.Message) *string {
				return proto.String("." + f.GetPackage() + "." + string(m.Descriptor().Name()))
			}
			services[name].Method = append(services[name].Method, &descriptorpb.MethodDescriptorProto{
				Name: proto.String(c.name), InputType: of(c.request), OutputType: of(c.response), ClientStreaming: proto.Bool(c.streams), ServerStreaming: proto.Bool(c.streams),
			})
		}
		file, err := protodesc.NewFile(f, out)
		if err == nil {
			err = out.RegisterFile(file)
		}
		if err != nil {
			return nil, fmt.Errorf("serve: the descriptors of gRPC: %w", err)
		}
	}
	return out, nil
}

// eachType calls f for the fields of messages, those within others too.
func eachType(messages []*descriptorpb.DescriptorProto, f func(*descriptorpb.FieldDescriptorProto)) {
	for _, m := range messages {
		for _, field := range m.Field {
			f(field)
		}
		eachType(m.NestedType, f)
	}
}

func keep(messages []*descriptorpb.DescriptorProto, which func(*descriptorpb.DescriptorProto) bool) (out []*descriptorpb.DescriptorProto) {
	for _, m := range messages {
		if which(m) {
			out = append(out, m)
		}
	}
	return out
}

// mountReflection lets clients such as grpcurl ask what services there are.
func (s *Server) mountReflection(mux *http.ServeMux, calls []rpc) error {
	files, err := descriptors(calls)
	if err != nil {
		return err
	}
	var names []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	r := grpcreflect.NewReflector(grpcreflect.NamerFunc(func() []string { return names }), grpcreflect.WithDescriptorResolver(files), grpcreflect.WithExtensionResolver(new(protoregistry.Types)))
	mux.Handle(grpcreflect.NewHandlerV1(r, s.grpcOptions()...))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(r, s.grpcOptions()...))
	return nil
}
