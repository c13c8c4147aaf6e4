package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// share is the part of a long input that this process does: of n equal processes, the
// one with number i, from 0, does every n-th line, beginning with line i.
type share struct{ i, n int }

// launchers are the variables in which programs that start many processes give each
// its number and the number of all. The first that is set counts.
var launchers = []struct{ index, count, first, step string }{
	{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"},
	{index: "JOB_COMPLETION_INDEX"}, // Kubernetes gives no number of all
	{index: "RANK", count: "WORLD_SIZE"},
	{index: "OMPI_COMM_WORLD_RANK", count: "OMPI_COMM_WORLD_SIZE"},
	{index: "PMI_RANK", count: "PMI_SIZE"},
	{index: "SLURM_PROCID", count: "SLURM_NTASKS"},
}

// manyStarted returns how many processes MPI's launchers, or srun, have started together
// with this one, and the variable that has it; 0 without one.
func manyStarted(getenv func(string) string) (name string, n int) {
	for _, name := range []string{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"} {
		if n, err := strconv.Atoi(getenv(name)); err == nil {
			return name, n
		}
	}
	return "", 0
}

// parseShare reads I/N, auto or auto/N; "" is everything.
func parseShare(text string, getenv func(string) string) (share, error) {
	if text == "" {
		return share{0, 1}, nil
	}
	index, count, given := strings.Cut(text, "/")
	where := "--shard " + text
	if index == "auto" {
		var err error
		if index, where, err = fromLauncher(&count, given, getenv); err != nil {
			return share{}, err
		}
	} else if !given {
		return share{}, usagef("--shard %q must be I/N, such as 0/8 for the first of 8, auto, or auto/N", text)
	}
	i, errI := strconv.Atoi(index)
	n, errN := strconv.Atoi(count)
	if errI != nil || errN != nil || n < 1 || i < 0 || i >= n {
		return share{}, usagef("%s: shard %s of %s does not exist: the number of a shard is from 0 to one less than their number", where, index, count)
	}
	return share{i, n}, nil
}

// fromLauncher returns the number of this process, and where it is from; it sets count
// unless that is given.
func fromLauncher(count *string, given bool, getenv func(string) string) (index, where string, err error) {
	var names []string
	for _, l := range launchers {
		names = append(names, l.index)
		index = getenv(l.index)
		if index == "" {
			continue
		}
		where = "--shard auto by " + l.index
		if !given {
			if *count = getenv(l.count); *count == "" {
				return "", "", usagef("%s=%s has the number of this process, but no variable has the number of all: give --shard auto/N", l.index, index)
			}
		}
		return sinceFirst(index, getenv(l.first), getenv(l.step)), where, nil
	}
	return "", "", usagef("--shard auto needs one of the variables %s, which are not set: give --shard I/N", strings.Join(names, ", "))
}

// sinceFirst returns the number of an index in the series first, first+step, …; text
// that is no number is returned as it is.
func sinceFirst(index, first, step string) string {
	i, err := strconv.Atoi(index)
	f, errFirst := strconv.Atoi(first)
	if err != nil || errFirst != nil {
		return index
	}
	s, err := strconv.Atoi(step)
	if err != nil || s < 1 {
		s = 1
	}
	return fmt.Sprint((i - f) / s)
}

// environment is [os.Getenv], and nothing for the name "".
func environment(name string) string {
	if name == "" {
		return ""
	}
	return os.Getenv(name)
}
