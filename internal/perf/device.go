package perf

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/userfile"
)

// Device is a kind of GPU or CPU.
type Device struct {
	Name    string
	Aliases []string // other names that Find knows, among them those that drivers report
	// Source says where the figures are from: "datasheet: ..." or "measured: ...".
	Source string
	// Arch names the generation, by which profiles have their efficiencies.
	Arch   string
	Memory int64 // bytes
	// Peak is in floating-point operations per second, two for each multiply-add, of dense operands,
	// by type: fp32, tf32, bf16, fp8, fp4.
	Peak      map[string]float64
	Bandwidth float64 // of its memory, in bytes per second
	// Units are what works on tiles apart from each other: multiprocessors; 0: tiles do not matter.
	Units int
	// Link is what a device sends another one of its host at most, in bytes per second; Bus names it:
	// nvlink, pcie, xgmi or memory.
	Link float64
	Bus  string
	// Host is what goes to the host's memory, in bytes per second.
	Host  float64
	Watts float64 // at most
	// Efficiency is what was measured of this program's kernels, by type; it goes before that of the
	// profile longtake.
	Efficiency map[string]Efficiency
	// Cores are those of a CPU, which all ranks of a host share; 0: the device is its rank's alone.
	Cores int
	// Shared is what was measured with one core for each rank, and all of them at work.
	Shared map[string]Efficiency
	// Overhead is what was measured of all else; zero: it is as the profile has it.
	Overhead Overhead
}

// Efficiency is what programs reach, as a part of a device's peak. It is of large pieces of work:
// what small ones lose, because the last wave of tiles leaves units idle, is computed apart.
type Efficiency struct {
	Linear float64 `yaml:"linear"` // linear layers
	// Attention is a part of the peak in bf16, or in fp32 for a clip in that; kernels that multiply
	// in fewer bits reach more than 1.
	Attention   float64 `yaml:"attention"`
	Convolution float64 `yaml:"convolution"` // of the decoder
	Memory      float64 `yaml:"memory"`      // of the bandwidth
	From        string  `yaml:"from"`        // where these are from

	// What is measured only where it counts, on CPUs: the operations that a score takes beside its
	// products, the bytes that a pass moves for each weight, and the seconds that a layer takes
	// whatever its size.
	Softmax float64 `yaml:"softmax-operations,omitempty"`
	Weight  float64 `yaml:"weight-bytes,omitempty"`
	Layer   float64 `yaml:"layer-seconds,omitempty"`
	// Idle is how much longer passes of clips take than they compute, as a part of that, where a rank
	// has its core to itself.
	Idle float64 `yaml:"idle-part,omitempty"`
	// Of decoding: the first latent frame as a part of another one, how often what the decoder holds
	// is moved for each of them, and the seconds that it takes whatever its size. All are 0 where
	// the profile's bytes for each pixel hold.
	First   float64 `yaml:"first-frame,omitempty"`
	Decoded float64 `yaml:"decoded-times,omitempty"`
	Frame   float64 `yaml:"frame-seconds,omitempty"`
}

// Overhead is what clips take beside what they compute, in seconds.
type Overhead struct {
	Fixed   float64 `yaml:"fixed-seconds"`   // once for each clip: orders, noise, storing
	Text    float64 `yaml:"text-seconds"`    // its prompts
	Step    float64 `yaml:"step-seconds"`    // a step, beside its passes
	Encode  float64 `yaml:"encode-seconds"`  // a pixel of the video, on one core
	Message float64 `yaml:"message-seconds"` // of the CPU, for each that a rank sends and receives
	Byte    float64 `yaml:"byte-seconds"`    // likewise, of each byte
	Error   float64 `yaml:"error"`           // the relative standard error of predictions
}

// Types are those that a peak may be of.
var Types = []string{"fp32", "tf32", "bf16", "fp8", "fp4"}

// buses are the links of devices.
var buses = []string{"nvlink", "pcie", "xgmi", "memory"}

// FileMax bounds a file of a device or a profile, in bytes.
const FileMax = 64 << 10

// deviceFile is the form of a file, in the units of data sheets: GiB of memory, but 1e9 bytes and
// 1e12 operations a second, so that a figure can be compared with where it is from at a glance.
type deviceFile struct {
	Name      string                `yaml:"name"`
	Aliases   []string              `yaml:"aliases,omitempty"`
	Source    string                `yaml:"source"`
	Arch      string                `yaml:"architecture"`
	Memory    float64               `yaml:"memory-gib"`
	TFLOPS    map[string]float64    `yaml:"dense-tflops"`
	Bandwidth float64               `yaml:"bandwidth-gb"`
	Units     int                   `yaml:"units,omitempty"`
	Link      float64               `yaml:"link-gb"` // in one direction
	Bus       string                `yaml:"link"`
	Host      float64               `yaml:"host-gb"`
	Watts     float64               `yaml:"watts"`
	Reached   map[string]Efficiency `yaml:"efficiency,omitempty"`
	Cores     int                   `yaml:"cores,omitempty"`
	Shared    map[string]Efficiency `yaml:"shared-efficiency,omitempty"`
	Overhead  Overhead              `yaml:"overhead,omitempty"`
}

//go:embed devices/*.yaml
var deviceFiles embed.FS

// devices reads those that come with the program, by name.
var devices = sync.OnceValue(func() (all []Device) {
	for _, text := range embedded(deviceFiles, "devices") {
		d, err := Read(strings.NewReader(text))
		if err != nil {
			panic(err) // a test reads each
		}
		all = append(all, d)
	}
	return all
})

// embedded returns the files of a folder.
func embedded(from embed.FS, folder string) (texts []string) {
	entries, err := from.ReadDir(folder)
	for _, e := range entries {
		text, failed := from.ReadFile(path.Join(folder, e.Name()))
		err = cmp.Or(err, failed)
		texts = append(texts, string(text))
	}
	if err != nil {
		panic(err) // the program's own files
	}
	return texts
}

// Devices lists the names that Find knows, without aliases.
func Devices() (names []string) {
	for _, d := range devices() {
		names = append(names, d.Name)
	}
	return names
}

// Find returns a device that comes with the program, by its name or an alias; small and capital
// letters, spaces, dashes and underscores are the same. The error lists those that exist.
func Find(name string) (Device, error) {
	plain := plainly(name)
	for _, d := range devices() {
		named := func(alias string) bool { return plainly(alias) == plain }
		if named(d.Name) || slices.ContainsFunc(d.Aliases, named) {
			return d, nil
		}
	}
	return Device{}, fmt.Errorf("device is %.64q;%s allowed: %s, or a file that describes one", name,
		config.Hint(Devices(), strings.ToUpper(name)), strings.Join(Devices(), ", "))
}

// plainly returns what of a name counts.
func plainly(name string) string {
	return strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(name))
}

// Read reads a device's file: YAML, as those in the folder devices of this package. It is strict:
// unknown keys, keys that stand twice and figures beyond all sense are errors.
func Read(r io.Reader) (Device, error) {
	var f deviceFile
	if err := decode(r, &f); err != nil {
		return Device{}, fmt.Errorf("cannot read the device: %w", err)
	}
	if err := f.check(); err != nil {
		return Device{}, fmt.Errorf("device %.64q: %w", f.Name, err)
	}

	d := Device{Name: f.Name, Aliases: f.Aliases, Source: f.Source, Arch: f.Arch,
		Memory: int64(f.Memory * (1 << 30)), Peak: map[string]float64{},
		Bandwidth: f.Bandwidth * 1e9, Units: f.Units, Link: f.Link * 1e9, Bus: f.Bus,
		Host: f.Host * 1e9, Watts: f.Watts, Efficiency: f.Reached,
		Cores: f.Cores, Shared: f.Shared, Overhead: f.Overhead}
	for t, v := range f.TFLOPS {
		d.Peak[t] = v * 1e12
	}
	return d, nil
}

// decode reads one document of YAML into a struct that has all of its keys.
func decode(r io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(r, FileMax+1))
	if err != nil {
		return err
	}
	// A key that is misspelt would be a figure that silently is not there.
	return userfile.YAML(text, FileMax, into)
}

// check wants figures that products of them cannot overflow, and what predictions need.
func (f *deviceFile) check() error {
	const nameMax, sourceMax, namesMax, most = 64, 512, 16, 1e7
	// Names are printed in tables and compared with what people type.
	names := append([]string{f.Name, f.Arch}, f.Aliases...)
	for _, n := range names {
		if n == "" || len(n) > nameMax || len(names) > namesMax+2 {
			return fmt.Errorf("name, architecture or alias %.70q; allowed: 1 to %d bytes, %d aliases", n,
				nameMax, namesMax)
		}
	}

	// A plan shows the source, so that a figure nobody measured is not taken for one.
	kind, where, _ := strings.Cut(f.Source, ": ")
	if kind != "datasheet" && kind != "measured" || where == "" || len(f.Source) > sourceMax {
		return fmt.Errorf("source is %.80q; allowed: \"datasheet: ...\" or \"measured: ...\"", f.Source)
	}
	if !slices.Contains(buses, f.Bus) {
		return fmt.Errorf("link is %.40q; allowed: %s", f.Bus, strings.Join(buses, ", "))
	}
	if len(f.TFLOPS) == 0 || f.Units < 0 || f.Units > most {
		return fmt.Errorf("%d dense-tflops, %d units; allowed: one peak at least, up to %g units",
			len(f.TFLOPS), f.Units, most)
	}

	// Zero would divide by nothing, or say that something takes no time at all.
	figures := map[string]float64{"memory-gib": f.Memory, "bandwidth-gb": f.Bandwidth,
		"link-gb": f.Link, "host-gb": f.Host, "watts": f.Watts}
	for t, v := range f.TFLOPS {
		figures["dense-tflops of "+t] = v
		if !slices.Contains(Types, t) {
			return fmt.Errorf("dense-tflops of %.40q; allowed: %s", t, strings.Join(Types, ", "))
		}
	}
	for name, v := range figures {
		if !(v > 0 && v <= most) {
			return fmt.Errorf("%s is %v; allowed: above 0 to %g", name, v, most)
		}
	}

	for _, reached := range []map[string]Efficiency{f.Reached, f.Shared} {
		for t, e := range reached {
			if !slices.Contains(Types, t) {
				return fmt.Errorf("efficiency of %.40q; allowed: %s", t, strings.Join(Types, ", "))
			}
			if err := e.check(); err != nil {
				return err
			}
		}
	}
	if f.Cores < 0 || f.Cores > most || f.Cores == 0 && len(f.Shared) > 0 {
		return fmt.Errorf("cores is %d; allowed: 0 to %g, and at least 1 with shared-efficiency",
			f.Cores, most)
	}
	return f.Overhead.check()
}

// check wants seconds.
func (o Overhead) check() error {
	const most = 3600
	for _, v := range []float64{o.Fixed, o.Text, o.Step, o.Encode, o.Message, o.Byte, o.Error} {
		if !(v >= 0 && v <= most) {
			return fmt.Errorf("overhead %v; allowed: 0 to %d each", o, most)
		}
	}
	return nil
}

// check wants parts.
func (e Efficiency) check() error {
	const attentionMost, fromMax = 4, 512
	for _, v := range []float64{e.Linear, e.Attention / attentionMost, e.Convolution, e.Memory} {
		if !(v > 0 && v <= 1) || len(e.From) > fromMax {
			return fmt.Errorf("efficiency %.200v; allowed: above 0 to 1 each, attention to %d", e,
				attentionMost)
		}
	}
	const most = 1e6
	for _, v := range []float64{e.Softmax, e.Weight, e.Layer, e.Idle, e.First, e.Decoded,
		e.Frame} {
		if !(v >= 0 && v <= most) {
			return fmt.Errorf("efficiency %.200v; allowed: 0 to %g for what is beside the parts", e, most)
		}
	}
	return nil
}
