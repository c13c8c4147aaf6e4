//go:build (!amd64 && !arm64) || purego

package vec

// columnSums has no assembly here; see the one of amd64.
func columnSums(s *StatsSums, first int, x *float32, panels, rows, pitch int) (done int) { return 0 }
