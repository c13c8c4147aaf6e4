package diagram

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/tensor"
)

// Measures in pixels.
const (
	charWidth = 6.3 // mean of the font at 11 pixels
	boxPad    = 9
	lineH     = 14
	rowGap    = 14
	laneGap   = 22
	frameGap  = 26
	titleH    = 20
)

// figure is drawn text and lines of a known size.
type figure struct {
	w, h float64
	body strings.Builder
}

func width(s string) float64 { return float64(utf8.RuneCountInString(s)) * charWidth }

func shape(s tensor.Shape) string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, "×")
}

// numbers are the numbers of an item as text.
func numbers(it *item, times int) string {
	s := shape(it.out)
	if it.params > 0 {
		s += fmt.Sprintf(" · %s", params(it.params*times))
	}
	if it.macs > 0 {
		s += fmt.Sprintf(" · %s MACs", term.Ops(it.macs*int64(times)))
	}
	return s
}

func params(n int) string { return term.Count(n) + " params" }

// lines are what stands in the box of an item.
func (it *item) lines() []string {
	if it.path == "" && it.name() != it.kind { // + and ×
		return []string{it.name()}
	}
	head := it.name()
	if it.kind != head {
		head += "  " + it.kind
	}
	if it.label != "" {
		head += "  " + it.label
	}
	if len(it.items) > 0 || it.label != "" {
		return []string{head, numbers(it, 1)}
	}
	return []string{head}
}

// class chooses the color of a box.
func (it *item) class() string {
	switch {
	case it.path == "":
		return "join"
	case strings.HasPrefix(it.label, "1×1") || strings.Contains(it.kind, "Conv") || strings.Contains(it.label, ", /") && it.params > 0:
		return "conv"
	case it.kind == "Linear" || strings.Contains(it.label, "→"):
		return "linear"
	case strings.Contains(it.kind, "Norm"):
		return "norm"
	case len(it.items) > 0:
		return "part"
	}
	return "other"
}

// box draws an item at a place and returns its size.
func (f *figure) box(it *item, x, y, w float64) float64 {
	lines := it.lines()
	h := float64(len(lines))*lineH + 6
	fmt.Fprintf(&f.body, `<g><title>%s</title><rect class="box %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="4"/>`, escape(tooltip(it)), it.class(), x, y, w, h)
	for i, l := range lines {
		class := "name"
		if i > 0 {
			class = "small"
		}
		fmt.Fprintf(&f.body, `<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x+w/2, y+float64(i+1)*lineH, escape(l))
	}
	f.body.WriteString("</g>\n")
	return h
}

func tooltip(it *item) string {
	s := it.path
	if s == "" {
		s = it.name()
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %s %s; %s", s, it.kind, it.label, numbers(it, 1)))
}

func boxWidth(it *item) float64 {
	w := 40.0
	for _, l := range it.lines() {
		w = max(w, width(l)+2*boxPad)
	}
	return w
}

// block draws the items of a container from top to bottom, branches in lanes next
// to the main path, and every connection that leaves the path as an arrow.
func block(items []*item) *figure {
	f := &figure{}
	lanes := 1
	for _, it := range items {
		lanes = max(lanes, it.lane+1)
	}
	laneW := make([]float64, lanes)
	for _, it := range items {
		laneW[it.lane] = max(laneW[it.lane], boxWidth(it))
	}
	skips := skipped(items)
	most := -1
	for _, slot := range skips {
		most = max(most, slot)
	}
	left := 12 + 10*float64(most+1) // room for arcs
	laneX := make([]float64, lanes)
	x := left
	for l, w := range laneW {
		laneX[l] = x
		x += w + laneGap
	}
	f.w = x - laneGap + 12

	// Rows: an item is below everything that it reads, and a branch is next to the
	// items of the main path that run between its start and its end.
	type place struct{ x, y, w, h float64 }
	at := make([]place, len(items))
	input := place{laneX[0], 0, laneW[0], rowGap}
	fmt.Fprintf(&f.body, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", input.x+input.w/2, 4.0)
	of := func(i int) place {
		if i < 0 {
			return place{input.x, 0, input.w, 7}
		}
		return at[i]
	}
	bottom := make([]float64, lanes)
	for l := range bottom {
		bottom[l] = 7
	}
	for i, it := range items {
		y := bottom[it.lane]
		for _, s := range it.from {
			y = max(y, of(s).y+of(s).h)
		}
		y += rowGap
		w := boxWidth(it)
		if it.lane == 0 {
			w = max(w, min(laneW[0], 150))
		}
		p := place{x: laneX[it.lane] + (laneW[it.lane]-w)/2, y: y, w: w}
		p.h = f.box(it, p.x, p.y, p.w)
		at[i] = p
		bottom[it.lane] = p.y + p.h
		for _, s := range it.from {
			from := of(s)
			cx, sx := p.x+p.w/2, from.x+from.w/2
			lanesFrom := 0
			if s >= 0 {
				lanesFrom = items[s].lane
			}
			switch slot, skip := skips[[2]int{s, i}]; {
			case skip: // around the boxes of the main path, at the left
				ax := left - 8 - 10*float64(slot)
				fmt.Fprintf(&f.body, `<path class="skip" d="M%.1f %.1fH%.1fV%.1fH%.1f" marker-end="url(#skip)"/>`+"\n",
					fromX(s, from.x, sx), from.y+from.h-min(from.h/2, 6), ax, p.y+p.h/2, p.x-1)
			case lanesFrom == it.lane:
				fmt.Fprintf(&f.body, `<path class="line" d="M%.1f %.1fV%.1f" marker-end="url(#arrow)"/>`+"\n", cx, from.y+from.h, p.y-1)
			case lanesFrom < it.lane: // out to the side way
				fmt.Fprintf(&f.body, `<path class="skip" d="M%.1f %.1fv%dH%.1fV%.1f" marker-end="url(#skip)"/>`+"\n", sx, from.y+from.h, rowGap/2, cx, p.y-1)
			default: // back from it
				fmt.Fprintf(&f.body, `<path class="skip" d="M%.1f %.1fV%.1fH%.1f" marker-end="url(#skip)"/>`+"\n", sx, from.y+from.h, p.y+p.h/2, p.x+p.w+1)
			}
		}
	}
	for _, b := range bottom {
		f.h = max(f.h, b)
	}
	f.h += 4
	return f
}

// fromX is where an arc begins: the left edge of a box, the dot of the input.
func fromX(from int, edge, center float64) float64 {
	if from < 0 {
		return center
	}
	return edge
}

// skipped finds the connections of the main path that pass over items of it, and
// gives each the nearest free slot at the side.
func skipped(items []*item) map[[2]int]int {
	slots := map[[2]int]int{}
	for i, it := range items {
		if it.lane != 0 {
			continue
		}
		for _, s := range it.from {
			if s >= 0 && items[s].lane != 0 {
				continue
			}
			over := false
			for k := s + 1; k < i; k++ {
				over = over || items[k].lane == 0
			}
			if !over {
				continue
			}
			slot := 0
			for taken := true; taken; {
				taken = false
				for other, n := range slots {
					if n == slot && other[0] < i && s < other[1] {
						taken = true
						slot++
						break
					}
				}
			}
			slots[[2]int{s, i}] = slot
		}
	}
	return slots
}
