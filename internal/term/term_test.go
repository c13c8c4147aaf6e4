package term

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	tab := NewTable("class", ">n", ">F1")
	tab.Row("café", 7, "0.50")
	tab.Row("a", 1200)
	tab.Rule()
	tab.Row("all", 1207, "0.51")
	var b bytes.Buffer
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := `class     n    F1
─────  ────  ────
café      7  0.50
a      1200
─────  ────  ────
all    1207  0.51
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// Columns line up by what a terminal shows, not by the number of characters.
func TestTableOfWideNames(t *testing.T) {
	tab := NewTable("class", ">n")
	tab.Row("猫と犬", 1)
	tab.Row("한국어", 22)
	tab.Row("cafe\u0301", 3)
	tab.Row("👩‍👩‍👧", 4)
	tab.Row("ab", 5)
	var b bytes.Buffer
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := "class    n\n──────  ──\n猫と犬   1\n한국어  22\ncafe\u0301     3\n👩‍👩‍👧       4\nab       5\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	for s, n := range map[string]int{"": 0, "a": 1, "é": 1, "е́": 1, "ＡＢ": 4, "ｱ": 1, "─": 1, "×": 1, "…": 1} {
		if got := Columns(s); got != n {
			t.Errorf("%q takes %d columns, want %d", s, got, n)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(11689512), "11,689,512"}, {Count(-1234), "-1,234"},
		{Percent(0.91254), "91.25%"}, {Percent(1), "100.00%"},
		{Bytes(999), "999 B"}, {Bytes(46800000), "46.8 MB"},
		{Ops(1814073344), "1.81 G"}, {Ops(12), "12"},
		{Duration(850 * time.Millisecond), "850ms"}, {Duration(125 * time.Second), "2m05s"},
		{Duration(67 * time.Minute), "1h07m"}, {Duration(3200 * time.Millisecond), "3.2s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestProgressIsSilentElsewhere(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, false, "images", 10)
	p.Add(5)
	p.Close()
	if p != nil || b.Len() != 0 {
		t.Errorf("progress %v wrote %q to no terminal", p, b.String())
	}
}

func TestProgressLine(t *testing.T) {
	start := time.Now()
	p := &Progress{what: "images", total: 2000, done: 500, start: start}
	if s := p.line(start.Add(5 * time.Second)); !strings.HasSuffix(s, "images 500/2,000 · 100/s · 15.0s left") {
		t.Errorf("line %q", s)
	}
}
