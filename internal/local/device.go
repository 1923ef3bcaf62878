package local

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/cuda"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/shard"
)

// ChooseDevices takes what config.Devices says: the GPUs that device and gpus name (see
// shard.ChooseGPUs), and what they convolve in. What is not there, or not allowed, is a usage
// error.
func (c *Config) ChooseDevices(v *config.Values) (err error) {
	device := v.String("device")
	if c.GPUs, err = shard.ChooseGPUs(device, v.String("gpus")); err != nil {
		return daemon.Usagef("--%w", err)
	}
	if c.VAEDType = v.String("vae-dtype"); c.VAEDType == compute.BF16.String() && len(c.GPUs) == 0 {
		return daemon.Usagef("--vae-dtype is bf16; allowed: fp32 on a CPU")
	}

	// A program without CUDA would say nothing of a GPU, and people wonder why it is slow.
	_, err = os.Stat(nvidiaDevice)
	c.idleGPU = err == nil && !cuda.Built && device == shard.DeviceAuto
	return nil
}

// deviceOf returns what shard i computes on. With more shards than GPUs, several share one, as
// evenly as that goes.
func (c Config) deviceOf(i int) (device string, gpu int) {
	if len(c.GPUs) == 0 {
		return shard.DeviceCPU, 0
	}
	return shard.DeviceCUDA, c.GPUs[i%len(c.GPUs)]
}

// DefaultDType names the type in which a clip is computed that asks for none.
func (c Config) DefaultDType() string { return shard.DefaultDType(len(c.GPUs) > 0).String() }

// used returns the GPUs that a shard computes on: with fewer shards, the first ones.
func (c Config) used() []int { return c.GPUs[:min(len(c.GPUs), c.Shards)] }

// Computing says for people what the shards compute on, and in which type: "8 x NVIDIA H200 (cuda,
// bf16)". Commands print it first, since the choice decides about the time by orders of magnitude,
// and is made without the user where nothing was said. It opens no GPU: the driver knows the names.
// An error is the driver's.
func (c Config) Computing(dtype string) (string, error) {
	if len(c.GPUs) == 0 {
		return c.computingOnCPU(dtype)
	}

	var names []string
	count := map[string]int{}
	for _, gpu := range c.used() {
		name, err := cuda.NameOf(gpu)
		if err != nil {
			return "", err
		}
		if count[name]++; count[name] == 1 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%d x %s", count[name], name)
	}
	if dtype != c.DefaultDType() && dtype == compute.FP32.String() {
		dtype += ", which leaves tensor cores unused"
	}
	return fmt.Sprintf("%s (cuda, %s)", strings.Join(names, " and "), dtype), nil
}

// computingOnCPU is Computing for shards on the CPU.
func (c Config) computingOnCPU(dtype string) (string, error) {
	dev, err := cpu.New(1)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	return fmt.Sprintf("the CPU (%s, %s), %d x %d threads", dev.Arithmetic(), dtype, c.Shards,
		c.Threads), nil
}

// nvidiaDevice is there where the driver of an NVIDIA GPU is.
const nvidiaDevice = "/dev/nvidia0"

// DeviceNotices says what about the choice of devices may not be what the user expects, in a
// sentence each.
func (c Config) DeviceNotices() []string {
	var out []string
	if n := len(c.GPUs); n > 0 && c.Shards > n {
		out = append(out, fmt.Sprintf("%d shards share %d of this machine's GPUs, each with a copy of "+
			"the weights: one shard to a GPU is faster", c.Shards, n))
	}

	if c.idleGPU {
		out = append(out, "this machine has an NVIDIA GPU, which a program that was built without CUDA "+
			"cannot use; make cuda builds bin/cuda/longtake, which does")
	}
	return out
}

// Offers is what the shards are going to bring to a clip: an estimate of this machine's speed and
// memory, shared out among them. The speed is measured on the CPU, which takes a moment; an error
// is a usage error. It is asked before any shard starts. Of GPUs nothing is known by then: shards
// measure theirs when they have loaded the model.
func (c Config) Offers(m job.Model) ([]plan.Offer, error) {
	if len(c.GPUs) > 0 {
		return make([]plan.Offer, c.Shards), nil
	}
	speed, memory, err := shard.RateCPU(m, c.Threads, c.Shards)
	if err != nil {
		return nil, daemon.Usage(err)
	}
	return slices.Repeat([]plan.Offer{{Speed: speed, Memory: memory}}, c.Shards), nil
}
