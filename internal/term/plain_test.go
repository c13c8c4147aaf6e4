package term

import "testing"

func TestPlain(t *testing.T) {
	for s, want := range map[string]string{
		"Katze 🐱 卡车": "Katze 🐱 卡车", "a\nb": `a\nb`, "\x1b[31mred": `\x1b[31mred`, "\u0085x\u2028": `\u0085x\u2028`, "bad\xff": "bad\xff",
	} {
		if got := Plain(s); got != want {
			t.Errorf("Plain(%q) = %q, want %q", s, got, want)
		}
	}
	if got := PlainLines("a\tb\nc\x1b"); got != "a\tb\nc\\x1b" {
		t.Errorf("PlainLines gives %q", got)
	}
}
