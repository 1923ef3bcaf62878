package shard

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/cuda"
)

// splitDevice takes cuda:0,1 apart into cuda and its list of GPUs, which may be said once.
func splitDevice(device, gpus string) (kind, list string, err error) {
	kind, list, named := strings.Cut(device, ":")
	switch {
	case !named:
		return device, gpus, nil
	case kind != DeviceCUDA || list == "":
		return "", "", fmt.Errorf("device is %q; allowed: cpu, cuda, auto, cuda:N, or several as "+
			"cuda:0,1", device)
	case gpus != "":
		return "", "", fmt.Errorf("gpus is %q, but device is %s; say it once", gpus, device)
	}
	return kind, list, nil
}

// ChooseGPUs returns the GPUs that the shards of a process share: those that a device, or a list of
// GPUs, names, or else all of this machine. For nil they compute on the CPU: because device says
// so, or is DeviceAuto where there is no GPU. Otherwise a GPU that is missing is an error, which
// says what to do about it.
func ChooseGPUs(device, gpus string) ([]int, error) {
	named, err := namedGPUs(device, gpus)
	if err != nil || named != nil || device == "" || device == DeviceCPU {
		return named, err
	}

	n, err := cuda.Count()
	switch {
	case device == DeviceAuto && errors.Is(err, cuda.ErrNone):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("device is %q: %w; cpu does without", device, err)
	}
	return firstGPUs(n), nil
}

// namedGPUs returns the GPUs that a device, or a list of GPUs, names; nil where neither names any.
// An error names the one of the two that somebody wrote.
func namedGPUs(device, gpus string) ([]int, error) {
	kind, list, err := splitDevice(device, gpus)
	if err != nil || list == "" {
		return nil, err
	}
	if gpus == "" {
		return parseGPUs(list, kind, fmt.Sprintf("device is %q", device), "numbers")
	}
	return parseGPUs(list, kind, fmt.Sprintf("gpus is %q", gpus), "all, or numbers")
}

// firstGPUs returns the numbers of the first n GPUs.
func firstGPUs(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// parseGPUs reads a list of this machine's GPUs: "all", or numbers separated by commas, each once.
// A list that this machine does not have, or that contradicts the device, is an error, which begins
// with what was given and says which words, such as "numbers", are allowed.
func parseGPUs(list, device, given, words string) ([]int, error) {
	if device == DeviceCPU {
		return nil, fmt.Errorf("%s, but device is cpu", given)
	}
	n, err := cuda.Count()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", given, err)
	}

	var gpus []int
	if list == "all" {
		return firstGPUs(n), nil
	}

	// An empty word, as behind a last comma, is no number either.
	for _, word := range strings.Split(list, ",") {
		gpu, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || gpu < 0 || gpu >= n || slices.Contains(gpus, gpu) {
			return nil, fmt.Errorf("%s; allowed: %s below %d, each once", given, words, n)
		}
		gpus = append(gpus, gpu)
	}
	return gpus, nil
}
