package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/serve"
	"github.com/resnet-go/resnet/serve/page"
)

type serveCommand struct {
	*app
	modelFlags
	models      []string
	config      string
	watch       time.Duration
	keysFile    string
	maxBody     int
	page        bool
	log         string
	serveOption serve.Options
	listen      serve.ListenOptions
	opened      openModels
}

// openModels are the models that are open, so that those of the same file, under several
// names or versions, are in memory once.
type openModels struct {
	mu    sync.Mutex
	byKey map[string]weak.Pointer[resnet.Model]
}

// open returns the model of a key, and opens it if nobody has it.
func (o *openModels) open(key string, open func() (*resnet.Model, error)) (*resnet.Model, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m := o.byKey[key].Value(); m != nil {
		return m, nil
	}
	m, err := open()
	if err != nil {
		return nil, err
	}
	if o.byKey == nil {
		o.byKey = map[string]weak.Pointer[resnet.Model]{}
	}
	maps.DeleteFunc(o.byKey, func(_ string, p weak.Pointer[resnet.Model]) bool { return p.Value() == nil })
	o.byKey[key] = weak.Make(m)
	return m, nil
}

func (a *app) serveCommand() *cobra.Command {
	c := &serveCommand{app: a}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests over HTTP and gRPC",
		Long: `serve classifies, embeds, detects and segments pictures for clients: over plain HTTP
at /v1, and by the Open Inference Protocol (version 2) of KServe and Triton at /v2 and
over gRPC on the same port. A web page at / tries the models in a browser.
docs/serve.md describes all of it.

Each --model is a model as in other commands, or NAME=MODEL, or NAME:VERSION=MODEL:
what clients call it. Without --model, the model inside the program is served.

Requests wait in a bounded queue for each model, and what waits is computed together,
up to --batch pictures. A full queue rejects with status 429.

Every flag can also be set in a YAML file (--config), by its name without the dashes,
or by an environment variable: RESNET_SERVE_MAX_BODY is --max-body, with lists
separated by commas. Flags override variables, which override the file. Variables of
that form that belong to no flag are named on stderr.

Spans of traces are exported by OTLP over HTTP if OTEL_EXPORTER_OTLP_ENDPOINT is set.

SIGTERM and Ctrl-C end the server when the requests in progress are answered; a second
signal ends it at once.`,
		Example: `  resnet serve                                        # the model inside the program, at port 8080
  curl --data-binary @photo.jpg localhost:8080/v1/classify
  resnet serve --http 127.0.0.1:9000 --model photos=runs/photos/best.safetensors --watch 5s
  resnet serve -m resnet50:1=resnet50@v1.pth -m resnet50:2=resnet50@v2.pth --control
  resnet serve --model photos=runs/photos/best.safetensors --drift
  resnet serve --config serve.yaml --api-keys keys.txt --tls-cert cert.pem --tls-key key.pem`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd) },
	}
	c.addChoices(cmd, 8)
	c.addOrientation(cmd)
	f, o, l := cmd.Flags(), &c.serveOption, &c.listen
	f.StringArrayVarP(&c.models, "model", "m", nil, "model, NAME=MODEL or NAME:VERSION=MODEL; may be repeated (default: the model inside the program)")
	f.StringVar(&l.Address, "http", ":8080", "address for HTTP and gRPC; :0 takes a free port")
	f.StringVar(&c.config, "config", "", "YAML file with values of flags")
	f.DurationVar(&o.MaxDelay, "delay", 0, "how long a batch that is not full waits for more pictures")
	f.IntVar(&o.MaxQueue, "queue", 256, "pictures in progress for each model; more are rejected with status 429")
	f.BoolVar(&o.SameBits, "same-bits", true, "the answer to a picture has the same bits whatever is computed together with it; --same-bits=false may be faster in batches, and differs in the last digits")
	f.IntVar(&o.Decoders, "decoders", 0, "pictures that are decoded at once; 0 means one for every second CPU")
	f.IntVar(&o.MaxPixels, "max-pixels", 50_000_000, "largest picture, width times height")
	f.IntVar(&o.MaxPictures, "max-pictures", 32, "pictures in a request")
	f.IntVar(&c.maxBody, "max-body", 64, "largest body of a request, in MiB")
	f.DurationVar(&o.BodyTimeout, "body-timeout", 30*time.Second, "how long a body may take to arrive")
	f.DurationVar(&l.HeaderTimeout, "header-timeout", 10*time.Second, "how long the headers of a request may take to arrive")
	f.DurationVar(&o.Timeout, "timeout", time.Minute, "deadline of a request that has none of its own")
	f.IntVar(&l.MaxConnections, "max-connections", 1024, "connections at once; more wait")
	f.DurationVar(&c.watch, "watch", 0, "look this often whether models' files have changed, and load those that have; 0 means never")
	f.BoolVar(&c.page, "page", true, "show a web page at / to try the models; --page=false answers / with a list of what there is")
	f.BoolVar(&o.Control, "control", false, "let clients load and unload models (the protocol's repository calls)")
	f.BoolVar(&o.Profiling, "pprof", false, "serve Go's profiles at /debug/pprof/")
	f.BoolVar(&o.Drift, "drift", false, "compare classifiers' answers with the reference in their files (train --reference, eval --reference), as the metrics resnet_drift_*")
	f.StringVar(&c.keysFile, "api-keys", "", "file of API keys, a line of resnet serve key for each; clients must show one. A new file is used without a restart")
	f.StringSliceVar(&o.Origins, "cors", nil, "web sites whose pages may call the server, such as https://example.org; * for all")
	f.StringVar(&l.Certificate, "tls-cert", "", "PEM file of the certificate, for TLS")
	f.StringVar(&l.Key, "tls-key", "", "PEM file of the certificate's key")
	f.StringVar(&l.ClientCA, "tls-client-ca", "", "PEM file of the authorities of clients' certificates, which they must show then (mutual TLS)")
	f.DurationVar(&l.Drain, "drain", 0, "how long requests are still taken after SIGTERM, while /v2/health/ready is 503")
	f.DurationVar(&l.Grace, "grace", 30*time.Second, "how long requests in progress may take after that")
	f.StringVar(&c.log, "log", "text", "form of the log on stderr: text, json, or none")
	f.BoolVar(&o.LogRequests, "log-requests", false, "log every request, not only those that fail")
	completeWith(cmd, "log", []string{"text", "json", "none"})
	cmd.AddCommand(a.serveKeyCommand())
	return cmd
}

func (c *serveCommand) run(cmd *cobra.Command) error {
	if err := fillFlags(cmd.Flags(), c.config, "RESNET_SERVE_", os.LookupEnv); err != nil {
		return err
	}
	o := &c.serveOption
	for _, v := range []struct {
		flag  string
		value int64
		least int64
		most  int64 // as serve.Options has it, where checkValue allows more; 0: it does not
	}{
		{"delay", int64(o.MaxDelay), 0, 0}, {"queue", int64(o.MaxQueue), 1, 0}, {"decoders", int64(o.Decoders), 0, 0},
		{"max-pixels", int64(o.MaxPixels), 1, 0}, {"max-pictures", int64(o.MaxPictures), 1, 0}, {"max-body", int64(c.maxBody), 1, 1 << 20},
		{"max-connections", int64(c.listen.MaxConnections), 1, 0}, {"watch", int64(c.watch), 0, 0}, {"drain", int64(c.listen.Drain), 0, 0},
		{"timeout", int64(o.Timeout), 1, 0}, {"body-timeout", int64(o.BodyTimeout), 1, 0}, {"header-timeout", int64(c.listen.HeaderTimeout), 1, 0},
		{"grace", int64(c.listen.Grace), 1, 0}, {"batch", int64(c.batch), 1, 1 << 16},
	} {
		if v.value < v.least {
			return usagef("--%s is %s, must be %d or more", v.flag, cmd.Flag(v.flag).Value, v.least)
		}
		if v.most > 0 && v.value > v.most {
			return usagef("--%s is %s, must be %d or less", v.flag, cmd.Flag(v.flag).Value, v.most)
		}
	}
	if err := c.checkListen(); err != nil {
		return err
	}
	for _, name := range unknownVariables(cmd.Flags(), "RESNET_SERVE_", os.Environ()) {
		c.note("the environment variable %s", name)
	}
	o.MaxBatch, o.MaxBody, o.Build = c.batch, int64(c.maxBody)<<20, version().Version
	if c.page {
		o.Page = page.Handler()
	}
	if err := c.logger(); err != nil {
		return err
	}
	var err error
	if o.Traces, err = serve.TraceExportFromEnv(os.LookupEnv, o.Build); err != nil {
		return usageError{err}
	}
	if c.keysFile != "" {
		if o.Keys, err = serve.OpenKeys(c.keysFile); err != nil {
			return fmt.Errorf("--api-keys: %w", err)
		}
	}
	if len(c.models) == 0 {
		c.models = []string{""}
	}
	for _, text := range c.models {
		src, err := c.source(text)
		if err != nil {
			return err
		}
		o.Models = append(o.Models, src)
	}
	o.OpenLater = true // an address in use is told first, and clients get an answer meanwhile
	s, err := serve.New(cmd.Context(), *o)
	if errors.Is(err, serve.ErrOptions) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if c.watch > 0 {
		go s.Watch(cmd.Context(), c.watch)
	}
	var at net.Addr
	began := time.Now()
	c.listen.Listening = func(a net.Addr) {
		at = a
		saving.Store(true) // the requests in progress are answered after a signal
	}
	defer saving.Store(false)
	c.listen.Opened = func() { c.announce(at, time.Since(began), s.PictureCall()) }
	err = s.ListenAndServe(cmd.Context(), c.listen)
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "listen" {
		return fmt.Errorf("--http: %w", op)
	}
	return err
}

// checkListen returns an error for flags about connections that make no sense, before
// models are opened for nothing.
func (c *serveCommand) checkListen() error {
	l := &c.listen
	_, port, err := net.SplitHostPort(l.Address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		hint := ""
		if n, err := strconv.Atoi(l.Address); err == nil && n >= 0 {
			hint = fmt.Sprintf("; did you mean :%d?", n)
		}
		return usagef("--http is %q, must be an address with a port, such as :8080 or 127.0.0.1:8080%s", l.Address, hint)
	}
	switch {
	case l.Certificate == "" && l.Key != "", l.Certificate != "" && l.Key == "":
		return usagef("TLS needs both --tls-cert and --tls-key")
	case l.Certificate == "" && l.ClientCA != "":
		return usagef("--tls-client-ca needs TLS: set --tls-cert and --tls-key, too")
	}
	return nil
}

// servingLine is printed when the models are open.
type servingLine struct {
	Address string        `json:"address"` // at which it listens
	URL     string        `json:"url"`     // of this machine
	Models  []servedModel `json:"models"`
	Seconds float64       `json:"seconds"` // that opening the models took
}

type servedModel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// announce prints where the server is; call is the one to try it by.
func (c *serveCommand) announce(at net.Addr, took time.Duration, call string) {
	line := servingLine{Address: at.String(), URL: c.url(at), Seconds: took.Seconds()}
	var names []string
	for _, src := range c.serveOption.Models {
		line.Models = append(line.Models, servedModel{src.Name, src.Version})
		names = append(names, src.Name)
	}
	if c.json {
		c.printJSONLine(line)
		return
	}
	c.printf("serving %s at %s (models opened in %.2f s)\n", strings.Join(names, ", "), line.URL, line.Seconds)
	if call != "" {
		c.note("try: curl --data-binary @photo.jpg %s%s", line.URL, call)
	}
	if c.page {
		c.note("or open %s in a browser", line.URL)
	}
}

// url returns an address of the server for this machine.
func (c *serveCommand) url(at net.Addr) string {
	scheme := "http"
	if c.listen.Certificate != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c *serveCommand) logger() error {
	var h slog.Handler
	switch c.log {
	case "text":
		h = slog.NewTextHandler(c.err, nil)
	case "json":
		h = slog.NewJSONHandler(c.err, nil)
	case "none":
		h = slog.DiscardHandler
	default:
		return usagef("--log is %q, must be text, json or none", c.log)
	}
	if c.quiet && c.log == "text" {
		h = slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn})
	}
	c.serveOption.Log = slog.New(h)
	return nil
}

var nameOfModel = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]+))?$`)

// isModel reports whether a --model with an equals sign is a model without a name for
// clients: a file, NAME@FILE or an address.
func isModel(text string) bool {
	_, file, _ := strings.Cut(text, "@")
	return exists(text) || isAddress(text) || file != "" && exists(file)
}

// source makes a --model one of the server's.
func (c *serveCommand) source(text string) (serve.Source, error) {
	name, number, model := "", "1", text
	if before, after, ok := strings.Cut(text, "="); ok && !isModel(text) {
		m := nameOfModel.FindStringSubmatch(before)
		if m == nil {
			return serve.Source{}, usagef("--model %s: %q is not a name that clients can call a model: NAME=MODEL or NAME:VERSION=MODEL has letters, digits, dots, hyphens and underscores in NAME, the first a letter or a digit, and a whole number in VERSION", text, before)
		}
		if name, model = m[1], after; m[2] != "" {
			number = m[2]
		}
	}
	ref, err := parseModel(model)
	if err != nil {
		return serve.Source{}, fmt.Errorf("--model %s: %w", text, err)
	}
	if name == "" {
		name = servedName(ref)
	}
	flags := c.modelFlags
	flags.model = model
	flags.invariant = flags.invariant || c.serveOption.SameBits
	var opened atomic.Value // the stamp of the file that was opened last
	var gone atomic.Bool
	file := ref.File
	return serve.Source{
		Name: name, Version: number,
		Open: func(context.Context) (*resnet.Model, error) {
			now := stamp(file)
			opened.Store(now)
			return c.opened.open(model+"\n"+now, func() (*resnet.Model, error) { return flags.open(c.app, 0) })
		},
		Changed: func() bool {
			now := stamp(file)
			if file != "" && gone.Swap(now == "") != (now == "") {
				if now == "" {
					c.serveOption.Log.Warn("the file of a model is gone; the model stays in use", slog.String("model", name), slog.String("file", file))
				} else {
					c.serveOption.Log.Info("the file of a model is back", slog.String("model", name), slog.String("file", file))
				}
			}
			return now != "" && now != opened.Load()
		},
	}, nil
}

// stamp returns what tells one state of a file from another; "" for no file.
func stamp(path string) string {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), " ", info.Mode())
}

// servedName returns what clients call a model that was given without a name.
func servedName(ref modelfile.Ref) string {
	name := ref.Name
	switch {
	case ref.File != "" && name == "":
		name = strings.TrimSuffix(filepath.Base(ref.File), filepath.Ext(ref.File))
		if dir := filepath.Base(filepath.Dir(ref.File)); (name == "best" || name == "last") && dir != "." { // of a run's folder
			name = dir
		}
	case ref.Remote != (hub.Name{}) && name == "":
		name = ref.Remote.String()
		name = name[strings.LastIndex(name, "/")+1:]
	case name == "":
		name = strings.TrimSuffix(strings.TrimPrefix(modelfile.EmbeddedName, "embedded:"), ".safetensors")
	}
	name = strings.Trim(regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(name, "-"), "-._")
	if name == "" {
		name = "model"
	}
	return name
}
