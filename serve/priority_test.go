package serve

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/serve/internal/oip"
)

// Of jobs that wait, those of a higher priority are computed first, and equal ones in the
// order in which they came.
func TestPriority(t *testing.T) {
	q, s := testQueue(t, 1, 0)
	first := s.busy(t, q)
	var wg sync.WaitGroup
	var order []int // appended to by the queue alone
	for i, priority := range []int{2, 3, 1, 2, 1, 3} {
		wg.Go(func() {
			err := q.do(&job{ctx: t.Context(), n: 1, priority: priority, run: func(context.Context) error { order = append(order, i); return nil }})
			if err != nil {
				t.Error(err)
			}
		})
		until(t, func() bool { return q.length() == i+1 })
	}
	s.gate <- struct{}{}
	first.Wait()
	wg.Wait()
	if !slices.Equal(order, []int{2, 4, 0, 3, 1, 5}) {
		t.Errorf("the order is %v", order)
	}
}

// The parameter priority is read as Triton reads it.
func TestPriorityOf(t *testing.T) {
	for value, want := range map[any]int{nil: 2, int64(0): 2, int64(1): 1, int64(2): 2, int64(3): 3, int64(4): 2, uint64(1): 1, int64(-1): 0, "high": 0, 1.5: 0} {
		p := oip.Params{"priority": value}
		got, err := priorityOf(p)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("priority %v is %d, %v, must be %d", value, got, err, want)
		}
	}
	_, web := start(t, Options{})
	var c modelConfig
	ask(t, "GET", web.URL+"/v2/models/clothes/config", "", nil, 200, &c)
	if c.Batching.Levels != 3 || c.Batching.Default != 2 {
		t.Errorf("%+v", c.Batching)
	}
	var failed errorBody
	ask(t, "POST", web.URL+"/v2/models/clothes/infer", "", []byte(`{"parameters":{"priority":-1},"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["x"]}]}`), 400, &failed)
	if !strings.Contains(failed.Error, "priority is -1") {
		t.Error(failed.Error)
	}
}
