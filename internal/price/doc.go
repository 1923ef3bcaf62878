// Package price says what a clip costs: a Sheet has the prices of an operator, and Sheet.Bill
// applies them to the device time that a job is charged for.
//
// Money is exact. Prices are rational numbers as the sheet has them in decimals, everything is
// computed with those, and the result is rounded once, to a millionth of the currency's unit, half
// up (Micro). Nothing here reads a file, a clock or a float.
//
// A bill is made in this order: first the included device time of the subscription, then prices by
// kind of device, the model's factor or flat price, the priority's share, and last the minimum.
// Each step works on what the one before it has left, so that a discount never takes a job below
// the minimum, and what is included is never discounted.
package price
