package shard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/cuda"
)

// parseGPUs reads a list of this machine's GPUs: "all", or numbers separated by commas, each once.
// For "" it returns nil: Config.Device says what to use. A list that this machine does not have, or
// that contradicts the device, is an error that says what is allowed.
func parseGPUs(list, device string) ([]int, error) {
	if list == "" {
		return nil, nil
	}
	if device == DeviceCPU {
		return nil, fmt.Errorf("gpus is %q, but device is cpu", list)
	}
	n, err := cuda.Count()
	if err != nil {
		return nil, fmt.Errorf("gpus is %q: %w", list, err)
	}

	var gpus []int
	if list == "all" {
		for gpu := range n {
			gpus = append(gpus, gpu)
		}
		return gpus, nil
	}

	// An empty word, as behind a last comma, is no number either.
	for _, word := range strings.Split(list, ",") {
		gpu, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || gpu < 0 || gpu >= n || slices.Contains(gpus, gpu) {
			return nil, fmt.Errorf("gpus is %q; allowed: all, or numbers below %d, each once", list, n)
		}
		gpus = append(gpus, gpu)
	}
	return gpus, nil
}
