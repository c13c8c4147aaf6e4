package serve

import (
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// Forms of any bytes give pictures within the limits, or an error.
func FuzzForm(f *testing.F) {
	good, _ := form(f, map[string][]byte{"a.png": []byte("x"), "b.png": []byte("y")}, "topk=3")
	f.Add(good, "boundary")
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"topk\"\r\n\r\n3\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--"), "b")
	s := &Server{opt: Options{MaxPictures: 3, MaxBody: 1 << 20}}
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		params := values{}
		var ps []picture
		var err error
		if used, over := membound.Over(membound.Slack, 64, len(body), func() { ps, err = s.parts(body, boundary, params, []string{"topk"}) }); over {
			t.Fatalf("%d bytes took %d bytes of memory", len(body), used)
		}
		if err != nil {
			return
		}
		size := 0
		for _, p := range ps {
			size += len(p.file)
		}
		if len(ps) == 0 || len(ps) > 3 || size > len(body) || len(params) > 1 {
			t.Fatalf("%d pictures of %d bytes, %d parameters", len(ps), size, len(params))
		}
	})
}

// A query of any text gives known parameters, or an error.
func FuzzQuery(f *testing.F) {
	f.Add("topk=3&explain=true")
	f.Add("%zz&;=")
	f.Fuzz(func(t *testing.T, query string) {
		params := values{}
		if err := params.add(query, []string{"topk", "explain", "threshold"}); err != nil {
			return
		}
		if n, err := params.int("topk", 5, 1, 10); err == nil && (n < 1 || n > 10) {
			t.Fatal(n)
		}
		if v, err := params.share("threshold", 0.5); err == nil && !(v >= 0 && v <= 1) {
			t.Fatal(v)
		}
		_, _ = params.bool("explain")
		traceOf(query)
		accepted(query)
		goodID(query)
	})
}
