package compute

// FiniteObserver is offered by devices that notice NaN and infinities in the sums that norms
// compute anyway, so that watching for them costs no pass over the data.
type FiniteObserver interface {
	// SawNonFinite reports whether LayerNorm or RMSNorm has met a row with NaN or an infinity since
	// the previous call, and clears the flag. Operations that were stopped may have left such rows.
	SawNonFinite() bool
}

// SawNonFinite asks dev whether a norm has met NaN or an infinity since the previous call. Devices
// that do not observe their norms always report false.
func SawNonFinite(dev Device) bool {
	o, ok := dev.(FiniteObserver)
	return ok && o.SawNonFinite()
}
