package pytorch

import (
	"os"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// FuzzReadDict finds no pickle that panics or takes memory without bound.
func FuzzReadDict(f *testing.F) {
	for _, name := range []string{"python2/cifar-10-batches-py/batches.meta", "python3/cifar-10-batches-py/batches.meta", "python2/cifar-10-batches-py/test_batch"} {
		b, err := os.ReadFile("../../data/testdata/cifar-python/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x80\x02]q\x00h\x00a."))
	f.Fuzz(func(t *testing.T, b []byte) {
		if used, over := membound.Over(membound.Slack, 512, len(b), func() { ReadDict(b) }); over {
			t.Errorf("%d bytes of memory for %d", used, len(b))
		}
	})
}
