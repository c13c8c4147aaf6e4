package budget

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func physical() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	n := uint64(i.Totalram) * uint64(i.Unit)
	if n > math.MaxInt64 {
		return 0
	}
	return int64(n)
}

// container returns the limit of the process's control group, 0 if there is none.
func container() int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 { // "max", or a number that stands for it
			return n
		}
	}
	return 0
}
