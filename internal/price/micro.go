package price

import (
	"fmt"
	"math/big"
	"strings"
)

// Micro is an amount of money in millionths of the currency's unit: 1.5 EUR are 1,500,000. Cents
// would be too coarse, since a short clip on a CPU costs less than one.
type Micro int64

// microPlaces are the decimals of a Micro, microUnit is how many make one unit.
const (
	microPlaces = 6
	microUnit   = 1_000_000
)

// Most bounds an amount, so that sums of many of them do not overflow: a billion units.
const Most = Micro(1e9 * microUnit)

// String writes the amount in units, with two decimals at least and no needless zeros behind them.
func (m Micro) String() string {
	sign, n := "", uint64(m) //nolint:gosec // negative ones are turned below
	if m < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%s%d.%06d", sign, n/microUnit, n%microUnit)
	const cents = 2
	for range microPlaces - cents {
		text = strings.TrimSuffix(text, "0")
		if !strings.HasSuffix(text, "0") {
			break
		}
	}
	return text
}

// MarshalText writes it as String does: JSON has amounts as texts, which no reader rounds.
func (m Micro) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a decimal, with up to six digits behind its point.
func (m *Micro) UnmarshalText(text []byte) error {
	d, err := ParseDecimal(string(text))
	if err != nil {
		return err
	}
	scaled := new(big.Rat).Mul(d.rat(), big.NewRat(microUnit, 1))
	if !scaled.IsInt() || !scaled.Num().IsInt64() {
		return fmt.Errorf("%.40q is no amount; allowed: up to %d decimals", text, microPlaces)
	}
	*m = Micro(scaled.Num().Int64())
	return nil
}

// Decimal is a number exactly as it is written, such as 0.0012. Prices of a second have more digits
// than a Micro has, as a clip takes many seconds: they are rounded only in the sum.
type Decimal struct{ r *big.Rat }

// Limits on the digits of a decimal, before and behind its point.
const (
	wholeDigits    = 12
	fractionDigits = 12
)

// ParseDecimal reads digits with an optional sign and point: 12, -0.25. Nothing else, such as an
// exponent, is one.
func ParseDecimal(text string) (Decimal, error) {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	bad := whole == "" || point && fraction == "" || len(whole) > wholeDigits ||
		len(fraction) > fractionDigits || strings.Trim(whole+fraction, "0123456789") != ""
	r, ok := new(big.Rat).SetString(text)
	if bad || !ok {
		return Decimal{}, fmt.Errorf("%.40q is no decimal; allowed: such as 12 or 0.0005, with up to "+
			"%d digits before the point and %d behind it", text, wholeDigits, fractionDigits)
	}
	return Decimal{r}, nil
}

// rat returns the number; the zero Decimal is 0.
func (d Decimal) rat() *big.Rat {
	if d.r == nil {
		return new(big.Rat)
	}
	return d.r
}

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return d.rat().Sign() }

// Cmp compares it with a whole number: -1 if it is less, 1 if it is more.
func (d Decimal) Cmp(n int64) int { return d.rat().Cmp(new(big.Rat).SetInt64(n)) }

// String writes it without needless zeros.
func (d Decimal) String() string {
	text := d.rat().FloatString(fractionDigits) // exact: it has no more digits
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// round returns an amount in millionths, half away from zero, and no more than Most.
func round(units *big.Rat) Micro {
	scaled := new(big.Rat).Mul(units, big.NewRat(microUnit, 1))

	// Half is added away from zero, and the rest is cut off.
	half := big.NewRat(1, 2)
	if scaled.Sign() < 0 {
		half.Neg(half)
	}
	scaled.Add(scaled, half)
	n := new(big.Int).Quo(scaled.Num(), scaled.Denom()) // towards zero
	if !n.IsInt64() || n.Int64() > int64(Most) {
		return Most
	}
	return Micro(n.Int64())
}
