package glyphs

import "testing"

func latin1(r rune) bool { return r >= ' ' && r < 0x100 }

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		"":             "",
		"cat":          "cat",
		"café":         "café",
		"cafe\u0301":   "café",
		"ＣＡＴ１":         "CAT1",
		"ﬁsh":          "fish",
		"ế":            "e",
		"\u0301":       `\u0301`,
		"猫":            `\u732b`,
		"cat 猫":        `cat \u732b`,
		"🐱":            `\U0001f431`,
		"a\nb\x1b[2J":  `a\u000ab\u001b[2J`,
		"\xff":         `\ufffd`,
		"کتاب":         `\u06a9\u062a\u0627\u0628`,
		"zero\u200bwd": `zero\u200bwd`,
	} {
		if got := Readable(in, latin1); got != want {
			t.Errorf("%q is drawn as %q, want %q", in, got, want)
		}
	}
}

// Whatever a name is, it has only characters of the font and is not empty.
func FuzzReadable(f *testing.F) {
	f.Add("猫 dog e\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		got := Readable(s, latin1)
		if s != "" && got == "" {
			t.Fatalf("%q is drawn as nothing", s)
		}
		for _, r := range got {
			if !latin1(r) {
				t.Fatalf("%q is drawn as %q, which has %q", s, got, r)
			}
		}
	})
}
