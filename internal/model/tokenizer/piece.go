package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// piece is one entry of a Unigram vocabulary.
type piece struct {
	text  string  // UTF-8, with ▁ for a space
	score float64 // log probability
}

// pieceList is a vocabulary; the index of a piece is its id. It has a UnmarshalJSON of its own.
type pieceList []piece

// UnmarshalJSON reads a list of ["text", score], of at most piecesMax. It is read by hand, since a
// vocabulary has hundreds of thousands of pieces. encoding/json has checked already that data is
// JSON.
func (l *pieceList) UnmarshalJSON(data []byte) error {
	s := scanner{text: string(data)}
	*l = nil
	if !s.take('[') {
		return nil // another type of model, which is refused by its type
	}
	for !s.take(']') {
		// Valid JSON has its commas where they belong, so they need no check.
		if len(*l) > 0 {
			s.take(',')
		}

		p, err := s.piece()
		if err != nil {
			return err
		}
		if *l = append(*l, p); len(*l) > piecesMax {
			return fmt.Errorf("model.vocab has more pieces than the %d allowed", piecesMax)
		}
	}
	return nil
}

// scanner reads text that is known to be JSON from front to back.
type scanner struct {
	text string
	at   int // the next byte
}

// next skips white space and returns the byte that follows, without taking it; 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take skips white space, and c if it follows; it reports whether it did.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

// piece reads ["text", score].
func (s *scanner) piece() (p piece, err error) {
	s.next()

	// Kept for errors, which show where the piece begins.
	start := s.at
	wrong := func() error {
		return fmt.Errorf("model.vocab has %.40q; allowed: [text, score]", s.text[start:])
	}
	if !s.take('[') || s.next() != '"' {
		return p, wrong()
	}

	if p.text, err = s.string(); err != nil {
		return p, err
	}
	if len(p.text) > pieceBytesMax {
		return p, fmt.Errorf("model.vocab has a piece of %d bytes; allowed: up to %d", len(p.text),
			pieceBytesMax)
	}

	if !s.take(',') {
		return p, wrong()
	}
	number := s.number()
	if number == "" || !s.take(']') {
		return p, wrong()
	}
	p.score, err = parseScore(number)
	return p, err
}

// string reads the string that begins here. Without escapes it is a part of the text, not a copy.
func (s *scanner) string() (string, error) {
	start, plain := s.at, true
	for s.at++; s.at < len(s.text) && s.text[s.at] != '"'; s.at++ {
		// An escaped character, a quotation mark among them, is passed over.
		if s.text[s.at] == '\\' {
			plain = false
			s.at++
		}
	}
	s.at++
	if plain {
		return s.text[start+1 : s.at-1], nil
	}

	var text string
	err := json.Unmarshal([]byte(s.text[start:s.at]), &text)
	return text, err
}

// number reads a number; "" if something else follows.
func (s *scanner) number() string {
	s.next()
	start := s.at
	for s.at < len(s.text) && strings.IndexByte("+-.0123456789eE", s.text[s.at]) >= 0 {
		s.at++
	}
	return s.text[start:s.at]
}

// parseScore reads a JSON number as the reference does: the digits as an integer, as far as 64 bits
// hold them, times or over a power of ten (the default number parsing of serde_json). With 16
// digits and more, the result is often a neighbour of the nearest float64, and ties between pieces
// are decided by such last bits.
func parseScore(text string) (float64, error) {
	// A number is sign, whole part, fraction and exponent; the last two may be missing.
	mantissa, exponentText := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponentText = text[:i], text[i+1:]
	}

	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil || exponent > 1<<20 ||
			exponent < -1<<20 {
			return 0, fmt.Errorf("model.vocab has the score %.40s; allowed: what a float64 holds", text)
		}
	}

	// Digits beyond 64 bits are dropped; each one before the point is worth a power of ten.
	digits, dropped := uint64(0), false
	digits, exponent, dropped = appendDigits(digits, whole, exponent)
	if !dropped {
		var kept int
		digits, kept, _ = appendDigits(digits, fraction, 0)
		exponent -= len(fraction) - kept
	}

	value := scale(float64(digits), exponent)
	if math.IsInf(value, 0) {
		return 0, fmt.Errorf("model.vocab has the score %.40s; allowed: what a float64 holds", text)
	}

	if strings.HasPrefix(text, "-") {
		value = -value
	}
	return value, nil
}

// appendDigits appends decimal digits to n while 64 bits hold them, and reports whether it dropped
// any. Each dropped digit raises exponent by one.
func appendDigits(n uint64, digits string, exponent int) (uint64, int, bool) {
	for i := range len(digits) {
		d := uint64(digits[i] - '0')
		if n > (math.MaxUint64-d)/10 {
			return n, exponent + len(digits) - i, true
		}
		n = n*10 + d
	}
	return n, exponent, false
}

// scale multiplies value by 10^exponent, in one rounding where that power is a float64. A result
// too large is +Inf, which the caller refuses; one too small is 0.
func scale(value float64, exponent int) float64 {
	const largest = 308

	// Results below the smallest power: one division more, then zero.
	for exponent < -largest && value != 0 {
		value, exponent = value/1e308, exponent+largest
	}
	if value == 0 {
		return 0
	}

	size := max(exponent, -exponent)
	if size > largest {
		return math.Inf(1)
	}

	if exponent < 0 {
		return value / powers()[size]
	}
	return value * powers()[size]
}

// powers returns the powers of ten that a float64 holds, each rounded to the nearest, by exponent.
var powers = sync.OnceValue(func() *[309]float64 {
	var p [309]float64
	for i := range p {
		p[i], _ = strconv.ParseFloat("1e"+strconv.Itoa(i), 64) // never fails
	}
	return &p
})
