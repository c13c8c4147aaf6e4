// Package term prints for people: tables, numbers with their units, and the
// progress of something that takes a while.
package term

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// Columns returns the columns that s takes on a terminal: two for a Chinese,
// Japanese or Korean character and for most emoji, none for a combining mark (UAX #11,
// UAX #29).
func Columns(s string) int { return uniseg.StringWidth(s) }

// Table is a list of rows in aligned columns, as plain text.
type Table struct {
	head  []string
	right []bool
	rows  [][]string
}

// NewTable returns a table with these column heads; one that starts with ">" is
// aligned to the right.
func NewTable(heads ...string) *Table {
	t := new(Table)
	for _, h := range heads {
		name, right := strings.CutPrefix(h, ">")
		t.head = append(t.head, name)
		t.right = append(t.right, right)
	}
	return t
}

// Row adds a row; cells are printed as fmt.Sprint does. It panics if there are
// more cells than columns.
func (t *Table) Row(cells ...any) {
	if len(cells) > len(t.head) {
		panic(fmt.Sprintf("term: %d cells in a table of %d columns", len(cells), len(t.head)))
	}
	row := make([]string, len(t.head))
	for i, c := range cells {
		row[i] = Plain(fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

// Rule adds a line across.
func (t *Table) Rule() { t.rows = append(t.rows, nil) }

// Len returns the number of rows and rules.
func (t *Table) Len() int { return len(t.rows) }

// WriteTo prints the table: heads, a line, the rows.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			width[i] = max(width[i], Columns(c))
		}
	}
	var b strings.Builder
	rule := func() {
		for i, n := range width {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(strings.Repeat("─", n))
		}
		b.WriteByte('\n')
	}
	line := func(row []string) {
		var l strings.Builder
		for i, c := range row {
			if i > 0 {
				l.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-Columns(c))
			if t.right[i] {
				l.WriteString(pad + c)
			} else {
				l.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " "))
		b.WriteByte('\n')
	}
	line(t.head)
	rule()
	for _, row := range t.rows {
		if row == nil {
			rule()
			continue
		}
		line(row)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
