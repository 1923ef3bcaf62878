package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// piece is one entry of a Unigram vocabulary; score is its log probability.
type piece struct {
	text  string
	score float64
}

// pieceList is a vocabulary; the index of a piece is its id.
type pieceList []piece

// UnmarshalJSON reads a list of ["text", score] and holds it to piecesMax. A vocabulary has
// hundreds of thousands, so it is read by hand; encoding/json has seen already that data is JSON.
func (l *pieceList) UnmarshalJSON(data []byte) error {
	s := scanner{text: string(data)}
	*l = nil
	if !s.take('[') {
		return nil // of another type of model, which is told before that there are no pieces
	}
	for !s.take(']') {
		if len(*l) > 0 {
			s.take(',')
		}
		p, err := s.piece()
		if err != nil {
			return err
		}
		if *l = append(*l, p); len(*l) > piecesMax {
			return fmt.Errorf("model.vocab: more than %d pieces", piecesMax)
		}
	}
	return nil
}

// scanner reads text that is JSON from front to back.
type scanner struct {
	text string
	at   int
}

// next skips white space and returns the byte that follows, 0 at the end.
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

// take skips c if it follows.
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
	start := s.at
	wrong := func() error {
		return fmt.Errorf("model.vocab: %.40s, want [text, score]", s.text[start:])
	}
	if !s.take('[') || s.next() != '"' {
		return p, wrong()
	}
	if p.text, err = s.string(); err != nil {
		return p, err
	}
	if len(p.text) > pieceBytesMax {
		return p, fmt.Errorf("model.vocab: a piece of %d bytes, at most %d are allowed", len(p.text),
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

// string reads a string that begins here.
func (s *scanner) string() (string, error) {
	start, plain := s.at, true
	for s.at++; s.at < len(s.text) && s.text[s.at] != '"'; s.at++ {
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

// number reads a number, "" if something else follows.
func (s *scanner) number() string {
	s.next()
	start := s.at
	for s.at < len(s.text) && strings.IndexByte("+-.0123456789eE", s.text[s.at]) >= 0 {
		s.at++
	}
	return s.text[start:s.at]
}

// parseScore reads a JSON number as the reference does: the digits as an integer, as far as 64
// bits hold it, times or over a power of ten. For numbers of 16 digits and more that is often the
// neighbour of the nearest float64, and ties between pieces hang on such last bits.
// Source: the default number parsing of serde_json.
func parseScore(text string) (float64, error) {
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
			return 0, fmt.Errorf("model.vocab: score %.40s is out of range", text)
		}
	}
	digits, dropped := uint64(0), false
	digits, exponent, dropped = appendDigits(digits, whole, exponent)
	if !dropped {
		var kept int
		digits, kept, _ = appendDigits(digits, fraction, 0)
		exponent -= len(fraction) - kept
	}
	value := scale(float64(digits), exponent)
	if math.IsInf(value, 0) {
		return 0, fmt.Errorf("model.vocab: score %.40s is out of range", text)
	}
	if strings.HasPrefix(text, "-") {
		value = -value
	}
	return value, nil
}

// appendDigits appends decimal digits to n while 64 bits hold them; each digit dropped raises
// exponent by one.
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

// scale multiplies by a power of ten, in one rounding where the power is a float64.
func scale(value float64, exponent int) float64 {
	const largest = 308
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

// powers are the powers of ten that are a float64, each the nearest one.
var powers = sync.OnceValue(func() *[309]float64 {
	var p [309]float64
	for i := range p {
		p[i], _ = strconv.ParseFloat("1e"+strconv.Itoa(i), 64) // never fails
	}
	return &p
})
