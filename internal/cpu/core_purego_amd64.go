//go:build amd64 && purego

package cpu

func detectCore() Core { return Core{} }
