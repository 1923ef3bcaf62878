package perf

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Measured is an item that was timed on a device, as longtake bench gpu times it.
type Measured struct {
	Name       string
	DType      string
	Operations float64 // in a second
}

// With returns the device with efficiencies that were measured on it: the mean of products as
// blocks have them, the longest attention, and the mean of the decoder's convolutions, each by its
// time. The bandwidth's stays that of the profile longtake. The source says where they were
// measured. It is an error if an item of the three is missing, or the device has no peak in bf16.
func (d Device) With(rows []Measured, where string) (Device, error) {
	peak := d.Peak["bf16"]
	if peak == 0 {
		return Device{}, fmt.Errorf("cannot tell what %s reaches: it has no peak in bf16", d.Name)
	}
	how, err := FindProfile(Longtake)
	if err != nil {
		return Device{}, err
	}

	// As blocks have them: products with a bias, not the bare ones, which reach more.
	block := func(name string) bool { return strings.Contains(name, "bias") }
	linear := mean(rows, "gemm ", "bf16", block)

	attention := 0.
	for _, r := range rows {
		if r.DType == "bf16" && strings.HasPrefix(r.Name, "attention ") {
			attention = max(attention, r.Operations)
		}
	}

	conv := mean(rows, "conv ", "fp32", func(string) bool { return true })
	if min(linear, attention, conv) <= 0 {
		return Device{}, errors.New("cannot tell what a device reaches without products, attention and " +
			"convolutions; allowed: all items of the benchmark")
	}

	e := how.Efficiency(d, "bf16")
	e.Linear, e.Attention = min(linear/peak, 1), min(attention/peak, 1)
	e.Convolution, e.From = min(how.Products*conv/peak, 1), where
	d.Source = "measured: " + where + "; peaks: " + strings.TrimPrefix(d.Source, "datasheet: ")
	d.Efficiency = map[string]Efficiency{"bf16": e}
	return d, nil
}

// mean returns the operations a second of the items whose names begin with a prefix, each of which
// is as much work: their harmonic mean.
func mean(rows []Measured, prefix, dtype string, wanted func(string) bool) float64 {
	n, seconds := 0., 0.
	for _, r := range rows {
		if r.DType == dtype && r.Operations > 0 && strings.HasPrefix(r.Name, prefix) && wanted(r.Name) {
			n, seconds = n+1, seconds+1/r.Operations
		}
	}
	if n == 0 {
		return 0
	}
	return n / seconds
}

// Write writes the device as Read reads it.
func (d Device) Write(w io.Writer) error {
	f := deviceFile{Name: d.Name, Aliases: slices.Clone(d.Aliases), Source: d.Source, Arch: d.Arch,
		Memory: float64(d.Memory) / (1 << 30), TFLOPS: map[string]float64{},
		Bandwidth: d.Bandwidth / 1e9, Units: d.Units, Link: d.Link / 1e9, Bus: d.Bus,
		Host: d.Host / 1e9, Watts: d.Watts, Reached: d.Efficiency,
		Cores: d.Cores, Shared: d.Shared, Overhead: d.Overhead}
	for t, v := range d.Peak {
		f.TFLOPS[t] = v / 1e12
	}

	if err := f.check(); err != nil {
		return fmt.Errorf("device %.64q: %w", d.Name, err)
	}
	text, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("cannot write the device: %w", err)
	}
	_, err = w.Write(text)
	return err
}
