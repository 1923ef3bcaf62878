package cpu

import "github.com/klauspost/cpuid/v2"

//go:generate go run -C gen . -dir ..

// candidates returns the sets in assembly, best first. Intel's cores (measured: family 6, model
// 207) start a VDPBF16PS every other cycle: in bfloat16, products of float32 are twice as fast.
func candidates() []candidate {
	base := []cpuid.FeatureID{cpuid.AVX2, cpuid.FMA3, cpuid.BMI2}
	long := append(base[:len(base):len(base)], cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ,
		cpuid.AVX512VL)
	pairs := append(long[:len(long):len(long)], cpuid.AVX512BF16)
	sets := []candidate{
		{&avx512bf16, lacking(pairs)},
		{&avx512, lacking(long)},
		{&avx2, lacking(base)},
	}
	if cpuid.CPU.IsVendor(cpuid.Intel) {
		sets[0], sets[1] = sets[1], sets[0]
	}
	return sets
}

// lacking names the first feature that is not there, "" when all are.
func lacking(features []cpuid.FeatureID) string {
	for _, f := range features {
		if !cpuid.CPU.Has(f) {
			return f.String()
		}
	}
	return ""
}
