package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/serve/internal/otlp"
)

// picture is the file of a picture in a request.
type picture struct {
	name string
	file []byte
}

// maxField is the size of a form's field that is not a picture.
const maxField = 64 << 10

// pictures reads the pictures and parameters of a request: a picture as the body, or
// several as a form; parameters in the address or in the form.
func (s *Server) pictures(w http.ResponseWriter, r *http.Request, known ...string) (ps []picture, params values, free func(), err error) {
	params = values{}
	if err := params.add(r.URL.RawQuery, known); err != nil {
		return nil, nil, nil, err
	}
	kind, form, err := mediaType(r)
	if err != nil {
		return nil, nil, nil, err
	}
	switch {
	case kind == "", kind == "multipart/form-data", strings.HasPrefix(kind, "image/"), kind == "application/octet-stream",
		kind == "application/x-www-form-urlencoded": // which curl --data-binary sends
	default:
		return nil, nil, nil, errorf(http.StatusUnsupportedMediaType, "Content-Type is %.100q, must be that of a picture, application/octet-stream, or multipart/form-data with several pictures", kind)
	}
	body, free, err := s.body(w, r)
	if err != nil {
		return nil, nil, nil, err
	}
	if kind == "multipart/form-data" {
		ps, err = s.parts(body, form["boundary"], params, known)
	} else if ps = []picture{{"picture", body}}; len(body) == 0 {
		err = errorf(http.StatusBadRequest, "the body is empty: send a picture")
	}
	if err != nil {
		free()
		return nil, nil, nil, badRequest(err)
	}
	return ps, params, free, nil
}

func (s *Server) parts(body []byte, boundary string, params values, known []string) (ps []picture, err error) {
	if boundary == "" {
		return nil, errors.New("Content-Type is multipart/form-data without a boundary")
	}
	if !bytes.Contains(body, []byte("--"+boundary+"--")) {
		return nil, errors.New("the form is damaged: it has no end")
	}
	for form := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the form is damaged: %w", err)
		}
		isPicture := part.FileName() != "" || strings.HasPrefix(part.Header.Get("Content-Type"), "image/")
		limit := int64(maxField)
		if isPicture {
			limit = s.opt.MaxBody
		}
		content, err := io.ReadAll(io.LimitReader(part, limit+1))
		if err != nil {
			return nil, fmt.Errorf("the form is damaged: %w", err)
		}
		switch name := part.FormName(); {
		case int64(len(content)) > limit:
			return nil, fmt.Errorf("the form's field %.100q has more than %d bytes: a picture needs a filename", name, limit)
		case !isPicture:
			if err := params.set(name, string(content), known); err != nil {
				return nil, err
			}
		case len(ps) == s.opt.MaxPictures:
			return nil, errorf(http.StatusRequestEntityTooLarge, "the form has more than %d pictures: send fewer in each request", s.opt.MaxPictures)
		default:
			if name = part.FileName(); name == "" {
				name = fmt.Sprintf("picture %d", len(ps)+1)
			}
			ps = append(ps, picture{name, content})
		}
	}
	if len(ps) == 0 {
		return nil, errors.New("the form has no picture: send each as a field with a filename")
	}
	return ps, nil
}

// values are the parameters of a request by name.
type values map[string]string

// add takes the parameters of a query.
func (v values) add(query string, known []string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errorf(http.StatusBadRequest, "the address has a query that cannot be read: %v", err)
	}
	for name, texts := range q {
		if len(texts) > 1 {
			return errorf(http.StatusBadRequest, "the parameter %.100q is given %d times, must be given once", name, len(texts))
		}
		if err := v.set(name, texts[0], known); err != nil {
			return err
		}
	}
	return nil
}

func (v values) set(name, text string, known []string) error {
	for _, k := range known {
		if name == k {
			v[name] = text
			return nil
		}
	}
	return errorf(http.StatusBadRequest, "there is no parameter %.100q%s", name, suggest.Phrase(name, known))
}

func (v values) bool(name string) (bool, error) {
	text, given := v[name]
	if !given {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, errorf(http.StatusBadRequest, "the parameter %s is %.100q, must be true or false", name, text)
	}
	return on, nil
}

func (v values) int(name string, otherwise, least, most int) (int, error) {
	text, given := v[name]
	if !given {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, errorf(http.StatusBadRequest, "the parameter %s is %.100q, must be a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func (v values) share(name string, otherwise float64) (float64, error) {
	text, given := v[name]
	if !given {
		return otherwise, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 0, errorf(http.StatusBadRequest, "the parameter %s is %.100q, must be a number from 0 to 1", name, text)
	}
	return f, nil
}

// call is one request for inference on its way: the model that it holds, and the time
// that its stages take.
type call struct {
	s     *Server
	in    *instance
	began time.Time

	priority int       // of its jobs
	spans    *recorder // nil unless the request's trace is exported

	mu    sync.Mutex
	parts [stages]time.Duration
}

// begin admits a number of pictures to a model. The caller calls end.
func (s *Server) begin(ctx context.Context, in *instance, pictures int) (c *call, end func(error), err error) {
	leave, err := in.admit(pictures)
	if err != nil {
		return nil, nil, err
	}
	c = &call{s: s, in: in, began: time.Now(), priority: defaultPriority, spans: recorderOf(ctx)}
	return c, func(err error) {
		leave()
		c.in.stats.answered(time.Since(c.began), c.parts, err)
	}, nil
}

// took adds to the time of a stage, and to the request's spans.
func (c *call) took(st stage, began time.Time, d time.Duration, attributes ...otlp.Attribute) {
	c.mu.Lock()
	c.parts[st] += d
	c.mu.Unlock()
	if c.spans != nil {
		c.spans.add(stageNames[st], began, d, append(attributes, otlp.Attribute{Key: "resnet.model", Value: c.in.name}, otlp.Attribute{Key: "resnet.version", Value: c.in.version})...)
	}
}

// since is took for a stage that ends now.
func (c *call) since(st stage, began time.Time) { c.took(st, began, time.Since(began)) }

// forward computes n inputs, [n H W C], at most MaxBatch, together with those of other
// requests.
func (c *call) forward(ctx context.Context, rows []float32, n int) (logits, features []float32, err error) {
	j := &job{ctx: ctx, rows: rows, n: n, priority: c.priority}
	if err = c.do(j); err == nil {
		c.in.watchDrift(j.logits, j.features, n)
	}
	return j.logits, j.features, err
}

// alone computes something that is not part of a batch.
func (c *call) alone(ctx context.Context, run func(ctx context.Context) error) error {
	return c.do(&job{ctx: ctx, n: 1, run: run, priority: c.priority})
}

func (c *call) do(j *job) error {
	err := c.in.queue.do(j)
	if err == nil {
		c.took(stageQueue, j.added, j.queued)
		c.took(stageCompute, j.added.Add(j.queued), j.computed, otlp.Attribute{Key: "resnet.batch_size", Value: j.batch})
	}
	return err
}

// each runs f for 0 to n-1 at once and returns the first error by index. A panic becomes
// an error, because in a goroutine of its own it would end the program.
func each(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	guarded := func(i int) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the request failed: %v", p)
			}
		}()
		return f(i)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = guarded(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// callOf is the call for pictures of each task.
var callOf = map[models.Task]string{models.Classification: "/v1/classify", models.Features: "/v1/embed", models.Detection: "/v1/detect", models.Segmentation: "/v1/segment"}

// PictureCall returns the path of the call at /v1 that the first model that is ready
// answers, such as "/v1/detect", and "" if none is ready.
func (s *Server) PictureCall() string {
	for _, v := range s.versions() {
		if v.instance != nil {
			return callOf[v.instance.model.Task()]
		}
	}
	return ""
}

// purpose is the tasks of models that can answer a call; the first is what it is for.
type purpose []models.Task

// holdFor returns the model that a request at /v1 names: the first one for the purpose
// if it names none.
func (s *Server) holdFor(params values, wanted purpose) (*instance, error) {
	task := wanted[0]
	name := params["model"]
	if name == "" {
		waiting := ""
		for _, v := range s.versions() {
			if v.instance == nil {
				waiting = v.name
			} else if slices.Contains(wanted, v.instance.model.Task()) {
				name = v.name
				break
			}
		}
		if name == "" && waiting != "" { // what it is for is known when it is loaded
			return nil, &apiError{http.StatusServiceUnavailable, fmt.Sprintf("no model for %s is ready; %s is not", task, waiting), time.Second}
		}
		if name == "" {
			return nil, errorf(http.StatusNotFound, "no model for %s is ready", task)
		}
	}
	in, err := s.hold(name, params["version"])
	if err != nil {
		return nil, err
	}
	if got := in.model.Task(); !slices.Contains(wanted, got) {
		in.drop()
		return nil, errorf(http.StatusBadRequest, "the model %s is for %s, not for %s: send its pictures to %s", name, got, task, callOf[got])
	}
	return in, nil
}
