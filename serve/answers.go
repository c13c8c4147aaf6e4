package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"image"
	"image/png"
	"net/http"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/ownpng"
	"github.com/resnet-go/resnet/models"
)

// answer is what /v1 answers to pictures: a result for each, in their order.
type answer struct {
	Model     string   `json:"model"`
	Version   string   `json:"version"`
	RequestID string   `json:"request_id"`
	Results   []result `json:"results"`
}

// result is the answer to one picture. Which fields it has depends on the call.
type result struct {
	Name  string `json:"name"`            // of the picture
	Error string `json:"error,omitempty"` // why there is no answer

	Predictions []resnet.Prediction `json:"predictions,omitempty"` // the most probable first
	Explanation *heatMap            `json:"explanation,omitempty"`
	Embedding   []float32           `json:"embedding,omitempty"`

	Width   int           `json:"width,omitempty"` // of the picture, in pixels
	Height  int           `json:"height,omitempty"`
	Objects *[]object     `json:"objects,omitempty"` // the highest score first
	Areas   []resnet.Area `json:"areas,omitempty"`   // the largest first
	Mask    string        `json:"mask,omitempty"`    // PNG as a data URL: the class of each pixel
	Overlay string        `json:"overlay,omitempty"` // PNG as a data URL: the picture under the result
}

// object is something in a picture.
type object struct {
	Class string     `json:"class"`
	Index int        `json:"index"` // of the class
	Score float64    `json:"score"`
	Box   [4]float64 `json:"box"`            // x, y, width, height in pixels
	Mask  *runCodes  `json:"mask,omitempty"` // where the model finds masks
}

// runCodes is a mask in COCO's compressed form.
type runCodes struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}

// handlePictures answers a request with pictures: one computes the answer to one of
// them. An error of the only picture is that of the request; of several, each has its
// own.
func (s *Server) handlePictures(w http.ResponseWriter, r *http.Request, task purpose, known []string,
	one func(ctx context.Context, c *call, params values, p picture, out *result) error) (err error) {
	ps, params, free, err := s.pictures(w, r, append(known, "model", "version")...)
	if err != nil {
		return err
	}
	defer free()
	in, err := s.holdFor(params, task)
	if err != nil {
		return err
	}
	defer in.drop()
	c, end, err := s.begin(r.Context(), in, len(ps))
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	a := answer{in.name, in.version, requestID(r.Context()), make([]result, len(ps))}
	failed := 0
	errs := make([]error, len(ps))
	err = each(len(ps), func(i int) error {
		a.Results[i].Name = ps[i].name
		errs[i] = one(r.Context(), c, params, ps[i], &a.Results[i])
		return nil
	})
	if err != nil {
		return err
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		if e := asAPI(err); len(ps) == 1 || e.status != http.StatusBadRequest && e.status != http.StatusUnprocessableEntity {
			return err
		}
		failed++
		a.Results[i] = result{Name: ps[i].name, Error: err.Error()}
	}
	if failed == len(ps) {
		return errs[0]
	}
	writeJSON(w, http.StatusOK, a)
	return nil
}

func (s *Server) handleClassify(w http.ResponseWriter, r *http.Request) error {
	return s.handlePictures(w, r, purpose{models.Classification}, append([]string{"topk"}, explainParams...), classifyOne)
}

func classifyOne(ctx context.Context, c *call, params values, p picture, out *result) error {
	topK, err := params.int("topk", 5, 1, 100_000)
	if err != nil {
		return err
	}
	explained, err := c.explained(params)
	if err != nil {
		return err
	}
	logits, _, err := c.numbers(ctx, p)
	if err != nil {
		return err
	}
	began := time.Now()
	out.Predictions, err = c.in.model.Predictions(p.name, logits, topK)
	c.since(stageOutput, began)
	if err != nil || explained == nil {
		return err
	}
	out.Explanation, err = c.explain(ctx, p, *explained)
	return err
}

// dataURL returns a picture as the address of a PNG file that holds it.
func dataURL(m image.Image) (string, error) {
	var b bytes.Buffer
	if err := ownpng.Encode(&b, m, png.BestSpeed); err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

func (s *Server) handleEmbed(w http.ResponseWriter, r *http.Request) error {
	return s.handlePictures(w, r, purpose{models.Classification, models.Features}, nil, func(ctx context.Context, c *call, _ values, p picture, out *result) error {
		logits, features, err := c.numbers(ctx, p)
		if err != nil {
			return err
		}
		out.Embedding = features
		return c.in.model.CheckFinite(p.name, logits, features)
	})
}

func (s *Server) handleDetect(w http.ResponseWriter, r *http.Request) error {
	return s.handlePictures(w, r, purpose{models.Detection}, append([]string{"threshold", "overlay", "object"}, explainParams...), func(ctx context.Context, c *call, params values, p picture, out *result) error {
		threshold, err := params.share("threshold", 0.5)
		if err != nil {
			return err
		}
		overlay, err := params.bool("overlay")
		if err != nil {
			return err
		}
		explained, err := c.explained(params)
		if err != nil {
			return err
		}
		d, err := c.detect(ctx, p)
		if err != nil {
			return err
		}
		if explained != nil {
			if out.Explanation, err = c.explain(ctx, p, *explained); err != nil {
				return err
			}
		}
		defer c.since(stageOutput, time.Now())
		objects := []object{}
		for _, o := range d.Objects {
			if o.Score < threshold {
				break // the scores fall
			}
			found := object{o.Class, o.Index, o.Score, [4]float64{float64(o.Box.X1), float64(o.Box.Y1), float64(o.Box.W()), float64(o.Box.H())}, nil}
			if o.Mask != nil {
				found.Mask = &runCodes{[2]int{o.Mask.H, o.Mask.W}, o.Mask.String()}
			}
			objects = append(objects, found)
		}
		out.Width, out.Height, out.Objects = d.Picture.Rect.Dx(), d.Picture.Rect.Dy(), &objects
		if overlay {
			drawn, err := d.Draw(threshold)
			if err != nil {
				return err
			}
			out.Overlay, err = dataURL(drawn)
			return err
		}
		return nil
	})
}

// detect decodes a picture and finds the objects in it.
func (c *call) detect(ctx context.Context, p picture) (d *resnet.Detections, err error) {
	img, release, err := c.decode(ctx, p)
	if err != nil {
		return nil, err
	}
	defer release()
	err = c.alone(ctx, func(ctx context.Context) (err error) {
		d, err = c.in.model.Detect(ctx, resnet.Pixels(p.name, img))
		return err
	})
	return d, err
}

func (s *Server) handleSegment(w http.ResponseWriter, r *http.Request) error {
	return s.handlePictures(w, r, purpose{models.Segmentation}, append([]string{"overlay"}, explainParams...), func(ctx context.Context, c *call, params values, p picture, out *result) error {
		overlay, err := params.bool("overlay")
		if err != nil {
			return err
		}
		explained, err := c.explained(params)
		if err != nil {
			return err
		}
		m, err := c.segment(ctx, p)
		if err != nil {
			return err
		}
		if explained != nil {
			if out.Explanation, err = c.explain(ctx, p, *explained); err != nil {
				return err
			}
		}
		defer c.since(stageOutput, time.Now())
		out.Width, out.Height, out.Areas = m.Mask.W, m.Mask.H, m.Areas
		if out.Mask, err = dataURL(m.Mask.Paletted()); err != nil || !overlay {
			return err
		}
		out.Overlay, err = dataURL(m.Overlay(0.5))
		return err
	})
}

// segment decodes a picture and finds the class of each pixel.
func (c *call) segment(ctx context.Context, p picture) (m *resnet.Segmentation, err error) {
	img, release, err := c.decode(ctx, p)
	if err != nil {
		return nil, err
	}
	defer release()
	err = c.alone(ctx, func(ctx context.Context) (err error) {
		m, err = c.in.model.Segment(ctx, resnet.Pixels(p.name, img))
		return err
	})
	return m, err
}
