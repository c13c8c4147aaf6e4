package isa

// PanelWidth is the number of columns (output channels) of a packed panel.
const PanelWidth = 16

// TailMasks[n] has its first n elements all ones.
var TailMasks = func() (t [PanelWidth + 1][PanelWidth]int32) {
	for n := range t {
		for i := range n {
			t[n][i] = -1
		}
	}
	return
}()

// MaxPanels is the largest number of panels of one call.
const MaxPanels = 4

// Span returns the bounds of block i of n items that are cut into blocks of size.
func Span(i, size, n int) (lo, hi int) { return i * size, min(n, i*size+size) }

// CeilDiv returns a/b rounded up, for a ≥ 0 and b > 0.
func CeilDiv(a, b int) int { return (a + b - 1) / b }
