package keras

import (
	"fmt"
	"slices"
)

// order returns the layers in the order in which Keras lists them, on which
// the files of weights depend: by their distance from the output, the largest
// first, then as a depth-first walk from the output meets them
// (keras/src/ops/function.py, map_graph). Layers that the output does not
// depend on come last. A Sequential keeps its order. A cycle is an error.
func (s *spec) order() ([]*layerSpec, error) {
	if s.class == classSequential {
		return s.layers, nil
	}
	byName := map[string]*layerSpec{}
	for _, l := range s.layers {
		byName[l.name] = l
	}
	met := map[string]int{}
	const (
		open = iota + 1
		done
	)
	state := map[ref]int{}
	var sorted []ref // inputs before what takes them
	// The walk is a loop: a chain of layers may be long.
	type frame struct {
		at   ref
		next int
	}
	var stack []frame
	ends := s.ends()
	for len(stack) > 0 || len(ends) > 0 {
		if len(stack) == 0 {
			end := ends[0]
			ends = ends[1:]
			if state[end] != 0 {
				continue
			}
			state[end] = open
			if _, ok := met[end.layer]; !ok {
				met[end.layer] = len(met)
			}
			stack = append(stack, frame{at: end})
		}
		f := &stack[len(stack)-1]
		inputs := byName[f.at.layer].calls[f.at.node]
		if f.next == len(inputs) {
			state[f.at] = done
			sorted = append(sorted, f.at)
			stack = stack[:len(stack)-1]
			continue
		}
		in := inputs[f.next]
		f.next++
		switch state[in] {
		case open:
			return nil, fmt.Errorf("keras: model %s: layer %s is part of a cycle", s.name, in.layer)
		case done:
		default:
			state[in] = open
			if _, ok := met[in.layer]; !ok {
				met[in.layer] = len(met)
			}
			stack = append(stack, frame{at: in})
		}
	}
	depth := map[ref]int{}
	layerDepth := map[string]int{}
	for _, r := range slices.Backward(sorted) {
		d := max(depth[r], layerDepth[r.layer])
		depth[r], layerDepth[r.layer] = d, d
		for _, in := range byName[r.layer].calls[r.node] {
			depth[in] = max(depth[in], d+1)
		}
	}
	out := slices.Clone(s.layers)
	for _, l := range out {
		if _, ok := met[l.name]; !ok {
			met[l.name], layerDepth[l.name] = len(met), -1
		}
	}
	slices.SortStableFunc(out, func(a, b *layerSpec) int {
		if d := layerDepth[b.name] - layerDepth[a.name]; d != 0 {
			return d
		}
		return met[a.name] - met[b.name]
	})
	return out, nil
}
