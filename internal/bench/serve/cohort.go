package serve

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

// PeakMeasured says of a device's peak that it was measured when the run began.
const PeakMeasured = "measured: matrix products of the model's size, before the run"

// Who reads a result a year later has to know on what it was measured, and nobody writes that down
// by hand. The load generator's machine is part of it: an embedded cluster runs on it, and a slow
// one is late with its requests.

// Cohort is what a server says of itself, and this machine, in the result's words.
func Cohort(s target.Server) result.Cohort {
	c := result.Cohort{Dialect: s.Dialect, Product: s.Product, Version: s.Version, Model: s.Model,
		DType: s.Dtype, Transport: s.Transport, Mesh: s.Mesh, Details: s.Details, Host: host()}
	for _, d := range s.Devices {
		c.Devices = append(c.Devices, result.Device{Kind: d.Kind, Count: d.Count})
	}
	return c
}

// Systems other than Linux tell the same in other places, and a load generator on a laptop is no
// server: what is missing there is left out of the result.

// host describes this machine, as far as it tells: Linux does. Its name is left out, as results are
// shown to others.
func host() result.Host {
	h := result.Host{Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), CPU: valueIn("/proc/cpuinfo", "model name")}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(kernel))
	}
	kilobytes, _ := strings.CutSuffix(valueIn("/proc/meminfo", "MemTotal"), " kB")
	if n, err := strconv.ParseInt(kilobytes, 10, 64); err == nil {
		h.Memory = n << 10
	}
	return h
}

// valueIn returns the first value of a name in a file of lines "name: value", "" if there is none.
func valueIn(path, name string) string {
	text, _ := os.ReadFile(path) // not on every system
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
