//go:build !race

package imaging

const poolsForget = false
