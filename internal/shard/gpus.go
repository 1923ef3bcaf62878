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
	kind, list, err := splitDevice(device, gpus)
	switch {
	case err != nil, (kind == "" || kind == DeviceCPU) && list == "":
		return nil, err
	case list != "":
		return parseGPUs(list, kind)
	}

	n, err := cuda.Count()
	switch {
	case kind == DeviceAuto && errors.Is(err, cuda.ErrNone):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("device is %q: %w; cpu does without", device, err)
	}
	return firstGPUs(n), nil
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
		return firstGPUs(n), nil
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
