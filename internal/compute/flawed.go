package compute

// Observer is offered by devices that see, in the sums that norms form anyway, whether the rows
// they are given are finite.
type Observer interface {
	// Flawed reports whether LayerNorm or RMSNorm has met a row with NaN or an infinity since it was
	// last asked. Operations that were stopped may have left such rows.
	Flawed() bool
}

// Flawed is dev's; one that sees nothing reports nothing.
func Flawed(dev Device) bool {
	o, ok := dev.(Observer)
	return ok && o.Flawed()
}
