package price

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// A bill explains itself: it has what was charged by kind of device, what a plan has covered, and
// which rules have changed the sum. A client that disagrees can compute it again from the sheet.

// Bill is what a job costs. It is fixed when the job ends: a sheet that changes later does not
// change it.
type Bill struct {
	Amount   Micro  `json:"amount"`
	Currency string `json:"currency"`
	// Sheet is the hash of the price sheet.
	Sheet string `json:"sheet"`
	// Devices are what was charged, a line for each kind.
	Devices []Line `json:"devices,omitempty"`
	// Plan is the subscription whose device time was used first; empty: none.
	Plan string `json:"plan,omitempty"`
	// Flat: the model has a price of its own, whatever its device time.
	Flat bool `json:"flat,omitempty"`
	// Percent is what the priority added to the price, negative for a discount.
	Percent string `json:"percent,omitempty"`
	// Minimum: the amount is the least that a job costs.
	Minimum bool `json:"minimum,omitempty"`
}

// Line is the part of a bill that is of devices of one kind.
type Line struct {
	Device string        `json:"device"`
	Time   time.Duration `json:"device_ns"`
	// Included is how much of the time the plan has paid for already.
	Included time.Duration `json:"included_ns,omitempty"`
	// Amount is this kind's part of the bill's; those of all kinds come to it exactly.
	Amount Micro `json:"amount"`
}

// Included returns how much device time of the bill its plan covers.
func (b Bill) Included() (t time.Duration) {
	for _, l := range b.Devices {
		t += l.Included
	}
	return t
}

// Time returns the device time that was charged for.
func (b Bill) Time() (t time.Duration) {
	for _, l := range b.Devices {
		t += l.Time
	}
	return t
}

// Limits on a bill.
const (
	linesMost = 16
	nameMost  = 256 // bytes
	timeMost  = 100 * 365 * 24 * time.Hour
)

// Check refuses a bill that no sheet can have led to.
func (b Bill) Check() error {
	if b.Amount < 0 || b.Amount > Most || len(b.Devices) > linesMost {
		return fmt.Errorf("an amount of %v for %d kinds of devices", b.Amount, len(b.Devices))
	}

	sum := Micro(0)
	for _, l := range b.Devices {
		if !isText(l.Device) || l.Amount < 0 || l.Amount > b.Amount || l.Included < 0 ||
			l.Included > l.Time || l.Time > timeMost {
			return fmt.Errorf("an amount of %v for %v on %.64q", l.Amount, l.Time, l.Device)
		}
		sum += l.Amount
	}
	if sum != b.Amount {
		return fmt.Errorf("an amount of %v whose lines come to %v", b.Amount, sum)
	}
	if !isText(b.Sheet) || !isText(b.Plan) || !isText(b.Percent) {
		return fmt.Errorf("texts of over %d bytes, or not UTF-8", nameMost)
	}
	return CheckCurrency(b.Currency)
}

func isText(s string) bool { return len(s) <= nameMost && utf8.ValidString(s) }

// CheckCurrency wants 1 to 8 capital letters, such as EUR.
func CheckCurrency(s string) error {
	ok := s != "" && len(s) <= 8
	for _, c := range []byte(s) {
		ok = ok && 'A' <= c && c <= 'Z'
	}
	if !ok {
		return fmt.Errorf("currency is %.32q; allowed: 1 to 8 capital letters, such as EUR", s)
	}
	return nil
}
