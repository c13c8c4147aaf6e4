package pjrt

import (
	"errors"
	"fmt"
	"maps"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/tensor"
)

// Session is a graph that was compiled for a device, with its variables there. It is not
// safe for concurrent use.
type Session struct {
	program    *stablehlo.Program
	executable *Executable
	client     *Client
	variables  map[string]*Buffer
	unused     map[string]*tensor.Tensor // variables that the graph does not need
}

// NewSession writes a graph as StableHLO, compiles it and copies its variables to the
// device.
func (c *Client) NewSession(g *graph.Graph, variables map[string]*tensor.Tensor) (*Session, error) {
	program, err := stablehlo.Write(g, stablehlo.Options{Donate: true})
	if err != nil {
		return nil, err
	}
	executable, err := c.Compile(program)
	if err != nil {
		return nil, err
	}
	s := &Session{program, executable, c, map[string]*Buffer{}, maps.Clone(variables)}
	for _, a := range program.Arguments {
		if !a.Variable {
			continue
		}
		t := variables[a.Name]
		delete(s.unused, a.Name)
		if t == nil || t.DType() != a.Type.DType || !t.Shape().Equal(a.Type.Shape) {
			return nil, errors.Join(fmt.Errorf("pjrt: the variable %q is %v, must be %v", a.Name, t, a.Type), s.Close())
		}
		b, err := c.Upload(t)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.variables[a.Name] = b
	}
	return s, nil
}

// Run computes the graph once on inputs by name, in either layout, and returns its
// outputs, in the graph's order and in N, C, H, W order. The variables that the graph
// updates get their new values on the device.
func (s *Session) Run(in map[string]*tensor.Tensor) (out []*tensor.Tensor, err error) {
	var fed []*Buffer
	defer func() { err = errors.Join(err, closeAll(fed)) }()
	var arguments []*Buffer
	for _, a := range s.program.Arguments {
		if a.Variable {
			arguments = append(arguments, s.variables[a.Name])
			continue
		}
		t := in[a.Name]
		if t == nil || t.DType() != a.Type.DType || !t.Shape().Equal(a.Type.Shape) {
			return nil, fmt.Errorf("pjrt: the input %q is %v, must be %v", a.Name, t, a.Type)
		}
		b, err := s.client.Upload(t)
		if err != nil {
			return nil, err
		}
		fed, arguments = append(fed, b), append(arguments, b)
	}
	results, err := s.executable.Run(arguments)
	if err != nil {
		return nil, err
	}
	for i, r := range s.program.Results {
		if r.Variable {
			old := s.variables[r.Name]
			s.variables[r.Name] = results[i]
			if err := old.Close(); err != nil {
				return nil, err
			}
			continue
		}
		t := empty(r.Type)
		if err := errors.Join(results[i].Download(t), results[i].Close()); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func empty(t graph.Type) *tensor.Tensor {
	if t.DType == tensor.Int64 {
		return tensor.NewInt64(t.Shape...)
	}
	return tensor.New(t.Shape...)
}

// Variable returns the present value of a variable.
func (s *Session) Variable(name string) (*tensor.Tensor, error) {
	for _, a := range s.program.Arguments {
		if a.Variable && a.Name == name {
			t := empty(a.Type)
			return t, s.variables[name].Download(t)
		}
	}
	if t := s.unused[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("pjrt: the graph has no variable %q", name)
}

// Close frees what the session has on the device.
func (s *Session) Close() error {
	var errs []error
	for _, b := range s.variables {
		errs = append(errs, b.Close())
	}
	s.variables = nil
	return errors.Join(append(errs, s.executable.Close())...)
}
