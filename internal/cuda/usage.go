//go:build cuda

package cuda

// usage counts the bytes of pieces that are handed out. What the driver gave in advance, and nobody
// uses, does not count.
type usage struct{ now, most int64 }

// took counts a piece, and returns it.
func (u *usage) took(m *memory) *memory {
	u.now += m.bytes
	u.most = max(u.most, u.now)
	return m
}

// gave counts a piece that came back.
func (u *usage) gave(m *memory) { u.now -= m.bytes }

// MemoryPeak returns the most bytes of the GPU that were in use at once since the last call:
// weights, activations and what operations work with.
func (d *Device) MemoryPeak() int64 {
	d.enter("MemoryPeak")
	defer d.leave()
	d.keep(d.memory.freePending()) // what the collector has found
	peak := d.memory.usage.most
	d.memory.usage.most = d.memory.usage.now
	return peak
}
