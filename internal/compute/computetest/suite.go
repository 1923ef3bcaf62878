package computetest

import (
	"slices"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// Open starts a device with the given number of threads and closes it when the test ends. A device
// without threads may ignore the number. A device that cannot be started fails the test or skips
// it.
type Open func(t testing.TB, threads int) compute.Device

// Run holds the device that open starts to compute.Device's contract. tol bounds the error of an
// element y against the float64 reference by tol·(1+|y|); inputs are drawn so that results are of
// order one. Operations in bfloat16 round their inputs in the reference as well, so the same bound
// holds for them, but for attention, which also rounds probabilities. The tests of every device
// call it, so two devices agree to within the sum of their tolerances. conv is the tolerance of
// convolutions.
func Run(t *testing.T, open Open, tol, conv float64) {
	s := &suite{open: open, tol: tol, convTol: conv}

	// Operations whose rows are independent of each other.
	for _, c := range []struct {
		name string
		draw func(*rapid.T) *trial
	}{
		{"Linear", drawLinear},
		{"LayerNorm", drawLayerNorm},
		{"RMSNorm", drawRMSNorm},
		{"ChannelNorm", drawChannelNorm},
		{"Activate", drawActivate},
		{"AddVector", drawAddVector},
		{"Add", drawAdd},
		{"Copy", drawCopy},
		{"Attention", drawAttention},
	} {
		t.Run(c.name, func(t *testing.T) { s.rowwise(t, c.draw) })
	}

	// FP8, where the device has it.
	if dev := open(t, 1); slices.Contains(compute.DTypesOf(dev), compute.FP8) {
		t.Run("LinearFP8", func(t *testing.T) { s.rowwise(t, drawLinearFP8(s.tolFP8(dev))) })
		t.Run("NotFiniteFP8", s.notFiniteFP8)
	}

	// Memory and transfers.
	t.Run("Memory", s.memory)
	t.Run("BF16Transfers", s.transfers)
	t.Run("Operands", s.operands)
	t.Run("OperandsOfAttention", s.attentionOperands)
	t.Run("Stopping", s.stopping)

	// Convolutions, whose rows read each other.
	t.Run("Conv", s.conv)
	t.Run("ConvFrameByFrame", s.convFrames)

	// What relates volumes of different sizes.
	t.Run("AddMeans", func(t *testing.T) { s.blocks(t, true) })
	t.Run("AddRepeated", func(t *testing.T) { s.blocks(t, false) })

	// Attention beyond what is drawn at random: parts of it, biases, sizes of many tiles.
	t.Run("AttentionHeads", s.attentionHeads)
	t.Run("AttentionRelBiasRows", s.attentionRelBias)
	t.Run("AttentionPaddedKeys", s.attentionPadded)
	t.Run("AttentionLargeLogits", s.attentionLarge)
	t.Run("AttentionOfManyRows", s.attentionOfManyRows)
	t.Run("AttentionOfManyKeys", s.attentionOfManyKeys)
	t.Run("AttentionKeepsItsSums", s.attentionKeepsItsSums)
	t.Run("AttentionToListedKeys", s.attentionToListedKeys)
	t.Run("AttentionToOddLists", s.attentionToOddLists)

	// Linear layers: parts of a weight, sizes of many tiles.
	t.Run("LinearParts", s.linearParts)
	t.Run("LinearOfManyRows", s.linearOfManyRows)

	// The edges of float32.
	t.Run("ZeroRows", s.zeroRows)
	t.Run("Subnormals", s.subnormals)
	t.Run("Activations", s.activations)
	t.Run("NotFinite", s.notFinite)
	t.Run("HugeRows", s.hugeRows)
}

// RunConv is Run for convolutions alone, on devices whose convolutions multiply numbers of a type.
func RunConv(t *testing.T, open Open, tol float64, convs compute.DType) {
	s := &suite{open: open, convTol: tol, convs: convs}
	t.Run("Conv", s.conv)
	t.Run("ConvFrameByFrame", s.convFrames)
}

// suite is one run: how to open devices, and how exact they must be. Its methods are the tests that
// need more than one trial, or another shape of case.
type suite struct {
	open Open
	tol  float64 // see Run

	convTol float64       // of convolutions
	convs   compute.DType // that they multiply
}

// devices opens a device with one thread, one with two and one with three: an odd number leaves
// shares of different sizes.
func (s *suite) devices(t *testing.T) []compute.Device {
	var all []compute.Device
	for threads := 1; threads <= 3; threads++ {
		all = append(all, s.open(t, threads))
	}
	return all
}

// rowwise checks trials of an operation whose rows are independent of each other: against the
// reference, a range of rows alone, other thread counts, and with one row poisoned. All but the
// first compare bits: a mesh of ranks computes ranges of rows, and must give the bytes of one rank.
func (s *suite) rowwise(t *testing.T, draw func(*rapid.T) *trial) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)

		// The reference first, then the same bits with any number of threads.
		whole := c.run(t, devs[0], 0, c.rows)
		close(t, whole, c.want, max(s.tol, c.tol))
		for i, dev := range devs[1:] {
			same(t, c.run(t, dev, 0, c.rows), whole, "%d threads against 1", i+2)
		}

		// A range of rows alone.
		lo := rapid.IntRange(0, c.rows-1).Draw(t, "lo")
		hi := rapid.IntRange(lo, c.rows).Draw(t, "hi")
		dev := rapid.SampledFrom(devs).Draw(t, "device")
		same(t, c.run(t, dev, lo, hi), whole[lo*c.cols:hi*c.cols], "rows [%d, %d) alone", lo, hi)

		// NaN and infinities in one row stay there.
		if c.poison != nil {
			c.poison(lo)
			got := c.run(t, dev, 0, c.rows)
			same(t, got[:lo*c.cols], whole[:lo*c.cols], "rows before poisoned %d", lo)
			same(t, got[(lo+1)*c.cols:], whole[(lo+1)*c.cols:], "rows after poisoned %d", lo)
		}
	})
}
