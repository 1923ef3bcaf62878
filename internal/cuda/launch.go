//go:build cuda

package cuda

import (
	"math"
	"unsafe"

	"gorgonia.org/cu"
)

// kernel names a kernel of the module.
type kernel int

// The kernels, as kernels/ defines them.
const (
	// v1: plain SIMT, any GPU.
	linearF32 kernel = iota
	linearBF16
	layerNorm
	rmsNormRope
	channelNorm
	attention64
	attention128
	attention384
	attention64BF16
	attention128BF16
	attention384BF16
	conv
	activate
	addVector
	add
	copyRows
	addMeans
	addRepeated
	packBF16
	unpackBF16

	// v2: mma, fed by asynchronous copies; packV2 rounds what it reads.
	packV2
	linearV2 // then its kinds, in the order of finishing
	linearV2Plain
	linearV2Active
	linearV2Residual
	linearV2Gated
	attentionV2Of32
	attentionV2Of64
	attentionV2Of128
	convVoxels
	convVoxelsBF16
	convWeights
	convV2Of32
	convV2Of96
	convV2Of32BF16
	convV2Of96BF16

	// v3: wgmma, fed by bulk copies; the two packers lay out panels.
	packV3
	linearV3
	linearV3Plain
	linearV3Active
	linearV3Residual
	linearV3Gated
	packValuesV3
	packFP8
	linearFP8
	linearFP8Plain
	linearFP8Active
	linearFP8Residual
	linearFP8Gated
	attentionV3Of64
	attentionV3Of128
	convV3Of32
	convV3Of96
	convV3Of192
	convV3Of32BF16
	convV3Of96BF16
	convV3Of192BF16

	kernelCount
)

// kernels describes each kernel. Threads and shared memory have to be those that its source in
// kernels/ was written for; the emulated GPU and the driver refuse others.
var kernels = [kernelCount]struct {
	name    string // in the module
	threads int    // of a block
	shared  int    // bytes of dynamic shared memory
	only    string // the generation that alone has it, "" for all
}{
	linearF32:        {"linear_v1", 256, 0, ""},
	linearBF16:       {"linear_v1_bf16", 256, 0, ""},
	layerNorm:        {"layer_norm", 128, 0, ""},
	rmsNormRope:      {"rms_norm_rope", 128, 0, ""},
	channelNorm:      {"channel_norm", 128, 0, ""},
	attention64:      {"attention_v1_64", 128, 0, ""},
	attention128:     {"attention_v1_128", 128, 0, ""},
	attention384:     {"attention_v1_384", 128, 0, ""},
	attention64BF16:  {"attention_v1_64_bf16", 128, 0, ""},
	attention128BF16: {"attention_v1_128_bf16", 128, 0, ""},
	attention384BF16: {"attention_v1_384_bf16", 128, 0, ""},
	conv:             {"conv_v1", 256, 0, ""},
	activate:         {"activate", 256, 0, ""},
	addVector:        {"add_vector", 256, 0, ""},
	add:              {"add", 256, 0, ""},
	copyRows:         {"copy", 256, 0, ""},
	addMeans:         {"add_means", 256, 0, ""},
	addRepeated:      {"add_repeated", 256, 0, ""},
	packBF16:         {"pack_bf16", 256, 0, ""},
	unpackBF16:       {"unpack_bf16", 256, 0, ""},
	packV2:           {"pack_v2", packer, 0, "v2"},
	linearV2:         {"linear_v2", 128, stagesV2 * 2 * tileV2 * depthV2 * 2, "v2"},
	linearV2Plain:    {"linear_v2_plain", 128, stagesV2 * 2 * tileV2 * depthV2 * 2, "v2"},
	linearV2Active:   {"linear_v2_active", 128, stagesV2 * 2 * tileV2 * depthV2 * 2, "v2"},
	linearV2Residual: {"linear_v2_residual", 128, stagesV2 * 2 * tileV2 * depthV2 * 2, "v2"},
	linearV2Gated:    {"linear_v2_gated", 128, stagesV2 * 2 * tileV2 * depthV2 * 2, "v2"},
	attentionV2Of32:  {"attention_v2_32", 128, sharedV2(32), "v2"},
	attentionV2Of64:  {"attention_v2_64", 128, sharedV2(64), "v2"},
	attentionV2Of128: {"attention_v2_128", 128, sharedV2(128), "v2"},
	convVoxels:       {"conv_voxels", 128, 0, "v2"},
	convVoxelsBF16:   {"conv_voxels_bf16", 128, 0, "v2"},
	convWeights:      {"conv_weights", 256, 0, "v2"},
	convV2Of32:       {"conv_v2_32", 256, sharedConv(3, 32), "v2"},
	convV2Of96:       {"conv_v2_96", 256, sharedConv(3, 96), "v2"},
	convV2Of32BF16:   {"conv_v2_32_bf16", 256, sharedConv(3, 32), "v2"},
	convV2Of96BF16:   {"conv_v2_96_bf16", 256, sharedConv(3, 96), "v2"},
	packV3:           {"pack_v3", packer, 0, "v3"},
	linearV3:         {"linear_v3", 384, sharedLinearV3, "v3"},
	linearV3Plain:    {"linear_v3_plain", 384, sharedLinearV3, "v3"},
	linearV3Active:   {"linear_v3_active", 384, sharedLinearV3, "v3"},
	linearV3Residual: {"linear_v3_residual", 384, sharedLinearV3, "v3"},
	linearV3Gated:    {"linear_v3_gated", 384, sharedLinearV3, "v3"},
	packValuesV3:     {"pack_values_v3", packer, 0, "v3"},

	packFP8:           {"pack_fp8", packer, 0, "v3"},
	linearFP8:         {"linear_fp8", 384, sharedFP8, "v3"},
	linearFP8Plain:    {"linear_fp8_plain", 384, sharedFP8, "v3"},
	linearFP8Active:   {"linear_fp8_active", 384, sharedFP8, "v3"},
	linearFP8Residual: {"linear_fp8_residual", 384, sharedFP8, "v3"},
	linearFP8Gated:    {"linear_fp8_gated", 384, sharedFP8, "v3"},

	attentionV3Of64:  {"attention_v3_64", 384, sharedV3(64), "v3"},
	attentionV3Of128: {"attention_v3_128", 384, sharedV3(128), "v3"},
	convV3Of32:       {"conv_v3_32", 384, sharedConv(4, 32) + 1024, "v3"},
	convV3Of96:       {"conv_v3_96", 384, sharedConv(3, 96) + 1024, "v3"},
	convV3Of192:      {"conv_v3_192", 384, sharedConv(5, 192) + 1024, "v3"},
	convV3Of32BF16:   {"conv_v3_32_bf16", 384, sharedConv(4, 32) + 1024, "v3"},
	convV3Of96BF16:   {"conv_v3_96_bf16", 384, sharedConv(3, 96) + 1024, "v3"},
	convV3Of192BF16:  {"conv_v3_192_bf16", 384, sharedConv(5, 192) + 1024, "v3"},
}

// value is one parameter of a kernel: a pointer, a whole number or a float64. gorgonia.org/cu hands
// over 8 bytes of each, so kernels take nothing smaller.
type value uint64

// Parameters of each kind.
func arg(p cu.DevicePtr) value { return value(p) }
func num(n int) value          { return value(n) }
func float(x float32) value    { return value(math.Float64bits(float64(x))) }
func flag(b bool) value {
	if b {
		return 1
	}
	return 0
}

// params holds the values of one launch, and pointers to them in the form that the driver wants.
// The driver copies the values before a launch returns, so a stream needs only one.
type params struct {
	values [32]value
	at     [32]unsafe.Pointer
}

// launch puts a kernel on the stream of operations, with a grid of x by y blocks. It returns before
// the kernel runs; errors of the driver stick.
func (d *Device) launch(k kernel, x, y int, values ...value) {
	d.launchOn(d.stream, &d.params, k, x, y, values)
}

// launchOn is launch on another stream, with params that no other goroutine uses. After an error of
// the driver, or a stop, it does nothing.
func (d *Device) launchOn(s cu.Stream, p *params, k kernel, x, y int, values []value) {
	if x == 0 || y == 0 || d.failure() != nil || d.stop.Stopped() {
		return
	}
	copy(p.values[:], values)
	for i := range values {
		p.at[i] = unsafe.Pointer(&p.values[i])
	}
	d.keep(d.kernels[k].Launch(x, y, 1, kernels[k].threads, 1, 1, kernels[k].shared, s,
		p.at[:len(values)]))
}

// elements launches a kernel that has a thread per element of v.
func (d *Device) elements(k kernel, v view, values ...value) {
	d.launch(k, ceil(v.rows*v.cols, kernels[k].threads), 1, values...)
}

// ceil returns n / per, rounded up.
func ceil(n, per int) int { return (n + per - 1) / per }
