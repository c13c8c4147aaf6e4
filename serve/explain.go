package serve

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/explain"
)

// heatMap is which parts of a picture raise the score of a class: of the picture, of an
// object, or the mean over the picture's pixels.
type heatMap struct {
	resnet.Prediction            // of a segmentation network, the probability is the share of the picture
	Object            *int       `json:"object,omitempty"` // of a detector: the index in objects
	Layer             string     `json:"layer"`
	Width             int        `json:"width"`
	Height            int        `json:"height"`
	Values            []float32  `json:"values"`  // row by row from the top
	Region            [4]float64 `json:"region"`  // of the picture: x, y, width, height as shares of its size
	Overlay           string     `json:"overlay"` // PNG as a data URL: the picture under the map
}

// explainParams are the parameters of calls whose answer may have a heat map.
var explainParams = []string{"explain", "layer", "method", "class"}

// explained returns what the heat map is to be of; nil if the request asks for none.
func (c *call) explained(params values) (*resnet.ExplainOptions, error) {
	on, err := params.bool("explain")
	if err != nil {
		return nil, err
	}
	for _, name := range append(explainParams[1:], "object") {
		if _, given := params[name]; given && !on {
			return nil, errorf(http.StatusBadRequest, "the parameter %s is for explain=true", name)
		}
	}
	if !on {
		return nil, nil
	}
	opt := new(resnet.ExplainOptions)
	opt.Method, opt.Layer = explain.Method(params["method"]), params["layer"]
	if params["class"] != "" {
		i, err := c.in.model.ClassIndex(params["class"])
		if err != nil {
			return nil, badRequest(err)
		}
		opt.Classes = []int{i}
	}
	if text, given := params["object"]; given {
		if len(opt.Classes) > 0 {
			return nil, errorf(http.StatusBadRequest, "the parameters class and object are given: leave out one")
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, errorf(http.StatusBadRequest, "the parameter object is %.100q, must be the index of an object, from 0", text)
		}
		opt.Objects = []int{int(n)}
	}
	return opt, nil
}

// explain returns the heat map of the most probable class, the best object or the class
// with the largest share, or of what opt names. It is nil if a detector finds nothing.
func (c *call) explain(ctx context.Context, p picture, opt resnet.ExplainOptions) (*heatMap, error) {
	img, release, err := c.decode(ctx, p)
	if err != nil {
		return nil, err
	}
	defer release()
	var x *resnet.Explanation
	err = c.alone(ctx, func(ctx context.Context) (err error) {
		x, err = c.in.model.Explain(ctx, resnet.Pixels(p.name, img), opt)
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, resnet.ErrNoObject) && len(opt.Objects)+len(opt.Classes) == 0:
		return nil, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errRetired), errors.Is(err, resnet.ErrNonFinite):
		return nil, err
	default:
		return nil, badRequest(err) // such as a layer that does not exist
	}
	defer c.since(stageOutput, time.Now())
	overlay, err := dataURL(x.Overlay(0))
	if err != nil {
		return nil, err
	}
	m := x.Maps[0]
	out := &heatMap{x.Classes[0], nil, m.Layer, m.W, m.H, m.Values, x.Region, overlay}
	if len(x.Objects) > 0 {
		out.Object = &x.Objects[0].Number
	}
	return out, nil
}
