package serve

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	pb "github.com/resnet-go/resnet/serve/internal/oippb"
)

// A client that knows nothing but the address asks for the services and their messages,
// under the protocol's names, and makes a request by them.
func TestReflection(t *testing.T) {
	_, web := start(t, Options{})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	stream := grpcreflect.NewClient(&http.Client{Transport: transport}, web.URL).NewStream(t.Context())
	defer stream.Close()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if !slices.Equal(names, []protoreflect.FullName{"grpc.health.v1.Health", "inference.GRPCInferenceService"}) {
		t.Errorf("the services are %v", names)
	}
	files := new(protoregistry.Files)
	for _, name := range names {
		list, err := stream.FileContainingSymbol(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			f, err := protodesc.NewFile(d, files)
			if err != nil {
				t.Fatal(err)
			}
			if err := files.RegisterFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	find := func(name protoreflect.FullName) protoreflect.Descriptor {
		t.Helper()
		d, err := files.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	service := find("inference.GRPCInferenceService").(protoreflect.ServiceDescriptor)
	if n := service.Methods().Len(); n != 12 {
		t.Errorf("there are %d calls", n)
	}
	if m := service.Methods().ByName("ModelStreamInfer"); m == nil || !m.IsStreamingClient() || !m.IsStreamingServer() || m.Input().FullName() != "inference.ModelInferRequest" || m.Output().FullName() != "inference.ModelStreamInferResponse" {
		t.Errorf("the stream is %v", m)
	}
	if e := find("grpc.health.v1.HealthCheckResponse.ServingStatus").(protoreflect.EnumDescriptor); e.Values().ByName("SERVING").Number() != 1 {
		t.Error("health has another status")
	}
	find("inference.ModelInferRequest.ParametersEntry")
	// A message that was made by the descriptor is what the generated code reads.
	m := dynamicpb.NewMessage(service.Methods().ByName("ModelReady").Input())
	m.Set(m.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString("clothes"))
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	req := new(pb.ModelReadyRequest)
	if err := proto.Unmarshal(b, req); err != nil {
		t.Fatal(err)
	}
	if a, err := grpcCall[pb.ModelReadyRequest, pb.ModelReadyResponse](context.Background(), web.URL, grpcService+"ModelReady", req); err != nil || !a.Ready {
		t.Errorf("%v, %v", a, err)
	}
	// Nothing of the protocol's names is in the registry of the program, which a client
	// in it may fill.
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName("inference.ModelInferRequest"); err == nil {
		t.Errorf("the registry has %s", d.FullName())
	}
}
