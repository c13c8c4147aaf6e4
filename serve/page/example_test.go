package page_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/serve"
	"github.com/resnet-go/resnet/serve/page"
)

// A server shows the page to browsers.
func Example() {
	model, err := resnet.Open("", resnet.Options{}) // the model inside the program
	if err != nil {
		log.Fatal(err)
	}
	s, err := serve.New(context.Background(), serve.Options{Models: []serve.Source{serve.Of("photos", model)}, Page: page.Handler()})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	web := httptest.NewServer(s.Handler())
	defer web.Close()

	r, err := http.Get(web.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	html, err := io.ReadAll(r.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.StatusCode, r.Header.Get("Content-Type"), strings.HasPrefix(string(html), "<!DOCTYPE html>"))
	// Output: 200 text/html; charset=utf-8 true
}
