package pytorch

import "testing"

func TestX(t *testing.T) {
	r, err := Open("/work/shared/data/pretrained/cifar10-resnet20.th", Options{})
	if err != nil { t.Fatal(err) }
	for _, e := range r.Entries() { x, err := r.Tensor(e.Name); if err != nil { t.Fatal(err) }; t.Log(e, x.Numel()) }
	t.Log(r.Dict(), r.Dicts(), r.Ignored())
}
