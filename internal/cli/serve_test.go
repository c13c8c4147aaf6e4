package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/modelfile"
)

// serving runs resnet serve and returns its address; the test's end is the signal that
// ends it.
func serving(t *testing.T, args ...string) (line servingLine, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	code := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		code <- run(ctx, slices.Concat([]string{"serve", "--json", "--http", "127.0.0.1:0", "--log", "none"}, args), nil, w, &errs)
		w.Close()
	}()
	text, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("serve %v printed nothing (code %d): %s", args, <-code, errs.String())
	}
	checkJSON(t, append([]string{"serve", "--json"}, args...), text)
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	stop = func() int {
		cancel()
		select {
		case c := <-code:
			code <- c
			return c
		case <-time.After(20 * time.Second):
			t.Fatal("the server did not end")
			return -1
		}
	}
	t.Cleanup(func() { stop() })
	return line, stop
}

func fetch(t *testing.T, url string, body []byte, out any) int {
	t.Helper()
	var r *http.Response
	var err error
	if body == nil {
		r, err = http.Get(url)
	} else {
		r, err = http.Post(url, "", bytes.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode
}

// The program serves the models of its flags, takes a new file of a model, and ends with
// code 0 when it is asked to.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	embedded, err := os.ReadFile(filepath.Join("..", "..", "embedded", "cifar10.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "best.safetensors")
	if err := os.WriteFile(file, embedded, 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "serve.yaml")
	if err := os.WriteFile(config, []byte("queue: 7\nwatch: 20ms\ncors: [https://a.example, https://b.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line, stop := serving(t, "--model", modelfile.EmbeddedName, "--model", file, "--model", "photos:3="+file, "--config", config)
	if len(line.Models) != 3 || line.Models[0].Name != "cifar10" || line.Models[1].Name != filepath.Base(dir) || line.Models[2] != (servedModel{"photos", "3"}) {
		t.Errorf("%+v", line)
	}
	picture := filepath.Join(dir, "a.png")
	writePicture(t, picture, 3)
	body, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	want := done(t, "predict", "--json", "--model", file, picture)
	var predicted predictionLine
	if err := json.Unmarshal([]byte(want), &predicted); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Results []predictionLine
		Version string
	}
	if code := fetch(t, line.URL+"/v1/classify?model=photos", body, &got); code != 200 || got.Version != "3" || got.Results[0].Predictions[0] != predicted.Predictions[0] {
		t.Errorf("%d: %+v, must be %+v", code, got, predicted)
	}
	// Another file, by a rename.
	if err := os.WriteFile(file+".new", embedded, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file+".new", time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	loads := regexp.MustCompile(`resnet_model_loads_total\{model="photos",result="loaded",version="3"\} 2`)
	for try := 0; ; try++ {
		r, err := http.Get(line.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if loads.Match(b) {
			break
		}
		if try > 200 {
			t.Fatal("the new file was not loaded")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code := stop(); code != exitDone {
		t.Errorf("the exit code is %d", code)
	}
}

// Names for the same file share a model, until the file is another one.
func TestServedModelsOfAFileAreOne(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "embedded", "cifar10.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.safetensors")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &serveCommand{app: &app{err: io.Discard}, modelFlags: modelFlags{batch: 1}}
	open := func(text string) *resnet.Model {
		src, err := c.source(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := src.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := open("a=" + file)
	if open("b:2="+file) != first || open("") == first {
		t.Error("the same file is open twice, or another model is taken for it")
	}
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if open("a="+file) == first {
		t.Error("a new file is not opened")
	}
}

func TestServeRefusesWrongFlags(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--queue is 0", []string{"--queue", "0"}},
		{"--delay is -1s", []string{"--delay", "-1s"}},
		{"--log is \"xml\"", []string{"--log", "xml"}},
		{"unexpected argument", []string{"photo.jpg"}},
		{"unknown model", []string{"--model", "resnet51"}},
		{"without weights", []string{"--model", "resnet50"}},
		{"twice", []string{"--model", "a=", "--model", "a="}},
		{"there is no key \"qeue\"", []string{"--config", path("a.yaml", "qeue: 5")}},
		{"queue", []string{"--config", path("b.yaml", "queue: many")}},
		{"must be a text", []string{"--config", path("c.yaml", "queue: {a: 1}")}},
		{"yaml", []string{"--config", path("d.yaml", "a: [")}},
		{"no such file", []string{"--config", filepath.Join(dir, "none")}},
		{"line 1 is not NAME", []string{"--api-keys", path("keys", "phone")}},
		{"did you mean :8080?", []string{"--http", "8080"}},
		{"must be an address with a port", []string{"--http", "localhost"}},
		{"must be an address with a port", []string{"--http", ":99999"}},
		{"neither https:// nor http://", []string{"--cors", "example.org"}},
		{"no slash at the end", []string{"--cors", "https://example.org/"}},
		{"both --tls-cert and --tls-key", []string{"--tls-cert", "x.pem"}},
		{"both --tls-cert and --tls-key", []string{"--tls-key", "x.pem"}},
		{"--tls-client-ca needs TLS", []string{"--tls-client-ca", "x.pem"}},
		{"must be a whole number of 1 or more", []string{"-m", "a:0="}},
		{"--queue is 0, must be 1 or more", []string{"--queue", "0"}},
		{"--batch is 0", []string{"--batch", "0"}},
		{"--max-body is 9999999, must be 1048576 or less", []string{"--max-body", "9999999"}},
		{"--batch is 70000, must be 65536", []string{"--batch", "70000"}},
		{"nonsense", []string{"--model", "nonsense"}},
		{"both --tls-cert and --tls-key", []string{"--tls-cert", path("cert", "x")}},
		{`"my photos" is not a name`, []string{"--model", "my photos=m.safetensors"}},
		{`"x:one" is not a name`, []string{"--model", "x:one=m.safetensors"}},
		{`"" is not a name`, []string{"--model", "=m.safetensors"}},
		{`"a/b" is not a name`, []string{"--model", "a/b=resnet18"}},
		{"--model photos=resnet51: unknown model", []string{"--model", "photos=resnet51"}},
	} {
		want := exitUsage
		if c.want == "no such file" || c.want == "line 1 is not NAME" {
			want = exitFailed // the flag is right, the file is not
		}
		code, out, errs := exec3(t, append([]string{"serve", "--http", "127.0.0.1:0", "--log", "none"}, c.args...)...)
		if code != want || !strings.Contains(errs, c.want) {
			t.Errorf("%v: code %d, %s%s, must be %d and name %q", c.args, code, out, errs, want, c.want)
		}
	}
}

// A port that is in use is found before models are opened, and unknown variables are
// named, but for those of Kubernetes.
func TestServeLooksBeforeItOpens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("RESNET_SERVE_QEUE", "5")
	t.Setenv("RESNET_SERVE_PORT_8080_TCP_ADDR", "10.0.0.1")
	t.Setenv("RESNET_SERVE_SERVICE_HOST", "10.0.0.1")
	code, out, errs := exec3(t, "serve", "--http", l.Addr().String(), "--model", filepath.Join(t.TempDir(), "none.safetensors"))
	if code != exitFailed || out != "" || !strings.Contains(errs, "--http: ") || !strings.Contains(errs, "address already in use") || strings.Contains(errs, "none.safetensors") {
		t.Errorf("code %d, %s%s", code, out, errs)
	}
	if !strings.Contains(errs, "RESNET_SERVE_QEUE belongs to no flag; did you mean RESNET_SERVE_QUEUE?") || strings.Contains(errs, "10.0.0.1") || strings.Contains(errs, "SERVICE") || strings.Contains(errs, "PORT_8080") {
		t.Error(errs)
	}
}

// exec3 runs a command line, and ends it after a while.
func exec3(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	code = run(ctx, args, nil, &o, &e)
	return code, o.String(), e.String()
}

// The page is at /, unless it is switched off.
func TestServePage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{{nil, "text/html; charset=utf-8"}, {[]string{"--page=false"}, "application/json"}} {
		line, stop := serving(t, c.args...)
		r, err := http.Get(line.URL)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if got := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || got != c.want {
			t.Errorf("serve %v: / has status %d and the type %q, must have %q", c.args, r.StatusCode, got, c.want)
		}
		stop()
	}
}

// Flags override variables, which override the file.
func TestFillFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("a: 1\nb: 2\nc: 3\nlist: [x, 4]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	a, b, c, d, e := f.Int("a", 0, ""), f.Int("b", 0, ""), f.Int("c", 0, ""), f.Int("d-e", 0, ""), f.Duration("e", 0, "")
	list, other := f.StringSlice("list", nil, ""), f.StringArray("other", nil, "")
	f.String("config", "", "")
	if err := f.Parse([]string{"--a", "9"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"P_A": "5", "P_B": "6", "P_D_E": "7", "P_E": "3s", "P_OTHER": "p,q", "P_CONFIG": file}
	if err := fillFlags(f, "", "P_", func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	if *a != 9 || *b != 6 || *c != 3 || *d != 7 || *e != 3*time.Second || strings.Join(*list, "|") != "x|4" || strings.Join(*other, "|") != "p|q" {
		t.Error(*a, *b, *c, *d, *e, *list, *other)
	}
	if err := fillFlags(f, "", "Q_", func(name string) (string, bool) { return "x", name == "Q_C" }); err == nil || !strings.Contains(err.Error(), "Q_C") {
		t.Errorf("a wrong variable gives %v", err)
	}
}

func TestServeKey(t *testing.T) {
	var k keyLine
	if err := json.Unmarshal([]byte(done(t, "serve", "key", "phone", "--json")), &k); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(k.Line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line, _ := serving(t, "--api-keys", keys)
	for key, want := range map[string]int{k.Key: 200, "x": 401} {
		r, err := http.NewRequest("GET", line.URL+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", key)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if a.StatusCode != want {
			t.Errorf("status %d, must be %d", a.StatusCode, want)
		}
	}
}

// The files in deploy have flags and keys that the program takes.
func TestDeployFilesFitTheProgram(t *testing.T) {
	deploy := filepath.Join("..", "..", "deploy")
	flags := func(args ...string) {
		t.Helper()
		cmd, rest, err := new(app).root().Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil || cmd.Name() != "serve" {
			t.Errorf("%v: %v", args, err)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(deploy, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	cmd, _, err := new(app).root().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := fillFlags(cmd.Flags(), filepath.Join(deploy, "serve.yaml"), "RESNET_SERVE_", func(string) (string, bool) { return "", false }); err != nil {
		t.Error(err)
	}
	docker := read("Dockerfile")
	var args []string
	if m := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(docker); m == nil {
		t.Error("the Dockerfile has no CMD")
	} else if err := json.Unmarshal([]byte(m[1]), &args); err != nil {
		t.Error(err)
	}
	flags(args...)
	for _, want := range []string{"FROM scratch", "CGO_ENABLED=0", "USER 65532", "STOPSIGNAL SIGTERM"} {
		if !strings.Contains(docker, want) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read("kubernetes.yaml")))
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Args           []string
						ReadinessProbe struct {
							HTTPGet struct{ Path string } `yaml:"httpGet"`
						} `yaml:"readinessProbe"`
						SecurityContext struct {
							ReadOnly bool `yaml:"readOnlyRootFilesystem"`
						} `yaml:"securityContext"`
					}
				}
			}
		}
	}
	if err := decoder.Decode(&deployment); err != nil {
		t.Fatal(err)
	}
	c := deployment.Spec.Template.Spec.Containers[0]
	flags(c.Args...)
	if c.ReadinessProbe.HTTPGet.Path != "/v2/health/ready" || !c.SecurityContext.ReadOnly || deployment.Spec.Template.Spec.Grace < 41 {
		t.Errorf("%+v", deployment)
	}
	unit := read("resnet.service")
	m := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/resnet (.*)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no ExecStart")
	}
	flags(strings.Fields(m[1])...)
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		copied := filepath.Join(t.TempDir(), "resnet.service")
		if err := os.WriteFile(copied, []byte(strings.Replace(unit, "ExecStart=/usr/local/bin/resnet", "ExecStart="+os.Args[0], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", copied).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze: %v\n%s", err, out)
		}
	} else {
		t.Log("the unit is not checked by systemd-analyze, which is not installed")
	}
}
