package shard

import (
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
)

// without is a device that lacks a type, as GPUs before Hopper lack fp8.
type without struct{ device }

func (without) DTypes() []compute.DType { return []compute.DType{compute.FP32, compute.BF16} }

// TestTypesOfADevice are refused by name before anything is loaded, with those that it has.
func TestTypesOfADevice(t *testing.T) {
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()

	s := &Shard{dev: without{dev}, cfg: Config{DType: "fp8"}}
	_, err = s.settleTypes()
	if err == nil || !strings.HasPrefix(err.Error(), `dtype is "fp8"; allowed on `) ||
		!strings.HasSuffix(err.Error(), ": fp32, bf16") {
		t.Error(err)
	}
	s.cfg.DType = "bf16"
	if got, err := s.settleTypes(); err != nil || got != compute.BF16 {
		t.Errorf("%v, %v", got, err)
	}
}
