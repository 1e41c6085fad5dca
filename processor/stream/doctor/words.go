package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// span is a duration as a person says it.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond * 10).String()
	case d < 2*time.Minute:
		return d.Round(time.Second).String()
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 96*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}

// size is a number of bytes as a person says it.
func size[T int64 | uint64](n T) string {
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if f < 1000 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit
		}
		f /= 1024
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " TiB"
}

// count is a number with its noun: 1 alert, 2 alerts.
func count[T int | int64 | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n) + " " + noun + "s"
}

// numbers lists partitions: partition 3, partitions 0-4, 7.
func numbers(partitions []int) string {
	sorted := slices.Sorted(slices.Values(partitions))
	var runs []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		run := strconv.Itoa(sorted[i])
		if j > i {
			run += "-" + strconv.Itoa(sorted[j])
		}
		runs = append(runs, run)
		i = j + 1
	}
	if len(sorted) == 1 {
		return "partition " + runs[0]
	}
	return "partitions " + strings.Join(runs, ", ")
}

// some lists at most four names.
func some(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:4], ", ") + " and " + strconv.Itoa(len(names)-4) + " more"
	}
	return strings.Join(names, ", ")
}
