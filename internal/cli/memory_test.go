package cli

import "testing"

func TestMemoryFlag(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1000000": 1000000, "8GiB": 8 << 30, "8g": 8 << 30, "500MB": 500e6, " 1.5 kib ": 1536, "2T": 2 << 40, "7b": 7} {
		var f memoryFlag
		if err := f.Set(text); err != nil || int64(f) != want {
			t.Errorf("%q is %d, %v; want %d", text, f, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "GiB", "1e30", "NaN", "inf", "4 pounds", "9223372036854775808"} {
		var f memoryFlag
		if err := f.Set(text); err == nil {
			t.Errorf("%q is accepted as %d", text, f)
		}
	}
}
