package cpu

import "golang.org/x/sys/cpu"

//go:generate go run -C gen . -dir ..

// candidates returns the sets in assembly, best first.
func candidates() []candidate {
	x := &cpu.X86
	base := []feature{{"AVX2", x.HasAVX2}, {"FMA", x.HasFMA}, {"BMI2", x.HasBMI2}}
	long := append(base[:len(base):len(base)], feature{"AVX-512 F", x.HasAVX512F},
		feature{"AVX-512 BW", x.HasAVX512BW}, feature{"AVX-512 DQ", x.HasAVX512DQ},
		feature{"AVX-512 VL", x.HasAVX512VL})
	pairs := append(long[:len(long):len(long)], feature{"AVX-512 BF16", x.HasAVX512BF16})
	return []candidate{
		{&avx512bf16, lacking(pairs)},
		{&avx512, lacking(long)},
		{&avx2, lacking(base)},
	}
}

// feature is what a processor may have.
type feature struct {
	name string
	has  bool
}

// lacking names the first feature that is not there, "" when all are.
func lacking(all []feature) string {
	for _, f := range all {
		if !f.has {
			return f.name
		}
	}
	return ""
}
