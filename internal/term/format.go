package term

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Count returns n with a comma at every third digit: 11,689,512.
func Count[T ~int | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	digits, sign := strings.CutPrefix(s, "-")
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	if sign {
		return "-" + b.String()
	}
	return b.String()
}

// Plural returns a number of things, with the noun in the plural unless there is one: 1
// picture, 1,024 pictures, 2 classes.
func Plural[T ~int | ~int64](n T, noun string) string {
	if n != 1 {
		switch {
		case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "tch"), strings.HasSuffix(noun, "x"):
			noun += "es"
		default:
			noun += "s"
		}
	}
	return Count(n) + " " + noun
}

// Quote returns words as a shell takes them: in single quotes where they hold spaces or
// characters that the shell would change.
func Quote(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// Percent returns a share of 1 as a percentage with two decimals: 91.25%.
func Percent(share float64) string { return fmt.Sprintf("%.2f%%", 100*share) }

// Bytes returns a size in bytes with a decimal unit: 46.8 MB.
func Bytes[T ~int | ~int64](n T) string { return unit(float64(n), 1000, "B", "kB", "MB", "GB", "TB") }

// Ops returns a number of operations with a decimal unit: 1.81 G.
func Ops[T ~int | ~int64](n T) string {
	return strings.TrimSpace(unit(float64(n), 1000, "", "k", "M", "G", "T"))
}

func unit(v float64, step float64, names ...string) string {
	i := 0
	for v >= step && i < len(names)-1 {
		v /= step
		i++
	}
	decimals := 2
	switch {
	case i == 0 || v >= 100:
		decimals = 0
	case v >= 10:
		decimals = 1
	}
	return fmt.Sprintf("%.*f %s", decimals, v, names[i])
}

// Duration returns d in the two largest units that matter: 850ms, 3.2s, 2m05s,
// 1h07m.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
