package nn

import (
	"errors"
	"strings"
)

// Blocks returns a function from a module path to the path of its block: the
// outermost member of a [Sequential] that has parts, such as "layer1.0" for
// "layer1.0.conv2"; "" for a path outside all blocks. Blocks are the segments for
// [graph.Graph.RecomputedGradients]. A network without blocks is an error.
func (t *Traced) Blocks() (func(path string) string, error) {
	sequential, parent := map[string]bool{}, map[string]bool{}
	for _, c := range t.Calls {
		switch c.Module.(type) {
		case Sequential, *Sequential:
			sequential[c.Path] = true
		}
		if c.Path != "" {
			parent[up(c.Path)] = true
		}
	}
	block := func(path string) string {
		for at := 0; at < len(path); {
			end := strings.IndexByte(path[at:], '.')
			if end < 0 {
				end = len(path)
			} else {
				end += at
			}
			if p := path[:end]; sequential[up(p)] && parent[p] && !sequential[p] {
				return p
			}
			at = end + 1
		}
		return ""
	}
	for _, c := range t.Calls {
		if block(c.Path) != "" {
			return block, nil
		}
	}
	return nil, errors.New("nn: the network has no blocks: no Sequential has a member with parts")
}

// up returns the path of the module that a path lies in.
func up(path string) string { return path[:max(0, strings.LastIndexByte(path, '.'))] }
