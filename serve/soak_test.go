package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
)

// More requests than the server can answer, with reloads all the time: what is accepted
// is answered, and rightly; the rest is told to come again; memory and goroutines stay
// as they are. RESNET_SOAK is how long, such as 10m.
func TestSoak(t *testing.T) {
	length := 2 * time.Second
	if text := os.Getenv("RESNET_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		t.Skip("takes a few seconds")
	}
	src := Source{Name: "clothes", Open: func(context.Context) (*resnet.Model, error) { return resnet.Open("", resnet.Options{Batch: 8}) }}
	s, web := start(t, Options{Models: []Source{src}, MaxQueue: 12})
	var files [][]byte
	var want [][]resnet.Prediction
	for i := range 8 {
		files = append(files, picturePNG(t, i, 60+i, 50))
		p, err := embedded().Classify(t.Context(), resnet.Encoded("x", files[i]))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var answered, rejected, wrong, other atomic.Int64
	var mu sync.Mutex
	var times []time.Duration // of what was answered
	phase := func(d time.Duration) {
		end := time.Now().Add(d)
		var wg sync.WaitGroup
		for c := range 32 {
			wg.Go(func() {
				for i := c; time.Now().Before(end); i++ {
					k, began := i%len(files), time.Now()
					r, err := client.Post(web.URL+"/v1/classify", "", bytes.NewReader(files[k]))
					if err != nil {
						t.Errorf("a request was cut off: %v", err)
						return
					}
					var got answer
					err = json.NewDecoder(r.Body).Decode(&got)
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
					switch {
					case r.StatusCode == 429:
						rejected.Add(1)
						time.Sleep(2 * time.Millisecond)
					case r.StatusCode != 200 || err != nil:
						other.Add(1)
						t.Errorf("status %d, %v", r.StatusCode, err)
					case len(got.Results) != 1 || len(got.Results[0].Predictions) != 5 || got.Results[0].Predictions[0].Index != want[k][0].Index ||
						abs(got.Results[0].Predictions[0].Probability-want[k][0].Probability) > 1e-4:
						wrong.Add(1)
					default:
						answered.Add(1)
						mu.Lock()
						times = append(times, time.Since(began))
						mu.Unlock()
					}
				}
			})
		}
		for time.Now().Before(end) {
			if err := s.reload(context.Background(), "clothes"); err != nil {
				t.Error(err)
			}
			time.Sleep(min(d/5, 3*time.Second))
		}
		wg.Wait()
	}
	phase(length / 2)
	heap, goroutines, resident := settled(t), runtime.NumGoroutine(), residentBytes()
	phase(length / 2)
	heapAfter, residentAfter := settled(t), residentBytes()
	t.Logf("%v: %d answered, %d rejected, %d wrong, %d others; heap %d to %d, resident %d to %d bytes", length, answered.Load(), rejected.Load(), wrong.Load(), other.Load(), heap, heapAfter, resident, residentAfter)
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[min(int(q*float64(len(times))), max(len(times)-1, 0))] }
	if len(times) > 0 {
		t.Logf("p50 %v, p99 %v, the longest %v", at(0.5), at(0.99), at(1))
		// At most 12 pictures are inside; the bound is for machines that do other things, too.
		if p99 := at(0.99); os.Getenv("RESNET_SOAK") != "" && p99 > 2*time.Second {
			t.Errorf("p99 is %v", p99)
		}
	}
	if wrong.Load() != 0 || answered.Load() < 10 || rejected.Load() == 0 {
		t.Errorf("%d answered, %d rejected, %d wrong", answered.Load(), rejected.Load(), wrong.Load())
	}
	if heapAfter > heap+4<<20 || residentAfter > resident+48<<20 && resident > 0 {
		t.Errorf("memory grew: heap %d to %d, resident %d to %d", heap, heapAfter, resident, residentAfter)
	}
	if after := runtime.NumGoroutine(); after > goroutines+80 { // connections come and go
		t.Errorf("%d goroutines, were %d", after, goroutines)
	}
}

func abs(v float64) float64 { return max(v, -v) }
