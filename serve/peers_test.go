package serve

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/peer"
)

// runPeer runs Python in a folder; "" is this one.
func runPeer(t *testing.T, dir, python string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// NVIDIA's client for Triton calls everything that it can over HTTP and gRPC, and its
// descriptors of messages have the names and numbers that ours have.
func TestTritonClient(t *testing.T) {
	python := peer.Python(t, "tritonclient", "geventhttpclient", "grpc", "ml_dtypes")
	src := Source{Name: "clothes", Open: func(context.Context) (*resnet.Model, error) { return resnet.Open("", resnet.Options{Batch: 8}) }}
	_, web := start(t, Options{Models: []Source{src, Of("finder", detector(t)), Of("cutter", segmenter(t))}, Control: true})
	picture := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(picture, picturePNG(t, 2, 40, 30), 0o600); err != nil {
		t.Fatal(err)
	}
	out := runPeer(t, "", python, filepath.Join("testdata", "triton_client.py"), strings.TrimPrefix(web.URL, "http://"), picture, filepath.Join("internal", "oippb", "oip.proto"))
	if !strings.HasSuffix(strings.TrimSpace(out), "all right") {
		t.Errorf("%s", out)
	}
	t.Log(out)
}

// Schemathesis makes requests from the OpenAPI document, right and wrong ones, and
// compares the answers with it.
func TestSchemathesis(t *testing.T) {
	python := peer.Python(t, "schemathesis")
	_, web := start(t, Options{})
	examples := "10"
	if nightly() {
		examples = "200"
	}
	// It keeps notes in the folder where it runs.
	out := runPeer(t, t.TempDir(), python, "-m", "schemathesis.cli", "run", "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance", "--max-examples", examples, "--seed", "1", "--no-color", web.URL+"/openapi.json")
	t.Log(out[max(len(out)-3000, 0):])
}
