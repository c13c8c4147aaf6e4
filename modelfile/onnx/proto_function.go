package onnx

import "google.golang.org/protobuf/encoding/protowire"

func (d *decoder) function(f field) (*functionProto, error) {
	fn := &functionProto{}
	if err := d.message(); err != nil {
		return fn, err
	}
	if err := f.want(protowire.BytesType); err != nil {
		return fn, err
	}
	d.depth++ // tensors of its nodes do not alias the file
	defer func() { d.depth-- }()
	return fn, each(f.b, func(f field) error {
		if err := d.message(); err != nil {
			return err
		}
		list := map[protowire.Number]*[]string{4: &fn.in, 5: &fn.out, 6: &fn.attrs}[f.num]
		switch f.num {
		case 1:
			return f.str(&fn.name)
		case 4, 5, 6:
			var s string
			err := f.str(&s)
			*list = append(*list, s)
			return err
		case 7:
			n, err := d.node(f)
			fn.nodes = append(fn.nodes, n)
			return err
		case 9:
			return d.opset(f, &fn.opsets)
		case 10:
			return f.str(&fn.domain)
		case 11:
			a, err := d.attr(f)
			fn.defaults = append(fn.defaults, a)
			return err
		case 13:
			return f.str(&fn.overload)
		}
		return nil
	})
}
