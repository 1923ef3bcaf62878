package shard

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/cuda"
)

// The values of Config.Device. Where the program was built without CUDA, there is no GPU.
const (
	DeviceCPU  = "cpu"
	DeviceCUDA = "cuda"
	DeviceAuto = "auto" // a GPU where there is one, or else the CPU
)

// DTypeAuto is the value of Config.DType for the type that the device is made for.
const DTypeAuto = "auto"

// device is what a shard computes on: package cpu's or cuda's.
type device interface {
	compute.Device
	// Arithmetic names what decides about the bits of results: ranks of one job must agree in it.
	Arithmetic() string
	// Threads returns how many threads compute; 0 for a GPU.
	Threads() int
}

// DefaultDType returns the type of products that devices are made for: GPUs have tensor cores for
// bfloat16, and compute float32 without them; most CPUs have no instructions for it.
func DefaultDType(onGPU bool) compute.DType {
	if onGPU {
		return compute.BF16
	}
	return compute.FP32
}

// settleTypes says in which type jobs compute here that name none, and returns the one that models
// are loaded for at the start.
func (s *Shard) settleTypes() (compute.DType, error) {
	t := DefaultDType(s.dev.Threads() == 0)
	for _, m := range s.models {
		m.info.Defaults.DType = t.String()
	}
	if s.cfg.DType == "" || s.cfg.DType == DTypeAuto {
		return t, nil
	}

	// Told here, since a weight that cannot be packed says it late and at length.
	t, err := compute.ParseDType(s.cfg.DType)
	if has := dtypes(s.dev); err == nil && !slices.Contains(has, t.String()) {
		err = fmt.Errorf("dtype is %q; allowed on %s: %s", t, s.dev.Name(), strings.Join(has, ", "))
	}
	return t, err
}

// openDevices opens the devices that the model and its decoder run on, which may be the same one.
// With DeviceCUDA a missing GPU is an error; with DeviceAuto the CPU takes its place, but a GPU
// that is there and cannot be opened is an error all the same.
func openDevices(cfg Config, log *slog.Logger) (main, decode device, err error) {
	switch cfg.Device {
	case "", DeviceCPU:
		return openCPU(cfg)
	case DeviceCUDA, DeviceAuto:
	default:
		return nil, nil, fmt.Errorf("device is %q; allowed: cpu, cuda, auto", cfg.Device)
	}

	conv, err := compute.ParseDType(cfg.VAEDType)
	if err != nil || conv == compute.FP8 {
		return nil, nil, fmt.Errorf("vae-dtype is %q; allowed: fp32, bf16", cfg.VAEDType)
	}
	gpu, err := cuda.Open(cuda.Options{Ordinal: cfg.GPU, Conv: conv})
	switch {
	case err == nil:
		log.Info("computing on a GPU", "device", gpu.Name())
		return gpu, gpu, nil
	case cfg.Device == DeviceCUDA:
		return nil, nil, fmt.Errorf("cannot compute on a GPU: %w; --device cpu does without", err)
	case !errors.Is(err, cuda.ErrNone):
		return nil, nil, err
	case cuda.Built:
		log.Info("computing on the CPU", "reason", err)
	}
	return openCPU(cfg)
}

// openCPU opens two devices, since the decoder may use more threads: while rank 0 decodes, the
// other shards of the process wait.
func openCPU(cfg Config) (main, decode device, err error) {
	if cfg.VAEDType == compute.BF16.String() {
		return nil, nil, errors.New("vae-dtype is bf16; allowed: fp32 on a CPU, which convolves in " +
			"nothing else")
	}
	m, err := cpu.New(cfg.Threads)
	if err != nil {
		return nil, nil, err
	}
	d, err := cpu.New(cmp.Or(cfg.DecodeThreads, cfg.Threads))
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	return m, d, nil
}
