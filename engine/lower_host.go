package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// hostPort is an input or output of a host operator: where its elements are.
type hostPort struct {
	graph.Type
	buf  *buf // or nil
	ints int  // slot of int64 values
}

// tensor returns the elements of this run as a tensor, without copying them.
func (p hostPort) tensor(r *run) (*tensor.Tensor, error) {
	if p.buf == nil {
		return tensor.FromInt64(r.i64[p.ints], p.Shape...)
	}
	return tensor.FromFloat32(r.b[p.buf.id], p.Shape...)
}

// host emits a step that calls the operator's own Compute.
func (c *compiler) host(n *graph.Node, op graph.HostOp) error {
	var in, out []hostPort
	var from, to []*buf
	for _, v := range n.In {
		p := hostPort{Type: v.Type}
		if v.DType == tensor.Int64 {
			slot, err := c.intsOf(v)
			if err != nil {
				return err
			}
			p.ints = slot
		} else {
			p.buf = c.in(v, rowMajor)
			from = append(from, p.buf)
		}
		in = append(in, p)
	}
	for _, v := range n.Out {
		p := hostPort{Type: v.Type}
		if v.DType == tensor.Int64 {
			p.ints = c.outInts(v)
		} else {
			p.buf = c.out(v, rowMajor)
			to = append(to, p.buf)
		}
		out = append(out, p)
	}
	path := n.String()
	c.step("host", 1, func(r *run, _, _ int) {
		if err := computeHost(r, op, in, out); err != nil {
			r.fail(fmt.Errorf("engine: %s: %w", path, err))
		}
	}, from, to)
	return nil
}

// computeHost calls Compute. A panic in it is the operator's mistake, not the plan's:
// it becomes an error that names the operator.
func computeHost(r *run, op graph.HostOp, in, out []hostPort) (err error) {
	tensors := func(ports []hostPort) []*tensor.Tensor {
		list := make([]*tensor.Tensor, len(ports))
		for i, p := range ports {
			if t, e := p.tensor(r); e != nil {
				err = e
			} else {
				list[i] = t
			}
		}
		return list
	}
	x, y := tensors(in), tensors(out)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its Compute panicked: %v", p)
		}
	}()
	return op.Compute(x, y)
}
