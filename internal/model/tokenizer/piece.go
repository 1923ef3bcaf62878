package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// piece is one entry of a Unigram vocabulary; score is its log probability.
type piece struct {
	text  string
	score float64
}

// UnmarshalJSON reads ["text", score].
func (p *piece) UnmarshalJSON(data []byte) error {
	var score json.Number
	pair := []any{&p.text, &score}
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || score == "" {
		return fmt.Errorf("model.vocab: %.40s, want [text, score]", data)
	}
	if len(p.text) > pieceBytesMax {
		return fmt.Errorf("model.vocab: a piece of %d bytes, at most %d are allowed",
			len(p.text), pieceBytesMax)
	}
	var err error
	p.score, err = parseScore(string(score))
	return err
}

// pieceList is a vocabulary; the index of a piece is its id.
type pieceList []piece

// UnmarshalJSON reads the list and holds it to piecesMax.
func (l *pieceList) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*[]piece)(l)); err != nil {
		return err
	}
	if len(*l) > piecesMax {
		return fmt.Errorf("model.vocab: %d pieces, at most %d are allowed", len(*l), piecesMax)
	}
	return nil
}

// parseScore reads a JSON number as the reference does: the digits as an integer, as far as 64
// bits hold it, times or over a power of ten. For numbers of 16 digits and more that is often the
// neighbour of the nearest float64, and ties between pieces hang on such last bits.
// Source: the default number parsing of serde_json.
func parseScore(text string) (float64, error) {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(text), "e")
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
	power, err := strconv.ParseFloat("1e"+strconv.Itoa(max(exponent, -exponent)), 64)
	if err != nil {
		return math.Inf(1)
	}
	if exponent < 0 {
		return value / power
	}
	return value * power
}
