package cpu

import "golang.org/x/sys/cpu"

func init() { NEON = cpu.ARM64.HasASIMD }
