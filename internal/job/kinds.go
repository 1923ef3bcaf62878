package job

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// How values of each type are read and shown. Numbers may have white space around them, as forms
// and flags do.
var (
	integer = kind[int]{written: form{TypeInteger, "an integer"}, show: number,
		parse: func(t string) (int, bool) { v, err := ParseInt(t); return v, err == nil }}
	// quality has no 0, which in a spec stands for the format's own.
	quality = kind[int]{written: form{TypeInteger, "an integer from 1 to 100"},
		show: number,
		parse: func(t string) (int, bool) {
			v, err := ParseInt(t)
			return v, err == nil && v != 0
		}}
	float = kind[float64]{written: form{TypeNumber, "a number"}, show: shownFloat, parse: parseFloat}
	rate  = kind[Rate]{written: form{TypeRate, "a number such as 16 or 23.976, or 24000/1001"},
		show: Rate.String, parse: func(t string) (Rate, bool) {
			v, err := ParseRate(strings.TrimSpace(t))
			return v, err == nil
		}}
	truth = kind[bool]{written: form{TypeBool, "true or false"}, show: strconv.FormatBool,
		parse: func(t string) (bool, bool) {
			v, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(t)))
			return v, err == nil
		}}
	seed = kind[uint64]{written: form{TypeSeed, SeedAllowed},
		show: func(v uint64) string { return strconv.FormatUint(v, 10) }}
	sigmas = kind[[]float64]{written: form{TypeNumbers, "falling numbers, such as [1, 0.9, 0.6]"},
		show: func(v []float64) string { return fmt.Sprint(v) }, parse: parseSigmas}
	mesh = kind[Mesh]{written: form{TypeMesh, meshAllowed}, show: Mesh.String, parse: parseMesh,
		json: func(m Mesh) any {
			if m == (Mesh{}) {
				return ""
			}
			return m.String()
		}}
)

// texts are kept as they are sent; T is a string, or a type of names.
func texts[T ~string](of Type) kind[T] {
	return kind[T]{written: form{of, "a text"}, parse: func(t string) (T, bool) { return T(t), true },
		show: func(v T) string { return quote(string(v)) }}
}

// names are texts of which a spec allows a few.
func names[T ~string]() kind[T] { return texts[T](TypeText) }

func shownFloat(v float64) string { return fmt.Sprint(v) }

// parseFloat takes finite numbers alone: no limit is stated for NaN, and JSON has no word for it.
func parseFloat(text string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// secondsSlot keeps a duration, and its text, which answers show again.
type secondsSlot struct{ slot[float64] }

func (s secondsSlot) set(r *Request, text string) (said, ok bool) {
	said, ok = s.slot.set(r, text)
	if len(text) > secondsTextLimit {
		return false, false
	}
	r.SecondsAsked = strings.TrimSpace(text)
	return said, ok
}

// guidanceLimit bounds scales of guidance.
var guidanceLimit = limit[float64]{"0 to 100",
	func(v float64) bool { return v >= 0 && v <= scaleLimit }}

const secondsTextLimit = 64 // bytes
