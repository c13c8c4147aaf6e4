package nn

import (
	"testing"

	"github.com/resnet-go/resnet/graph"
)

// follower moves a frozen parameter halfway to another and multiplies by it, twice.
type follower struct{ Own, Followed *Param }

func (f *follower) Forward(c *Context, x *graph.Value) *graph.Value {
	for range 2 {
		c.SetRunning(f.Own, c.Affine(c.Add(c.Param(f.Own), c.Param(f.Followed)), 0.5, 0))
		x = c.Mul(x, c.Param(f.Own))
	}
	return x
}

// TestParamAfterSetRunning: what SetRunning sets is what Param returns from there on, and
// what is assigned at the end.
func TestParamAfterSetRunning(t *testing.T) {
	f := &follower{NewBuffer(nil, 1), NewParam(nil, 1)}
	tr, err := Trace(f, TraceOptions{Input: graph.F32(1)})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Graph.Updates) != 1 || tr.Graph.Updates[0].Variable != tr.Params[0].Value && tr.Graph.Updates[0].Variable != tr.Params[1].Value {
		t.Fatalf("updates %v", tr.Graph.Updates)
	}
	last := tr.Output.Node // x * own2
	if last.In[1] != tr.Graph.Updates[0].New {
		t.Error("the second product does not use the second value")
	}
	first := last.In[0].Node
	if first.In[1] == last.In[1] || first.In[1].Node.Op.Name() == "Variable" {
		t.Error("the first product does not use the first new value")
	}
}
