// Command load asks a server to classify pictures, as fast as a number of clients can or
// at a fixed rate, compares every answer, and prints a line of JSON:
//
//	go run ./peers/serve/load -url http://localhost:8080/v1/classify -seconds 20 -clients 8 photo.jpg …
//
// An answer is right if its most probable class is that of the first answer to the same
// picture.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// result is what one run has measured.
type result struct {
	Clients   int            `json:"clients"`
	Rate      float64        `json:"rate,omitempty"` // requests started per second; 0: as fast as the clients can
	Seconds   float64        `json:"seconds"`
	Answered  int64          `json:"answered"`
	PerSecond float64        `json:"answered_per_s"`
	P50       float64        `json:"p50_ms"`
	P90       float64        `json:"p90_ms"`
	P99       float64        `json:"p99_ms"`
	Max       float64        `json:"max_ms"`
	Wrong     int64          `json:"wrong"`    // answers of another class
	Class     string         `json:"class"`    // of the first picture
	Statuses  map[string]int `json:"statuses"` // of all requests; "error" for those without an answer
}

// jsonSize is the header of the Open Inference Protocol with the size of the JSON before
// binary data.
const jsonSize = "Inference-Header-Content-Length"

// load is a run.
type load struct {
	client *http.Client
	url    string
	raw    bool
	kind   string // of bodies
	files  [][]byte

	mu       sync.Mutex
	took     []time.Duration // of requests that were answered
	statuses map[string]int
	classes  []string // by picture
	wrong    atomic.Int64
}

func main() {
	url := flag.String("url", "http://localhost:8080/v1/classify?topk=1", "where to post pictures")
	clients := flag.Int("clients", 1, "clients, each with one request at a time")
	rate := flag.Float64("rate", 0, "requests started per second, whether or not others are answered; 0 means as many as the clients can")
	seconds := flag.Float64("seconds", 10, "how long")
	warm := flag.Float64("warm", 1, "seconds before that, which are not measured")
	asJSON := flag.Bool("json", false, "send pictures in JSON, as base64 in the field image")
	asV2 := flag.Bool("v2", false, "the address is one of the Open Inference Protocol: send pictures in JSON, as base64 in a BYTES input, and read the answer's first output")
	raw := flag.Bool("raw", false, "the address is one of the Open Inference Protocol: send pictures as raw binary requests, and read the answer's only output, of one text")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "name pictures")
		os.Exit(2)
	}
	l := &load{url: *url, raw: *raw, kind: "image/jpeg", client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1024, MaxConnsPerHost: 1024}}}
	for _, path := range flag.Args() {
		b, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var body any
		switch {
		case *asJSON:
			body = map[string][]byte{"image": b}
		case *asV2:
			body = map[string]any{"inputs": []any{map[string]any{"name": "image", "shape": []int{1, 1}, "datatype": "BYTES", "data": [][]byte{b}}}}
		}
		if body != nil {
			if b, err = json.Marshal(body); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			l.kind = "application/json"
		}
		l.files = append(l.files, b)
	}
	l.classes = make([]string, len(l.files))
	run := func(seconds float64) float64 {
		l.took, l.statuses = nil, map[string]int{}
		began := time.Now()
		l.run(*clients, *rate, began.Add(time.Duration(seconds*1e9)))
		return time.Since(began).Seconds()
	}
	run(*warm)
	took := run(*seconds)
	out := result{Clients: *clients, Rate: *rate, Seconds: took, Answered: int64(len(l.took)), PerSecond: float64(len(l.took)) / took, Wrong: l.wrong.Load(), Statuses: l.statuses, Class: l.classes[0]}
	if n := len(l.took); n > 0 {
		slices.Sort(l.took)
		at := func(q float64) float64 { return float64(l.took[min(int(q*float64(n)), n-1)]) / 1e6 }
		out.P50, out.P90, out.P99, out.Max = at(0.5), at(0.9), at(0.99), at(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (l *load) run(clients int, rate float64, end time.Time) {
	var wg sync.WaitGroup
	if rate > 0 {
		step := time.Duration(1e9 / rate)
		for i, at := 0, time.Now(); at.Before(end); i, at = i+1, at.Add(step) {
			time.Sleep(time.Until(at))
			wg.Go(func() { l.ask(i % len(l.files)) })
		}
	} else {
		for c := range clients {
			wg.Go(func() {
				for i := c; time.Now().Before(end); i++ {
					l.ask(i % len(l.files))
				}
			})
		}
	}
	wg.Wait()
}

// ask sends picture i and looks at the answer.
func (l *load) ask(i int) {
	began := time.Now()
	status, class := "error", ""
	req, err := http.NewRequest(http.MethodPost, l.url, bytes.NewReader(l.files[i]))
	var r *http.Response
	if err == nil {
		req.Header.Set("Content-Type", l.kind)
		if l.raw {
			req.Header.Set("Content-Type", "application/octet-stream")
			req.Header.Set(jsonSize, "0") // all of the body is the picture
		}
		r, err = l.client.Do(req)
	}
	if err == nil {
		status = r.Status[:3]
		var answer struct {
			Class   string // of the peers
			Results []struct {
				Predictions []struct{ Class string }
			}
			Outputs []struct{ Data []string } // of the protocol's JSON
		}
		if b, err := io.ReadAll(r.Body); err != nil {
			status = "error"
		} else if n, err := strconv.Atoi(r.Header.Get(jsonSize)); l.raw && r.StatusCode == http.StatusOK && err == nil && n+4 < len(b) {
			class = string(b[n+4:]) // behind its length
		} else if r.StatusCode == http.StatusOK {
			if err := json.Unmarshal(b, &answer); err == nil {
				class = answer.Class
				if len(answer.Outputs) > 0 && len(answer.Outputs[0].Data) > 0 {
					class = answer.Outputs[0].Data[0]
				}
				if len(answer.Results) > 0 && len(answer.Results[0].Predictions) > 0 {
					class = answer.Results[0].Predictions[0].Class
				}
			}
		}
		r.Body.Close()
	}
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[status]++
	if status != "200" {
		return
	}
	l.took = append(l.took, took)
	if l.classes[i] == "" {
		l.classes[i] = class
	}
	if class == "" || class != l.classes[i] {
		l.wrong.Add(1)
	}
}
