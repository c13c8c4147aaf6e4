package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/serve"
)

// A program mounts the server among its own pages.
func Example() {
	model, err := resnet.Open("", resnet.Options{}) // the model inside the program
	if err != nil {
		log.Fatal(err)
	}
	s, err := serve.New(context.Background(), serve.Options{Models: []serve.Source{serve.Of("clothes", model)}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	web := httptest.NewServer(mux)
	defer web.Close()

	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 28, 28))); err != nil {
		log.Fatal(err)
	}
	r, err := http.Post(web.URL+"/v1/classify?topk=1", "image/png", &picture)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Model   string
		Results []struct{ Predictions []resnet.Prediction }
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.StatusCode, answer.Model, len(answer.Results[0].Predictions))
	// Output: 200 clothes 1
}
